"""Which detections of a picture are right: the rules of COCO, and beyond them what was taken for something else."""

import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage
from tracker.structures.boxes import area, intersection, iou
from tracker.structures.types import Detections

NO_OBJECT = -1
NOT_COUNTED = -2


def match(detections: Detections, picture: AnnotatedImage, least_iou: float) -> NDArray[np.int64]:
    """Which object each detection shows; no object is shown twice.

    The best-scored detection has the first choice. First come the objects of its own class; what is left then and
    lies in a region to ignore, or is of a class that was not annotated here, does not count; at last come the objects
    of other classes, which were taken for something else.

    Args:
        detections: N detections.
        picture: The truth; its objects of classes that were not annotated here do not count.
        least_iou: From which on a box is the object's; also the share of a detection that a region to ignore holds.

    Returns:
        int64 (N,), indices of the picture's objects, or NO_OBJECT (a false alarm), or NOT_COUNTED.

    Source: Lin et al. 2014, COCO, arXiv 1405.0312, and its evaluation code.
    """
    matches = np.full(len(detections), NO_OBJECT)
    free = ~np.isin(picture.labels, picture.unlabelled)
    overlaps = iou(detections.boxes, picture.boxes)
    _assign(matches, free, np.where(detections.labels[:, None] == picture.labels, overlaps, -1), detections, least_iou)
    excused = np.isin(detections.labels, picture.unlabelled) | _ignored(detections, picture, least_iou)
    matches[excused & (matches == NO_OBJECT)] = NOT_COUNTED
    _assign(matches, free, overlaps, detections, least_iou)
    return matches


def right(matches: NDArray[np.int64], detections: Detections, picture: AnnotatedImage) -> NDArray[np.bool_]:
    """Which detections (N,) show an object, and say of which class it is."""
    correct = matches >= 0
    correct[correct] = picture.labels[matches[correct]] == detections.labels[correct]
    return correct


def missed(matches: NDArray[np.int64], picture: AnnotatedImage) -> NDArray[np.bool_]:
    """Which objects of a picture, bool (M,), no detection of any class shows; those that do not count are none."""
    lost = ~np.isin(picture.labels, picture.unlabelled)
    lost[matches[matches >= 0]] = False
    return lost


def _assign(
    matches: NDArray[np.int64],
    free: NDArray[np.bool_],
    overlaps: NDArray[np.floating],
    detections: Detections,
    least_iou: float,
) -> None:
    """Gives objects that are free to detections that have none, in place; overlaps: (N, M)."""
    for row in np.argsort(-detections.scores, kind="stable"):
        if matches[row] == NO_OBJECT and free.any():
            best = int(np.argmax(np.where(free, overlaps[row], -1)))
            if free[best] and overlaps[row, best] >= least_iou:
                matches[row] = best
                free[best] = False


def _ignored(detections: Detections, picture: AnnotatedImage, least_share: float) -> NDArray[np.bool_]:
    shared = intersection(detections.boxes, picture.ignore)
    within: NDArray[np.bool_] = np.any(shared >= least_share * area(detections.boxes)[:, None], axis=1)
    return within
