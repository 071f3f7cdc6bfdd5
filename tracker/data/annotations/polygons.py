"""Polygons of objects, from COCO's polygons and run lengths, and of rectangles that are turned."""

from collections.abc import Sequence
from math import cos, radians, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import Segmentation
from tracker.data.annotations.run_lengths import decode_coco_mask
from tracker.data.coco_file import Box


def decode_segmentation(segmentation: Any) -> Segmentation:
    """Returns the polygons of a COCO `segmentation`: lists of x y x y ..., or the run lengths of a mask.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(segmentation, dict):
        return mask_polygons(decode_coco_mask(segmentation))
    polygons = [np.array(polygon, np.float32).reshape(-1, 2) for polygon in segmentation if len(polygon) % 2 == 0]
    return tuple(polygon for polygon in polygons if len(polygon) >= 3)


def mask_polygons(mask: NDArray[np.uint8]) -> Segmentation:
    """Returns the outer contours of the parts of a mask, uint8 (H, W); holes are filled."""
    import cv2

    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # A contour runs through the centers of the outermost pixels, which are half a pixel from their corners.
    return tuple(c[:, 0].astype(np.float32) + 0.5 for c in contours if len(c) >= 3)


def bounding_box(segmentation: Sequence[NDArray[Any]]) -> Box:
    """Returns the xyxy box around one polygon or more."""
    points = np.concatenate([np.asarray(polygon, np.float64) for polygon in segmentation])
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return x1, y1, x2, y2


def turned_rectangle(box: Box, degrees: float, pivot: tuple[float, float]) -> NDArray[np.float32]:
    """Returns the corners (4, 2) of an xyxy box that was turned clockwise, as it is seen, around a point.

    Example:
        >>> turned_rectangle((1, 1, 5, 3), 90, (1, 1)).round(3).tolist()
        [[1.0, 1.0], [1.0, 5.0], [-1.0, 5.0], [-1.0, 1.0]]
    """
    x1, y1, x2, y2 = box
    offsets = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]) - pivot
    angle = radians(degrees)
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    return np.asarray(offsets @ turn + pivot, np.float32)
