"""Detection of small objects in large images: overlapping tiles are detected beside the whole image.

Source: Akyon et al. 2022, Slicing aided hyper inference, arXiv 2202.06934.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection.selection import group_labels
from tracker.structures.boxes import Rectangle, area, intersection, iou
from tracker.structures.types import Detections

OVERLAP = 0.2  # of neighboring tiles, as a fraction of a tile's side
EDGE_MARGIN = 3.0  # pixels; a box that comes closer to an edge inside the image may be cut off there
MERGE_OVERLAP = 0.6  # intersection over the area of the smaller box from which on two boxes of one class are one object
AUTO_REDUCTION = 1.25  # factor by which auto lets a tile be reduced for the network

Grid = tuple[int, int] | Literal["auto"]
"""Columns and rows of tiles."""


def parse_grid(text: str) -> Grid:
    """Returns the grid of a text such as 3x2, columns x rows, or auto; follow has the tiles of auto.

    Raises:
        InputError: It is neither.

    Example:
        >>> parse_grid("3x2"), parse_grid("auto")
        ((3, 2), 'auto')
    """
    if text in ("auto", "follow"):
        return "auto"
    columns, separator, rows = text.partition("x")
    if not (separator and columns.isdecimal() and rows.isdecimal() and int(columns) and int(rows)):
        raise InputError(f"tiles are given as columns x rows, such as 2x2, or as auto, follow or none, not as {text!r}")
    return int(columns), int(rows)


def tile_rectangles(height: int, width: int, columns: int, rows: int) -> list[Rectangle]:
    """Returns the tiles of an image: equal rectangles that overlap their neighbors and cover it.

    Example:
        >>> tile_rectangles(100, 180, 2, 1)
        [(0, 0, 100, 100), (80, 0, 180, 100)]
    """
    return [
        (x, y, x + tile_width, y + tile_height)
        for y, tile_height in _intervals(height, rows)
        for x, tile_width in _intervals(width, columns)
    ]


def _intervals(length: int, count: int) -> list[tuple[int, int]]:
    """Returns start and length of intervals of equal length that overlap by OVERLAP."""
    size = min(length, math.ceil(length / (count - (count - 1) * OVERLAP)))
    return [(round(index * (length - size) / max(1, count - 1)), size) for index in range(count)]


def auto_grid(height: int, width: int, longest: int) -> tuple[int, int]:
    """Returns the columns and rows of the fewest tiles that a network of this input size sees nearly unreduced.

    Example:
        >>> auto_grid(720, 1280, 640), auto_grid(2160, 3840, 640)
        ((2, 1), (6, 4))
    """

    def count(length: int) -> int:
        return next(n for n in range(1, length + 1) if _intervals(length, n)[0][1] <= longest * AUTO_REDUCTION)

    if max(height, width) <= longest * AUTO_REDUCTION:
        return 1, 1
    return count(width), count(height)


class Tiling:
    """The overlapping tiles in which a detector looks at each image beside the whole of it, and their merging.

    Boxes that a tile cuts off are dropped: they are complete in the next tile or, if large, in the whole image.
    """

    def __init__(self, config: DetectorConfig, categories: Sequence[str]) -> None:
        """Takes the config with the tiles and the thresholds, and the names of the classes.

        Raises:
            InputError: The tiles are not valid, see `parse_grid`.
        """
        self.grid = parse_grid(config.tiles)
        self.config = config
        self.groups = group_labels(categories, config.class_groups)

    def rectangles(self, height: int, width: int, longest: int) -> list[Rectangle]:
        """Returns the tiles of an image of this size; none if one is all of it.

        Args:
            height: Of the image, pixels.
            width: Of the image, pixels.
            longest: Side to which the network reduces larger images, pixels; 0 if it does not.
        """
        columns, rows = auto_grid(height, width, longest or max(height, width)) if self.grid == "auto" else self.grid
        return tile_rectangles(height, width, columns, rows) if columns * rows > 1 else []

    def merge(self, parts: Sequence[Detections]) -> Detections:
        """Merges detections of an image and its tiles: of the boxes on one object the best-scored one stays."""
        boxes, scores, labels = (np.concatenate([getattr(p, n) for p in parts]) for n in ("boxes", "scores", "labels"))
        data = {name: np.concatenate([part.data[name] for part in parts]) for name in parts[0].data}
        best_first = Detections(boxes, scores, labels, data)[np.argsort(-scores, kind="stable")]
        keep = _suppress(self._rivals(best_first.boxes, best_first.labels))
        return best_first[keep[: self.config.max_detections]]

    def _rivals(self, boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns True, bool (N, N), for two boxes of which only one may stay."""
        areas, groups = area(boxes), self.groups[labels]
        ious, smaller = iou(boxes, boxes), np.maximum(np.minimum(areas[:, None], areas), 1e-6)
        same_class, same_group = labels[:, None] == labels, groups[:, None] == groups
        return np.asarray(
            (same_class & (intersection(boxes, boxes) / smaller > MERGE_OVERLAP))
            | (same_group & (ious > self.config.group_nms_iou))
            | (ious > self.config.agnostic_nms_iou)
        )


def from_tile(detections: Detections, tile: Rectangle, height: int, width: int) -> Detections:
    """Returns the detections of a tile in pixels of its image of this size, without those that are cut off."""
    x1, y1, x2, y2 = tile
    boxes = detections.boxes + np.array([x1, y1, x1, y1], np.float32)
    inner = np.array([x1 > 0, y1 > 0, x2 < width, y2 < height])  # edges that lie inside the image
    distance = np.abs(boxes - np.array(tile, np.float32))
    complete = ~((distance < EDGE_MARGIN) & inner).any(1)
    return replace(detections, boxes=boxes)[complete]


def _suppress(rivals: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns the indices of boxes, best first, that have no rival, bool (N, N), among the better ones that stay."""
    kept: list[int] = []
    for index in range(len(rivals)):
        if not rivals[index, kept].any():
            kept.append(index)
    return np.array(kept, np.int64)
