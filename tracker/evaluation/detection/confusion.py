"""Computes the confusion matrix and the recall by object size, at one score threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ImageSet
from tracker.evaluation.detection.matching import UNMATCHED, is_false_negative, is_true_positive, match_detections
from tracker.structures.boxes import area
from tracker.structures.types import Detections

SIZES = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
"""Least area of a box, square pixels, as in COCO."""


@dataclass(frozen=True)
class SizeRecall:
    """The number of ground-truth objects of a size, and of the true positives among them."""

    objects: int
    true_positives: int

    @property
    def recall(self) -> float:
        """The recall, from 0 to 1; NaN if there are no objects."""
        return self.true_positives / self.objects if self.objects else float("nan")


def confusion_matrix(predictions: Sequence[Detections], dataset: ImageSet, iou_threshold: float) -> NDArray[np.int64]:
    """Counts how often objects of each class were detected as each class.

    Args:
        predictions: The detections of each image, above the score threshold.
        dataset: The ground truth.
        iou_threshold: Least IoU of a match.

    Returns:
        int64 (C + 1, C + 1): rows are true classes and, last, background (false positives); columns are predicted
        classes and, last, background (false negatives).
    """
    background = len(dataset.categories)
    counts = np.zeros((background + 1, background + 1), np.int64)
    for detections, gt in zip(predictions, dataset.images, strict=True):
        matches = match_detections(detections, gt, iou_threshold)
        matched = matches >= 0
        np.add.at(counts, (gt.labels[matches[matched]], detections.labels[matched]), 1)
        np.add.at(counts[background], detections.labels[matches == UNMATCHED], 1)
        np.add.at(counts[:, background], gt.labels[is_false_negative(matches, gt)], 1)
    return counts


def recall_by_size(predictions: Sequence[Detections], dataset: ImageSet, iou_threshold: float) -> dict[str, SizeRecall]:
    """Computes the recall of small, medium and large objects (see `SIZES`), over all classes."""
    num_objects = np.zeros(len(SIZES), np.int64)
    true_positives = np.zeros(len(SIZES), np.int64)
    for detections, gt in zip(predictions, dataset.images, strict=True):
        matches = match_detections(detections, gt, iou_threshold)
        size_indices = np.searchsorted([*SIZES.values()], area(gt.boxes), "right") - 1
        np.add.at(num_objects, size_indices[~np.isin(gt.labels, gt.unlabeled)], 1)
        np.add.at(true_positives, size_indices[matches[is_true_positive(matches, detections, gt)]], 1)
    counts = zip(SIZES, num_objects.tolist(), true_positives.tolist(), strict=True)
    return {name: SizeRecall(total, detected) for name, total, detected in counts}
