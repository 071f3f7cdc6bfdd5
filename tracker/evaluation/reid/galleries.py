"""Contact sheets of the queries that an embedder did best and worst on, with what it found for them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.evaluation.drawing import GROUND, INK, Image, fitted, write
from tracker.evaluation.reid.pairs import QueryGallery
from tracker.evaluation.reid.retrieval import Retrieval

ROWS, FOUND = 10, 10  # queries on a sheet, and what is shown of the gallery of each
WIDTH, HEIGHT, GAP, HEADER, CAPTION, MARGIN = 76, 132, 10, 44, 20, 24  # pixels
FRAME = 3  # width of a tile's frame
QUALITY = 90  # of JPEG
RIGHT, WRONG, QUERY = (80, 220, 100), (255, 80, 70), (225, 225, 225)


def write_ranked_lists(
    embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int, retrieval: Retrieval, folder: Path
) -> None:
    """Draws best.jpg and worst.jpg: of the individuals with the highest and the lowest average precision one query.

    Args:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: As `measured`.
        retrieval: What the queries got.
        folder: Where the files go.

    Raises:
        InputError: A picture cannot be read.
        OSError: A file cannot be written.
    """
    search = QueryGallery.of(embeddings, crops, queries)
    order = retrieval.counted[np.argsort(retrieval.precision[retrieval.counted], kind="stable")]
    for name, ranked in (("worst", order), ("best", order[::-1])):
        _, first = np.unique(crops.ids[ranked], return_index=True)
        chosen = ranked[np.sort(first)][:ROWS]
        title = f"The {name} queries, one of each individual: green shows the same, red somebody else"
        sheet = _sheet(title, chosen, search, retrieval)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (folder / f"{name}.jpg").write_bytes(data.tobytes())


def _sheet(title: str, queries: NDArray[np.int64], search: QueryGallery, retrieval: Retrieval) -> Image:
    cell = WIDTH + GAP, HEIGHT + CAPTION + GAP
    sheet = np.full((HEADER + len(queries) * cell[1], GAP + MARGIN + (1 + FOUND) * cell[0], 3), GROUND, np.uint8)
    write(sheet, (GAP, 27), title, INK, 0.55)
    for number, query in enumerate(queries.tolist()):
        top = HEADER + number * cell[1]
        _place(sheet, (GAP, top), search.crops, query, QUERY, f"AP {retrieval.precision[query]:.0%}")
        for column, (row, distance, same) in enumerate(_nearest(search, query)):
            corner = GAP + MARGIN + (1 + column) * cell[0], top
            _place(sheet, corner, search.crops, row, RIGHT if same else WRONG, f"{distance:.2f}")
    return sheet


def _nearest(search: QueryGallery, query: int) -> Sequence[tuple[int, float, bool]]:
    """The nearest crops that count: their row, their distance, and whether they show the same individual."""
    pairs = search.pairs(np.array([query]))
    counted = np.flatnonzero(pairs.counted[0])
    nearest = counted[np.argsort(pairs.distances[0, counted], kind="stable")][:FOUND]
    return [(int(search.gallery_rows[n]), float(pairs.distances[0, n]), bool(pairs.same[0, n])) for n in nearest]


def _place(
    sheet: Image, corner: tuple[int, int], crops: ReIDDataset, row: int, colour: tuple[int, int, int], text: str
) -> None:
    left, top = corner
    sheet[top : top + HEIGHT, left : left + WIDTH] = colour
    inside = fitted(read_crop(crops, row), WIDTH - 2 * FRAME, HEIGHT - 2 * FRAME)[0]
    sheet[top + FRAME : top + HEIGHT - FRAME, left + FRAME : left + WIDTH - FRAME] = inside
    write(sheet, (left + 2, top + HEIGHT + 15), text, INK)
