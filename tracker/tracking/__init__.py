"""From the detections of each frame to tracks: Kalman filter, association costs, assignment and DeepSORT."""

from tracker.tracking.deepsort import DeepSort, Rescorer, no_rescoring
from tracker.tracking.kalman import KalmanFilter

__all__ = ["DeepSort", "KalmanFilter", "Rescorer", "no_rescoring"]
