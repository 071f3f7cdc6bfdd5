"""The settings of a detector's evaluation."""

from pydantic import Field

from tracker.config.run import DetectorConfig
from tracker.config.section import Fraction01


class DetectorScoring(DetectorConfig):
    """How a detector is measured: `track eval detector PATH`."""

    score: Fraction01 = 0.02
    """Detections below this score are dropped: average precision wants to see nearly all."""
    at: Fraction01 = DetectorConfig().score
    """Least score of what is counted in the confusion matrix, by size, and drawn: what you mean to give to --score of
    track."""
    rename: dict[str, str] = Field(default={})
    """Classes of the pictures that the detector calls otherwise: {their name: the detector's}."""
