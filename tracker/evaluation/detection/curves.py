"""Computes precision, recall and F1 over the score threshold, and the calibration of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet
from tracker.evaluation.detection.matching import IGNORED, is_true_positive, match_detections
from tracker.structures.types import Detections

BINS = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """The detections of one class, without those that are ignored, in descending order of score.

    Attributes:
        num_objects: Number of ground-truth objects.
        scores: float64 (N,), descending.
        is_true_positive: bool (N,).
    """

    num_objects: int
    scores: Floats
    is_true_positive: NDArray[np.bool_]

    @property
    def precision(self) -> Floats:
        """float64 (N,): precision of the detections up to each one."""
        precision: Floats = np.cumsum(self.is_true_positive) / np.arange(1, len(self.scores) + 1)
        return precision

    @property
    def recall(self) -> Floats:
        """float64 (N,): recall of the detections up to each one; NaN if there are no objects."""
        with np.errstate(invalid="ignore", divide="ignore"):
            recall: Floats = np.cumsum(self.is_true_positive) / np.float64(self.num_objects)
        return recall

    @property
    def f1(self) -> Floats:
        """float64 (N,): harmonic mean of precision and recall."""
        f1: Floats = 2 * np.cumsum(self.is_true_positive) / (np.arange(1, len(self.scores) + 1) + self.num_objects)
        return f1


@dataclass(frozen=True)
class ThresholdMetrics:
    """Precision, recall and F1 of the detections from a score threshold on; all from 0 to 1."""

    threshold: float
    precision: float
    recall: float
    f1: float


def precision_recall_curves(
    predictions: Sequence[Detections], dataset: ImageSet, iou_threshold: float
) -> dict[str, PrecisionRecallCurve]:
    """Computes the curve of each class that has ground-truth objects.

    Args:
        predictions: The detections of each image.
        dataset: The ground truth.
        iou_threshold: Least IoU of a true positive.
    """
    scores: list[list[NDArray[np.float32]]] = [[] for _ in dataset.categories]
    true_positives: list[list[NDArray[np.bool_]]] = [[] for _ in dataset.categories]
    for detections, gt in zip(predictions, dataset.images, strict=True):
        matches = match_detections(detections, gt, iou_threshold)
        hits = is_true_positive(matches, detections, gt)
        for label in np.unique(detections.labels):
            counted = (detections.labels == label) & (matches != IGNORED)
            scores[label].append(detections.scores[counted])
            true_positives[label].append(hits[counted])
    return {
        name: _sorted_curve(
            count, np.concatenate([[], *scores[n]]), np.concatenate([np.zeros(0, bool), *true_positives[n]])
        )
        for n, (name, count) in enumerate(count_objects(dataset).items())
        if count
    }


def merge_classes(classes: Sequence[PrecisionRecallCurve]) -> PrecisionRecallCurve:
    """Merges the curves of all classes into one (micro average): each object and each detection has the same weight."""
    scores = np.concatenate([np.zeros(0), *(curve.scores for curve in classes)])
    hits = np.concatenate([np.zeros(0, bool), *(curve.is_true_positive for curve in classes)])
    return _sorted_curve(sum(curve.num_objects for curve in classes), scores, hits)


def count_objects(dataset: ImageSet) -> dict[str, int]:
    """Counts the ground-truth objects of each class."""

    def annotated_labels(image: AnnotatedImage) -> NDArray[np.int64]:
        return image.labels[~np.isin(image.labels, image.unlabeled)]

    labels = np.concatenate([np.zeros(0, np.int64), *map(annotated_labels, dataset.images)])
    counts = np.bincount(labels, minlength=len(dataset.categories)).tolist()
    return dict(zip(dataset.categories, counts, strict=True))


def metrics_at_threshold(curve: PrecisionRecallCurve, threshold: float) -> ThresholdMetrics:
    """Returns the metrics at a score threshold; without any detection the precision is 1."""
    count = int(np.count_nonzero(curve.scores >= threshold))
    if not count:
        return ThresholdMetrics(threshold, 1.0, 0.0, 0.0)
    values = (float(values[count - 1]) for values in (curve.precision, curve.recall, curve.f1))
    return ThresholdMetrics(threshold, *values)


def best_f1_threshold(curve: PrecisionRecallCurve) -> ThresholdMetrics:
    """Returns the metrics at the score threshold with the highest F1; the highest such threshold if several have it."""
    if not len(curve.scores):
        return metrics_at_threshold(curve, 1.0)
    # A threshold takes all detections of one score or none of them.
    last_of_score = np.append(curve.scores[1:] != curve.scores[:-1], True)
    return metrics_at_threshold(curve, float(curve.scores[np.argmax(np.where(last_of_score, curve.f1, -1))]))


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """The precision of detections by score, in `BINS` equal bins from 0 to 1.

    Attributes:
        scores: float64 (BINS,), mean score; NaN in a bin without detections.
        precision: float64 (BINS,), fraction of true positives; NaN likewise.
        counts: int64 (BINS,), number of detections.
        error: Expected calibration error: mean of |scores - precision| weighted by the counts; NaN without detections.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.
    """

    scores: Floats
    precision: Floats
    counts: NDArray[np.int64]
    error: float


def calibration_curve(curve: PrecisionRecallCurve) -> CalibrationCurve:
    """Computes the calibration curve of the scores of detections."""
    bins = np.minimum((curve.scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        scores = np.bincount(bins, curve.scores, BINS) / counts
        precision = np.bincount(bins, curve.is_true_positive.astype(float), BINS) / counts
        error = float(np.nansum(counts * np.abs(scores - precision)) / np.float64(counts.sum()))
    return CalibrationCurve(scores, precision, counts, error)


def _sorted_curve(
    num_objects: int, scores: NDArray[np.floating], true_positives: NDArray[np.bool_]
) -> PrecisionRecallCurve:
    order = np.argsort(-scores, kind="stable")
    return PrecisionRecallCurve(num_objects, scores[order].astype(np.float64), true_positives[order])
