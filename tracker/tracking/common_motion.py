"""The motion of the camera, estimated from the tracks and the detections alone: what all tracks have in common."""

import numpy as np

from tracker.structures.boxes import Floats
from tracker.tracking.candidate_pairs import Indices

_MIN_TRACKS = 3
"""Fewest tracks whose deviations can have something in common."""
_MAX_TRACKS = 64
"""Most tracks that are looked at, evenly chosen: more of them add time and no accuracy."""
_MAX_LOG_RATIO = 0.3
"""Largest difference of the logarithms of the heights of a track and a detection of the same object."""
_MAX_DISTANCE = 1.5
"""Largest distance of the same, box heights."""
_ROUNDS = 2
"""Rounds of the search of pairs and shift, and of the robust mean."""
_SMALL_SHIFT = 0.1
"""Shift, in heights of the smallest track, for which the pairs are not searched again."""
_MEDIAN_VARIANCE = np.pi / 2
"""Variance of a robust mean of normal numbers, relative to that of their mean; here that of the median."""
_MEMORY = 0.95
"""Weight of the frames before in the variance of the camera's motion."""
_SIGNIFICANT = 9.0
"""Squared shift, in its variances, beyond which a frame alone shows that the camera moved: three standard errors."""


class CommonMotion:
    """An estimator of the translation of a camera from frame to frame.

    The shift of a frame is a robust mean of the deviations of the detections from the predicted tracks. It is shrunk by
    its variance, relative to the variance of the shifts so far: before a fixed camera to nothing, so that the noise of
    the detections moves no track; before one that shakes or pans hardly at all.
    Sources: Morris 1983, Parametric Empirical Bayes Inference, for the shrinkage; Besl and McKay 1992 (ICP) for the
    search of pairs and shift in turn.

    Example:
        >>> boxes = np.array([[10.0, 10, 0.5, 40], [90, 20, 0.5, 50], [50, 70, 0.5, 60]])
        >>> shift = CommonMotion().update(boxes, np.ones((3, 2)), boxes + [20, 0, 0, 0])
        >>> shift.round().tolist()
        [20.0, 0.0]
    """

    def __init__(self) -> None:
        """Starts with a camera that stands still."""
        self._variance = np.zeros(2)

    def update(self, predicted: Floats, variance: Floats, measurements: Floats) -> Floats:
        """Returns the translation in pixels, float64 (2,), of a frame's detections beside the predicted tracks.

        Args:
            predicted: float64 (T, 4) xyah of tracks that were detected in the frame before.
            variance: float64 (T, 2), of the deviation of each track's center from its detection, square pixels.
            measurements: float64 (N, 4) xyah of the detections.
        """
        step = max(-(-len(predicted) // _MAX_TRACKS), 1)
        tracks, deviation = _deviations(predicted[::step], measurements)
        if not len(tracks):
            return np.zeros(2)
        shift = np.median(deviation, axis=0)
        for _ in range(_ROUNDS):  # Cauchy's weights: a track that turned, or was paired wrongly, counts little
            weight = 1 / (variance[::step][tracks] + (deviation - shift) ** 2 / 4)
            shift = (weight * deviation).sum(0) / weight.sum(0)
        error = _MEDIAN_VARIANCE / weight.sum(0)
        self._variance = _MEMORY * self._variance + (1 - _MEMORY) * (shift**2 - error)
        prior = np.maximum(self._variance, np.maximum(shift**2 - _SIGNIFICANT * error, 0))
        shrunk: Floats = shift * prior / (prior + error)
        return shrunk


def _deviations(predicted: Floats, measurements: Floats) -> tuple[Indices, Floats]:
    """Returns the tracks that are paired with a detection, int64 (P,), and their distances from it, (P, 2) pixels.

    Each track is paired with the detection of its size that is nearest, if it is nearest to that in turn. There are no
    pairs if they are too few to have something in common.
    """
    none = np.zeros(0, np.int64), np.zeros((0, 2))
    if min(len(predicted), len(measurements)) < _MIN_TRACKS:
        return none
    height = predicted[:, 3, None]
    different = np.abs(np.log(height) - np.log(measurements[:, 3])) > _MAX_LOG_RATIO
    x, y = measurements[:, 0] - predicted[:, 0, None], measurements[:, 1] - predicted[:, 1, None]
    shift = np.zeros(2)
    for _ in range(_ROUNDS):
        distance = (np.abs(x - shift[0]) + np.abs(y - shift[1])) / height
        distance[different] = np.inf
        tracks, detections = _mutual_nearest(distance)
        if len(tracks) < _MIN_TRACKS:
            return none
        deviation = measurements[detections, :2] - predicted[tracks, :2]
        shift = np.median(deviation, axis=0)
        if np.abs(shift).max() < _SMALL_SHIFT * height.min():
            break  # the nearest are the same without it
    return tracks, deviation


def _mutual_nearest(distance: Floats) -> tuple[Indices, Indices]:
    """Returns rows and columns of the pairs of which each side is the other's nearest, and near enough."""
    nearest = distance.argmin(1)
    rows = np.arange(len(distance))
    mutual = (distance.argmin(0)[nearest] == rows) & (distance[rows, nearest] <= _MAX_DISTANCE)
    return rows[mutual], nearest[mutual]
