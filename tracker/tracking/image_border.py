"""Objects that enter or leave the image, of which the border hides a part that differs from frame to frame."""

import numpy as np

from tracker.structures.boxes import Floats, area, paired_intersection
from tracker.tracking.candidate_pairs import Indices, Mask

_MARGIN = 0.02
"""Fraction of the image's side: a box that ends within it counts as cut off by the border."""


def touches_border(boxes: Floats, size: tuple[float, float]) -> Mask:
    """Returns which sides of an image of `size` (width, height) cut off boxes (N, 4) xyxy: bool (N, 4), as xyxy."""
    near, far = _MARGIN * np.array(size), (1 - _MARGIN) * np.array(size)
    return np.concatenate([boxes[:, :2] <= near, boxes[:, 2:] >= far], axis=1)


def border_reentry_pairs(
    last_boxes: Floats, velocity: Floats, same_class: Mask, boxes: Floats, min_overlap: float, size: tuple[float, float]
) -> tuple[Indices, Floats]:
    """Returns the pairs of a missed track and a detection that show one object, cut off by one side of the image.

    A partly visible object is often detected as another class. Therefore a pair of different classes needs only enough
    of the smaller box inside of the larger. Two objects of the same class may stand in line at the border. Therefore a
    pair of the same class also needs a track that moves out of the image, and a detection smaller than its latest one.

    Args:
        last_boxes: float64 (P, 4) xyxy, the latest detection of each track.
        velocity: float64 (P, 2), of the track's center.
        same_class: bool (P,), True where track and detection have the same class.
        boxes: float64 (P, 4) xyxy, the detections.
        min_overlap: Least fraction of the smaller box that lies inside of the larger.
        size: Width and height of the image, pixels.

    Returns:
        The indices of the admissible pairs, and the fraction of the smaller box inside of the larger, for each of them.
    """
    both = touches_border(last_boxes, size) & touches_border(boxes, size)
    outward = np.concatenate([velocity < 0, velocity > 0], axis=1)
    leaving = (both & outward).any(1) & (area(boxes) < area(last_boxes))
    overlap = paired_intersection(last_boxes, boxes) / np.minimum(area(last_boxes), area(boxes))
    index = np.flatnonzero((np.where(same_class, leaving, both.any(1))) & (overlap >= min_overlap))
    return index, overlap[index]
