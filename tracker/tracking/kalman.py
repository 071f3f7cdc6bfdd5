"""A constant-velocity Kalman filter for boxes, over all tracks at once and over the real time between frames."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME = 1 / 30
"""Seconds of one step of the paper's filter, whose noise is given per frame."""


class KalmanFilter:
    """Filters boxes (cx, cy, a, h) and their velocities, each of the four axes on its own.

    A mean is a row of float64 (N, 8): cx, cy, a, h in pixels of the frame (a = width / height has no unit), then
    their velocities per second. The axes are uncoupled, so that a covariance is 4 blocks of 2 x 2, and a row of
    float64 (N, 3, 4): the variances of the four positions, their covariances with their velocities, and the
    variances of the velocities.

    Noise is proportional to the height of the box. Process noise is a random walk: its variance grows linearly
    with the interval, so that N steps of dt add N times the noise of one, and one step of 1/30 s is exactly one
    frame of the paper's filter. Source: arXiv 1703.07402, section 2.1.
    """

    def __init__(self, position_noise: float = 1 / 20, velocity_noise: float = 1 / 160) -> None:
        """Sets the process noise of one step of 1/30 s.

        Args:
            position_noise: Standard deviation of cx, cy and h, as a fraction of the height.
            velocity_noise: Standard deviation of their velocities per 1/30 s, as a fraction of the height.
        """
        self._position_noise = position_noise
        self._velocity_noise = velocity_noise

    def initiate(self, measurements: Floats) -> tuple[Floats, Floats]:
        """Float64 (N, 4) xyah -> means (N, 8), at rest, and covariances (N, 3, 4) of new tracks."""
        height = measurements[:, 3]
        covariance = np.zeros((len(measurements), 3, 4))
        covariance[:, 0] = _per_axis(2 / 20 * height, 1e-2) ** 2
        covariance[:, 2] = (_per_axis(10 / 160 * height, 1e-5) / FRAME) ** 2
        return np.concatenate([measurements, np.zeros_like(measurements)], axis=1), covariance

    def predict(self, mean: Floats, covariance: Floats, dt: float) -> tuple[Floats, Floats]:
        """Means (N, 8) and covariances (N, 3, 4), `dt` seconds later."""
        height = mean[:, 3]
        steps = dt / FRAME
        moved = mean.copy()
        moved[:, :4] += dt * mean[:, 4:]
        position, cross, velocity = covariance[:, 0], covariance[:, 1], covariance[:, 2]
        spread = np.empty_like(covariance)
        spread[:, 0] = position + 2 * dt * cross + dt**2 * velocity
        spread[:, 0] += steps * _per_axis(self._position_noise * height, 1e-2) ** 2
        spread[:, 1] = cross + dt * velocity
        spread[:, 2] = velocity + steps * (_per_axis(self._velocity_noise * height, 1e-5) / FRAME) ** 2
        return moved, spread

    def update(self, mean: Floats, covariance: Floats, measurements: Floats) -> tuple[Floats, Floats]:
        """Means (N, 8) and covariances (N, 3, 4) after measurements (N, 4) xyah, row by row."""
        noise = _measurement_variance(mean)
        position, cross, velocity = covariance[:, 0], covariance[:, 1], covariance[:, 2]
        total = position + noise
        innovation = measurements - mean[:, :4]
        corrected = mean + np.concatenate([position / total * innovation, cross / total * innovation], axis=1)
        shrunk = np.stack([position * noise / total, cross * noise / total, velocity - cross**2 / total], axis=1)
        return corrected, shrunk

    def gating_distance(self, mean: Floats, covariance: Floats, measurements: Floats) -> Floats:
        """Squared Mahalanobis distance of every measurement to every track.

        Args:
            mean: float64 (T, 8).
            covariance: float64 (T, 3, 4).
            measurements: float64 (N, 4) xyah.

        Returns:
            float64 (T, N), without unit. Source: arXiv 1703.07402, equation 1.
        """
        precision = 1 / (covariance[:, 0] + _measurement_variance(mean))
        distance = np.zeros((len(mean), len(measurements)))
        for axis in range(4):  # four (T, N) arrays are faster than one (T, N, 4)
            distance += precision[:, axis, None] * (measurements[None, :, axis] - mean[:, axis, None]) ** 2
        return distance


def _per_axis(of_height: Floats, of_aspect: float) -> Floats:
    """(N,) for cx, cy, h and one number for a -> (N, 4) in the order of the state."""
    rows = np.empty((len(of_height), 4))
    rows[:] = of_height[:, None]
    rows[:, 2] = of_aspect
    return rows


def _measurement_variance(mean: Floats) -> Floats:
    return _per_axis(1 / 20 * mean[:, 3], 1e-1) ** 2
