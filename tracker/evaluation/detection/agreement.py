"""Compares the detections of two implementations of one detector."""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from tracker.structures.boxes import iou
from tracker.structures.types import Detections

MIN_IOU = 0.95
MAX_SCORE_DIFFERENCE = 0.01
CRITERION = f"same class, IoU above {MIN_IOU}, score within {MAX_SCORE_DIFFERENCE}"


def count_equal_boxes(pairs: Iterable[tuple[Detections, Detections]]) -> tuple[int, int]:
    """Counts the boxes that two implementations have in common (see `CRITERION`); each box is matched at most once.

    Args:
        pairs: The detections of both implementations, for each image.

    Returns:
        The number of matched boxes, and the number of boxes of the side that has more, both summed over the images.
    """
    num_equal = num_boxes = 0
    for first, second in pairs:
        equal_pairs = (iou(first.boxes, second.boxes) > MIN_IOU) & (first.labels[:, None] == second.labels)
        equal_pairs &= np.abs(first.scores[:, None] - second.scores) < MAX_SCORE_DIFFERENCE
        num_equal += int((maximum_bipartite_matching(csr_array(equal_pairs)) >= 0).sum())
        num_boxes += max(len(first), len(second))
    return num_equal, num_boxes
