"""A map of who looks like whom: crops where their embeddings lie, brought down to a plane."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.evaluation.drawing import GROUND, INK, fitted, write
from tracker.output.drawing import colour_of

SHOWN = 400  # crops, at most
SIDE, MARGIN, HEADER = 1400, 60, 44  # pixels
WIDTH, HEIGHT, FRAME = 30, 56, 2  # pixels of a crop


def write_embedding_projection(embeddings: NDArray[np.float32], crops: ReIDDataset, path: Path) -> None:
    """Draws crops, evenly chosen where there are many, at the first two principal components of their embeddings.

    A crop's frame has the colour of its individual.

    Args:
        embeddings: float32 (N, D).
        crops: The N crops.
        path: A .png.

    Raises:
        InputError: A picture cannot be read.
        OSError: The file cannot be written.
    """
    rows = np.unique(np.linspace(0, len(crops) - 1, min(SHOWN, len(crops))).round().astype(int))
    places, share = _plane(embeddings[rows])
    sheet = np.full((HEADER + SIDE, SIDE, 3), GROUND, np.uint8)
    title = f"{len(rows)} crops at the two main components of their embeddings ({share:.0%} of the variance)"
    write(sheet, (10, 27), title + "; a colour for each individual", INK, 0.55)
    low, high = places.min(0), places.max(0)
    corners = HEADER * np.array([0, 1]) + MARGIN + (SIDE - 2 * MARGIN) * (places - low) / np.maximum(high - low, 1e-9)
    for row, (x, y) in zip(rows.tolist(), np.rint(corners).astype(int).tolist(), strict=True):
        left, top = x - WIDTH // 2, y - HEIGHT // 2
        sheet[top : top + HEIGHT, left : left + WIDTH] = fitted(read_crop(crops, row), WIDTH, HEIGHT)[0]
        colour = colour_of(int(crops.ids[row]))
        cv2.rectangle(sheet, (left, top), (left + WIDTH - 1, top + HEIGHT - 1), colour, FRAME)
    _, data = cv2.imencode(".png", sheet[:, :, ::-1])
    path.write_bytes(data.tobytes())


def _plane(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """(N, D) -> (N, 2), and the share of the variance that these show."""
    centred = embeddings.astype(np.float64) - embeddings.mean(0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * lengths[:2], float((lengths[:2] ** 2).sum() / max((lengths**2).sum(), 1e-12))
