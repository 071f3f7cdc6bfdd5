"""Evaluates detectors, embedders and trackers against ground truth."""

from tracker.evaluation.mot.files import read_sequences, read_tracks
from tracker.evaluation.mot.metrics import TrackingMetrics, combined_metrics, evaluate_sequences, evaluate_tracks

__all__ = [
    "TrackingMetrics",
    "combined_metrics",
    "evaluate_sequences",
    "evaluate_tracks",
    "read_sequences",
    "read_tracks",
]
