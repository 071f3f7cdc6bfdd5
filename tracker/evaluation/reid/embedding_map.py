"""Draws crops at the first two principal components of their embeddings."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.data.files import write_bytes
from tracker.evaluation.drawing import BACKGROUND, TEXT_COLOR, draw_text, letterbox
from tracker.output.drawing import track_color

MAX_CROPS = 400
SIDE, MARGIN, HEADER = 1400, 60, 44  # pixels
WIDTH, HEIGHT, BORDER = 30, 56, 2  # pixels of a crop


def write_embedding_projection(embeddings: NDArray[np.float32], crops: ReIDDataset, path: Path) -> None:
    """Draws crops, a regular subset of many, at the first two principal components of their embeddings.

    The border of a crop has the color of its identity.

    Args:
        embeddings: float32 (N, D).
        crops: The N crops.
        path: A .png.

    Raises:
        InputError: An image cannot be read, or the file cannot be written.
    """
    indices = np.unique(np.linspace(0, len(crops) - 1, min(MAX_CROPS, len(crops))).round().astype(int))
    positions, explained = _project(embeddings[indices])
    sheet = np.full((HEADER + SIDE, SIDE, 3), BACKGROUND, np.uint8)
    title = f"{len(indices)} crops at the two main components of their embeddings ({explained:.0%} of the variance)"
    draw_text(sheet, (10, 27), title + "; one border color for each identity", TEXT_COLOR, 0.55)
    low, high = positions.min(0), positions.max(0)
    offsets = (SIDE - 2 * MARGIN) * (positions - low) / np.maximum(high - low, 1e-9)
    centers = np.rint(HEADER * np.array([0, 1]) + MARGIN + offsets).astype(int)
    for index, (x, y) in zip(indices.tolist(), centers.tolist(), strict=True):
        left, top = x - WIDTH // 2, y - HEIGHT // 2
        sheet[top : top + HEIGHT, left : left + WIDTH] = letterbox(read_crop(crops, index), WIDTH, HEIGHT)[0]
        color = track_color(int(crops.ids[index]))
        cv2.rectangle(sheet, (left, top), (left + WIDTH - 1, top + HEIGHT - 1), color, BORDER)
    _, data = cv2.imencode(".png", sheet[:, :, ::-1])
    write_bytes(path, data.tobytes())


def _project(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Projects (N, D) to (N, 2); returns also the fraction of the variance that is explained."""
    centered = embeddings.astype(np.float64) - embeddings.mean(0)
    left, singular_values, _ = np.linalg.svd(centered, full_matrices=False)
    variances = singular_values**2
    return left[:, :2] * singular_values[:2], float(variances[:2].sum() / max(variances.sum(), 1e-12))
