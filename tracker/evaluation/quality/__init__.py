"""Measures the quality of tracks without ground truth: by a second pass with time running backward, and by gaps."""

from tracker.evaluation.quality.quality import Quality, TrackQuality, measure_quality
from tracker.evaluation.quality.run import measure_run

__all__ = ["Quality", "TrackQuality", "measure_quality", "measure_run"]
