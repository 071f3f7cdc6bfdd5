"""Evaluates the detections of an annotated dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.data import ImageSet
from tracker.evaluation.detection.average_precision import average_precision
from tracker.evaluation.detection.confusion import SizeRecall, confusion_matrix, recall_by_size
from tracker.evaluation.detection.curves import (
    CalibrationCurve,
    PrecisionRecallCurve,
    ThresholdMetrics,
    best_f1_threshold,
    calibration_curve,
    count_objects,
    merge_classes,
    metrics_at_threshold,
    precision_recall_curves,
)
from tracker.structures.types import Detections

IOU_THRESHOLDS = (0.5, 0.75)
"""IoU thresholds of the precision-recall curves; metrics at a score threshold take the first."""

DEFAULT_SCORE = DetectorConfig().score


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """Metrics of detections against ground truth.

    Attributes:
        num_images: Number of images.
        num_objects: Number of ground-truth objects of each class that occurs.
        coco_metrics: COCO's metrics by name, see `average_precision`.
        curves: Precision-recall curves by IoU threshold (see `IOU_THRESHOLDS`) and class.
        all_classes: The curve at IoU 0.5 of all classes together (micro average).
        score_threshold: Least score of the detections in `at_threshold`, `by_size` and `confusion_matrix`.
        best_f1: By class, the score threshold with the highest F1 at IoU 0.5, and its metrics.
        best_f1_all_classes: The same for one threshold for all classes.
        at_threshold: Metrics at `score_threshold`, all classes together.
        calibration: Calibration of the scores, all classes together.
        by_size: Recall at IoU 0.5 by size of the objects.
        categories: All class names by label.
        confusion_matrix: int64 (C + 1, C + 1), see `confusion_matrix`.
        seconds: float64 (P,), time of detection of each image.
    """

    num_images: int
    num_objects: dict[str, int]
    coco_metrics: dict[str, float]
    curves: dict[float, dict[str, PrecisionRecallCurve]]
    all_classes: PrecisionRecallCurve
    score_threshold: float
    best_f1: dict[str, ThresholdMetrics]
    best_f1_all_classes: ThresholdMetrics
    at_threshold: ThresholdMetrics
    calibration: CalibrationCurve
    by_size: dict[str, SizeRecall]
    categories: tuple[str, ...]
    confusion_matrix: NDArray[np.int64]
    seconds: NDArray[np.float64]


def evaluate_detections(
    predictions: Sequence[Detections],
    dataset: ImageSet,
    seconds: Sequence[float],
    score_threshold: float = DEFAULT_SCORE,
) -> DetectionMetrics:
    """Evaluates detections against ground truth.

    Args:
        predictions: The detections of each image, down to scores far below `score_threshold`.
        dataset: The ground truth, with the detector's labels.
        seconds: Time of detection of each image.
        score_threshold: Least score of the detections in the confusion matrix and in the metrics at one threshold.

    Example:
        >>> metrics = evaluate_detections([], ImageSet(("person",), ()), [])
        >>> metrics.num_images, metrics.confusion_matrix.shape
        (0, (2, 2))
    """
    curves_by_iou = {
        threshold: precision_recall_curves(predictions, dataset, threshold) for threshold in IOU_THRESHOLDS
    }
    class_curves = curves_by_iou[IOU_THRESHOLDS[0]]
    all_classes = merge_classes(list(class_curves.values()))
    confident = [detections[detections.scores >= score_threshold] for detections in predictions]
    return DetectionMetrics(
        num_images=len(dataset.images),
        num_objects={name: number for name, number in count_objects(dataset).items() if number},
        coco_metrics=average_precision(zip(predictions, dataset.images, strict=True), dataset.categories),
        curves=curves_by_iou,
        all_classes=all_classes,
        score_threshold=score_threshold,
        best_f1={name: best_f1_threshold(curve) for name, curve in class_curves.items()},
        best_f1_all_classes=best_f1_threshold(all_classes),
        at_threshold=metrics_at_threshold(all_classes, score_threshold),
        calibration=calibration_curve(all_classes),
        by_size=recall_by_size(confident, dataset, IOU_THRESHOLDS[0]),
        categories=dataset.categories,
        confusion_matrix=confusion_matrix(confident, dataset, IOU_THRESHOLDS[0]),
        seconds=np.array(seconds, np.float64),
    )
