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


def clip(boxes: Floats, width: int, height: int) -> Floats:
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
