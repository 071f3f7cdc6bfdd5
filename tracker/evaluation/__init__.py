"""Measures detectors, embedders and trackers against the truth; each module's own docstring says by what."""

from tracker.evaluation.mot.files import read_sequences, read_tracks
from tracker.evaluation.mot.metrics import TrackScores, evaluate_tracks, score_sequences, score_tracks

__all__ = ["TrackScores", "evaluate_tracks", "read_sequences", "read_tracks", "score_sequences", "score_tracks"]
