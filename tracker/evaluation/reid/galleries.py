"""Draws ranked lists: the queries with the best and the worst average precision, with their nearest gallery crops."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.data.files import write_bytes
from tracker.evaluation.drawing import BACKGROUND, TEXT_COLOR, Image, draw_text, letterbox
from tracker.evaluation.reid.pairs import QueryGallery
from tracker.evaluation.reid.retrieval import Retrieval

ROWS, GALLERY_SHOWN = 10, 10  # queries of a sheet, and gallery crops of each query
WIDTH, HEIGHT, GAP, HEADER, CAPTION, MARGIN = 76, 132, 10, 44, 20, 24  # pixels
BORDER = 3  # of a crop, pixels
JPEG_QUALITY = 90
SAME_COLOR, DIFFERENT_COLOR, QUERY_COLOR = (80, 220, 100), (255, 80, 70), (225, 225, 225)


def write_ranked_lists(
    embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int, retrieval: Retrieval, folder: Path
) -> None:
    """Draws best.jpg and worst.jpg: one query of each identity with the highest and the lowest average precision.

    Args:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: See `evaluate_embeddings`.
        retrieval: The ranking of the queries.
        folder: Folder for the files.

    Raises:
        InputError: An image cannot be read, or a file cannot be written.
    """
    query_gallery = QueryGallery.from_crops(embeddings, crops, queries)
    order = retrieval.valid_queries[np.argsort(retrieval.average_precision[retrieval.valid_queries], kind="stable")]
    for name, ranked in (("worst", order), ("best", order[::-1])):
        _, first = np.unique(crops.ids[ranked], return_index=True)
        selected = ranked[np.sort(first)][:ROWS]
        title = f"The {name} queries, one of each identity: green is the same identity, red another one"
        sheet = _sheet(title, selected, query_gallery, retrieval)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_bytes(folder / f"{name}.jpg", data.tobytes())


def _sheet(title: str, queries: NDArray[np.int64], query_gallery: QueryGallery, retrieval: Retrieval) -> Image:
    cell = WIDTH + GAP, HEIGHT + CAPTION + GAP
    height, width = HEADER + len(queries) * cell[1], GAP + MARGIN + (1 + GALLERY_SHOWN) * cell[0]
    sheet = np.full((height, width, 3), BACKGROUND, np.uint8)
    draw_text(sheet, (GAP, 27), title, TEXT_COLOR, 0.55)
    for row, query in enumerate(queries.tolist()):
        top = HEADER + row * cell[1]
        text = f"AP {retrieval.average_precision[query]:.0%}"
        _draw_crop(sheet, (GAP, top), query_gallery.crops, query, QUERY_COLOR, text)
        for column, (crop, distance, same) in enumerate(_nearest(query_gallery, query)):
            corner = GAP + MARGIN + (1 + column) * cell[0], top
            color = SAME_COLOR if same else DIFFERENT_COLOR
            _draw_crop(sheet, corner, query_gallery.crops, crop, color, f"{distance:.2f}")
    return sheet


def _nearest(query_gallery: QueryGallery, query: int) -> Sequence[tuple[int, float, bool]]:
    """Returns the index, the distance, and whether the identity is the same, of the nearest valid gallery crops."""
    pairs = query_gallery.pairs(np.array([query]))
    valid = np.flatnonzero(pairs.valid[0])
    nearest = valid[np.argsort(pairs.distances[0, valid], kind="stable")][:GALLERY_SHOWN]
    crops = query_gallery.gallery_indices
    return [(int(crops[n]), float(pairs.distances[0, n]), bool(pairs.same[0, n])) for n in nearest]


def _draw_crop(
    sheet: Image, corner: tuple[int, int], crops: ReIDDataset, index: int, color: tuple[int, int, int], text: str
) -> None:
    left, top = corner
    sheet[top : top + HEIGHT, left : left + WIDTH] = color
    crop = letterbox(read_crop(crops, index), WIDTH - 2 * BORDER, HEIGHT - 2 * BORDER)[0]
    sheet[top + BORDER : top + HEIGHT - BORDER, left + BORDER : left + WIDTH - BORDER] = crop
    draw_text(sheet, (left + 2, top + HEIGHT + 15), text, TEXT_COLOR)
