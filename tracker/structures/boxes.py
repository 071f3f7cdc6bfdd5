"""The only box arithmetic. Boxes are rows of arrays, in pixels, with the origin at the top left corner.

xyxy: left, top, right, bottom. xywh: left, top, width, height.
xyah: centre x, centre y, aspect ratio (width / height), height.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def xyxy_to_xywh(boxes: Floats) -> Floats:
    """(..., 4) xyxy -> (..., 4) xywh."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def xywh_to_xyxy(boxes: Floats) -> Floats:
    """(..., 4) xywh -> (..., 4) xyxy."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_xyah(boxes: Floats) -> Floats:
    """(..., 4) xyxy of positive area -> (..., 4) xyah."""
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + size / 2
    return np.concatenate([centre, size[..., :1] / size[..., 1:], size[..., 1:]], axis=-1)


def xyah_to_xyxy(boxes: Floats) -> Floats:
    """(..., 4) xyah -> (..., 4) xyxy."""
    height = boxes[..., 3:]
    half = np.concatenate([boxes[..., 2:3] * height, height], axis=-1) / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def area(boxes: Floats) -> Floats:
    """(..., 4) xyxy -> (...,) square pixels; 0 for boxes that are turned inside out."""
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    product: Floats = size[..., 0] * size[..., 1]
    return product


def clip(boxes: Floats, width: float, height: float) -> Floats:
    """(N, 4) xyxy -> the part of each box inside a picture of width x height pixels."""
    limit = np.array([width, height, width, height], boxes.dtype)
    clipped: Floats = np.clip(boxes, 0, limit).astype(boxes.dtype)
    return clipped


def intersection(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (M, 4) xyxy -> (N, M) shared area in square pixels."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    shared: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def iou(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (M, 4) xyxy -> (N, M) intersection over union, 0 where both areas are 0."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def expand(boxes: Floats, share: float) -> Floats:
    """(..., 4) xyxy -> the boxes, grown on each side by a share of their width and height."""
    if not share:
        return boxes
    margin = share * (boxes[..., 2:] - boxes[..., :2])
    return np.concatenate([boxes[..., :2] - margin, boxes[..., 2:] + margin], axis=-1)


def moved(boxes: Floats, motion: Floats) -> Floats:
    """(N, 4) xyxy, seen by a camera that moved: centres mapped, width and height scaled by one factor.

    Args:
        boxes: (N, 4) xyxy.
        motion: (2, 3) or (N, 2, 3), affine maps of pixels; their factor is the square root of the determinant.
    """
    turn = motion[..., :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    centre = np.einsum("...ij,...j->...i", turn, centre) + motion[..., 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.sqrt(np.abs(np.linalg.det(turn)))[..., None]
    return np.concatenate([centre - half, centre + half], axis=1)


def paired_intersection(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (N, 4) xyxy -> (N,) shared area of row and row in square pixels."""
    size = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    shared: Floats = size[:, 0] * size[:, 1]
    return shared


def paired_iou(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (N, 4) xyxy -> (N,) intersection over union of row and row, 0 where both areas are 0."""
    shared, union = _shared_and_union(a, b)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def paired_giou(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (N, 4) xyxy of positive area -> (N,) generalised IoU of row and row, from -1 to 1.

    Source: Rezatofighi et al. 2019, arXiv 1902.09630, equation 1.
    """
    shared, union = _shared_and_union(a, b)
    hull = area(np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1))
    generalised: Floats = shared / union - (hull - union) / hull
    return generalised


def _shared_and_union(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    shared = paired_intersection(a, b)
    return shared, area(a) + area(b) - shared
