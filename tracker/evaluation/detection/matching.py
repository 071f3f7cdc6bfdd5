"""Matches detections to ground-truth objects by the rules of COCO, and classes with each other after that."""

import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage
from tracker.structures.boxes import area, intersection, iou
from tracker.structures.types import Detections

UNMATCHED = -1
IGNORED = -2


def match_detections(detections: Detections, gt: AnnotatedImage, iou_threshold: float) -> NDArray[np.int64]:
    """Matches each detection to at most one ground-truth object, and each object to at most one detection.

    Detections are matched in the order of their scores, first to objects of their own class. Those that remain are
    ignored if they lie in an ignore region or if their class is not annotated in this image. The rest is matched to
    objects of other classes: these are misclassified.

    Args:
        detections: N detections.
        gt: The ground truth of the image; objects of classes that are not annotated in it are ignored.
        iou_threshold: Least IoU of a match; also the least fraction of a detection inside an ignore region.

    Returns:
        int64 (N,), indices of objects, or UNMATCHED (a false positive), or IGNORED.

    Source: Lin et al. 2014, COCO, arXiv 1405.0312, and its evaluation code.
    """
    matches = np.full(len(detections), UNMATCHED)
    available = ~np.isin(gt.labels, gt.unlabeled)
    ious = iou(detections.boxes, gt.boxes)
    _assign(matches, available, np.where(detections.labels[:, None] == gt.labels, ious, -1), detections, iou_threshold)
    ignored = np.isin(detections.labels, gt.unlabeled) | _in_ignore_region(detections, gt, iou_threshold)
    matches[ignored & (matches == UNMATCHED)] = IGNORED
    _assign(matches, available, ious, detections, iou_threshold)
    return matches


def is_true_positive(matches: NDArray[np.int64], detections: Detections, gt: AnnotatedImage) -> NDArray[np.bool_]:
    """Returns a bool (N,) mask of the detections that are matched to an object of their own class."""
    true_positive = matches >= 0
    true_positive[true_positive] = gt.labels[matches[true_positive]] == detections.labels[true_positive]
    return true_positive


def is_false_negative(matches: NDArray[np.int64], gt: AnnotatedImage) -> NDArray[np.bool_]:
    """Returns a bool (M,) mask of the annotated objects that are not matched to a detection of any class."""
    unmatched = ~np.isin(gt.labels, gt.unlabeled)
    unmatched[matches[matches >= 0]] = False
    return unmatched


def _assign(
    matches: NDArray[np.int64],
    available: NDArray[np.bool_],
    ious: NDArray[np.floating],
    detections: Detections,
    iou_threshold: float,
) -> None:
    """Matches unmatched detections to available objects, in place; `ious` is (N, M)."""
    for index in np.argsort(-detections.scores, kind="stable"):
        if matches[index] == UNMATCHED and available.any():
            best = int(np.argmax(np.where(available, ious[index], -1)))
            if available[best] and ious[index, best] >= iou_threshold:
                matches[index] = best
                available[best] = False


def _in_ignore_region(detections: Detections, gt: AnnotatedImage, min_fraction: float) -> NDArray[np.bool_]:
    intersections = intersection(detections.boxes, gt.ignore)
    inside: NDArray[np.bool_] = np.any(intersections >= min_fraction * area(detections.boxes)[:, None], axis=1)
    return inside
