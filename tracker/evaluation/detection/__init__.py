"""Evaluates detectors: average precision, precision-recall curves, confusion matrix, and contact sheets."""

from tracker.evaluation.detection.average_precision import average_precision
from tracker.evaluation.detection.evaluate import DetectionMetrics, evaluate_detections
from tracker.evaluation.detection.report import write_report

__all__ = ["DetectionMetrics", "average_precision", "evaluate_detections", "write_report"]
