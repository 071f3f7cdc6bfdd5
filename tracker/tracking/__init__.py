"""From the detections of each frame to tracks: Kalman filter, association costs, assignment and DeepSORT."""

from tracker.tracking.deepsort import DeepSort, Rescorer, nothing_there
from tracker.tracking.kalman import KalmanFilter

__all__ = ["DeepSort", "KalmanFilter", "Rescorer", "nothing_there"]
