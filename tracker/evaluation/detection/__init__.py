"""How good a detector is: average precision, curves, confusions, and pictures of what it got right and wrong."""

from tracker.evaluation.detection.precision import average_precision
from tracker.evaluation.detection.report import write_report
from tracker.evaluation.detection.scores import DetectorScores, measured

__all__ = ["DetectorScores", "average_precision", "measured", "write_report"]
