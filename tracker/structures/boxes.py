"""Box arithmetic. Boxes are rows of arrays, in pixels, with the origin at the top left corner.

xyxy: left, top, right, bottom. xywh: left, top, width, height.
xyah: center x, center y, aspect ratio (width / height), height.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rectangle = tuple[int, int, int, int]
"""x1 y1 x2 y2, integer pixels."""


def xyxy_to_xywh(boxes: Floats) -> Floats:
    """Converts (..., 4) xyxy to (..., 4) xywh."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def xywh_to_xyxy(boxes: Floats) -> Floats:
    """Converts (..., 4) xywh to (..., 4) xyxy."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_xyah(boxes: Floats) -> Floats:
    """Converts (..., 4) xyxy of positive area to (..., 4) xyah."""
    size = boxes[..., 2:] - boxes[..., :2]
    center = boxes[..., :2] + size / 2
    return np.concatenate([center, size[..., :1] / size[..., 1:], size[..., 1:]], axis=-1)


def xyah_to_xyxy(boxes: Floats) -> Floats:
    """Converts (..., 4) xyah to (..., 4) xyxy."""
    height = boxes[..., 3:]
    half = np.concatenate([boxes[..., 2:3] * height, height], axis=-1) / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def area(boxes: Floats) -> Floats:
    """Returns the area of (..., 4) xyxy boxes in square pixels, (...,); 0 where x2 < x1 or y2 < y1."""
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    product: Floats = size[..., 0] * size[..., 1]
    return product


def clip(boxes: Floats, width: float, height: float) -> Floats:
    """Returns the part of each (N, 4) xyxy box that lies inside an image of width x height pixels."""
    limit = np.array([width, height, width, height], boxes.dtype)
    clipped: Floats = np.clip(boxes, 0, limit).astype(boxes.dtype)
    return clipped


def intersection(a: Floats, b: Floats) -> Floats:
    """Returns the shared area of every pair of (N, 4) and (M, 4) xyxy boxes, (N, M) square pixels."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    shared: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def iou(a: Floats, b: Floats) -> Floats:
    """Returns the IoU of every pair of (N, 4) and (M, 4) xyxy boxes, (N, M); 0 where both areas are 0.

    Example:
        >>> import numpy as np
        >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(2).tolist()
        [[0.33, 0.0]]
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def expand(boxes: Floats, ratio: float) -> Floats:
    """Returns (..., 4) xyxy boxes that are grown on each side by a ratio of their width and height."""
    if not ratio:
        return boxes
    margin = ratio * (boxes[..., 2:] - boxes[..., :2])
    return np.concatenate([boxes[..., :2] - margin, boxes[..., 2:] + margin], axis=-1)


def warp_boxes(boxes: Floats, motion: Floats) -> Floats:
    """Maps (N, 4) xyxy boxes by affine camera motions: centers are mapped, width and height scaled by one factor.

    Args:
        boxes: (N, 4) xyxy.
        motion: (2, 3) or (N, 2, 3), affine maps of pixels; their factor is the square root of the determinant.
    """
    linear = motion[..., :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    center = np.einsum("...ij,...j->...i", linear, center) + motion[..., 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.sqrt(np.abs(np.linalg.det(linear)))[..., None]
    return np.concatenate([center - half, center + half], axis=1)


def paired_intersection(a: Floats, b: Floats) -> Floats:
    """Returns the shared area of row n of (N, 4) and (N, 4) xyxy boxes, (N,) square pixels."""
    size = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    shared: Floats = size[:, 0] * size[:, 1]
    return shared


def paired_iou(a: Floats, b: Floats) -> Floats:
    """Returns the IoU of row n of (N, 4) and (N, 4) xyxy boxes, (N,); 0 where both areas are 0."""
    shared, union = _shared_and_union(a, b)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def paired_giou(a: Floats, b: Floats) -> Floats:
    """Returns the generalized IoU of row n of (N, 4) and (N, 4) xyxy boxes of positive area, (N,), from -1 to 1.

    Source: Rezatofighi et al. 2019, arXiv 1902.09630, equation 1.
    """
    shared, union = _shared_and_union(a, b)
    hull = area(np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1))
    generalized: Floats = shared / union - (hull - union) / hull
    return generalized


def _shared_and_union(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    shared = paired_intersection(a, b)
    return shared, area(a) + area(b) - shared
