"""How good a detector is: average precision, curves, confusions, and pictures of what it got right and wrong."""

from tracker.evaluation.detection.average_precision import average_precision
from tracker.evaluation.detection.metrics import DetectorScores, measured
from tracker.evaluation.detection.report import write_report

__all__ = ["DetectorScores", "average_precision", "measured", "write_report"]
