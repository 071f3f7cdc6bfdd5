"""Tracking by detection: Kalman filter, association costs, assignment, the DeepSORT tracker and offline tracking."""

from tracker.tracking.deepsort import DeepSort, Rescorer, no_rescoring
from tracker.tracking.kalman import KalmanFilter

__all__ = ["DeepSort", "KalmanFilter", "Rescorer", "no_rescoring"]
