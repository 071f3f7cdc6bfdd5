"""Objects that come into the picture or leave it, and are seen in part: more of them in each frame, or less."""

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, area, paired_intersection

_REACH = 0.02
"""Share of the picture's side up to which a box may end before an edge and be cut by it all the same."""

Mask = NDArray[np.bool_]


def cut(boxes: Floats, size: tuple[float, float]) -> Mask:
    """Which edges of a picture of `size` (width, height) cut boxes (N, 4) xyxy: left, top, right, bottom, (N, 4)."""
    near, far = _REACH * np.array(size), (1 - _REACH) * np.array(size)
    return np.concatenate([boxes[:, :2] <= near, boxes[:, 2:] >= far], axis=1)


def border_reentry_pairs(
    last: Floats, velocity: Floats, known: Mask, boxes: Floats, share: float, size: tuple[float, float]
) -> tuple[NDArray[np.int64], Floats]:
    """Pairs of a track that is missed and a detection that show one object, cut by one edge of the picture.

    By the part that is seen, an object is easily taken for one of another class; with that doubt, enough of the smaller
    box in the larger is enough. Of the same class two may well stand in line there: the track then must be moving out,
    and less of it be seen.

    Args:
        last: float64 (P, 4) xyxy, the latest detection of each track.
        velocity: float64 (P, 2), of its centre.
        known: bool (P,), whether track and detection are of one class.
        boxes: float64 (P, 4) xyxy, the detections.
        share: How much of the smaller box the larger must hold.
        size: Width and height of the picture, pixels.

    Returns:
        The numbers of the pairs that are admitted, and how much of the smaller box each larger one holds.
    """
    both = cut(last, size) & cut(boxes, size)
    outward = np.concatenate([velocity < 0, velocity > 0], axis=1)
    leaving = (both & outward).any(1) & (area(boxes) < area(last))
    held = paired_intersection(last, boxes) / np.minimum(area(last), area(boxes))
    rows = np.flatnonzero((np.where(known, leaving, both.any(1))) & (held >= share))
    return rows, held[rows]
