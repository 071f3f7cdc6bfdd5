"""Whether two ways of computing one detector find the same."""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from tracker.structures.boxes import iou
from tracker.structures.types import Detections

MIN_IOU = 0.95
MAX_DIFFERENCE = 0.01  # of two scores
MEANING = f"same class, IoU above {MIN_IOU}, score within {MAX_DIFFERENCE}"


def count_equal(pairs: Iterable[tuple[Detections, Detections]]) -> tuple[int, int]:
    """Counts boxes that both sides have.

    Args:
        pairs: What each side found in the same picture, for each picture.

    Returns:
        How many boxes have an equal one of their own on the other side, and of how many: those of the side with more,
        picture by picture.
    """
    equal = total = 0
    for one, other in pairs:
        same = (iou(one.boxes, other.boxes) > MIN_IOU) & (one.labels[:, None] == other.labels)
        same &= np.abs(one.scores[:, None] - other.scores) < MAX_DIFFERENCE
        equal += int((maximum_bipartite_matching(csr_array(same)) >= 0).sum())
        total += max(len(one), len(other))
    return equal, total
