"""A constant-velocity Kalman filter for boxes, over all tracks at once and over the real time between frames."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats

FRAME = 1 / 30
"""Seconds of one step of the paper's filter, whose noise is given per frame."""

IDENTITY: Floats = np.eye(2, 3)
"""What a camera that stands still does to pixels."""
IDENTITY.setflags(write=False)

_ASPECT, _ASPECT_NOISE = 2, 1e-1
"""Column of the aspect ratio, and the standard deviation of its measurement, which has no unit."""


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

    def __init__(
        self,
        position_noise: float = 1 / 20,
        velocity_noise: float = 1 / 160,
        measurement_noise: float = 1 / 20,
        confidence_noise: float = 0.0,
        adaptive_noise_gate: float = 0.0,
    ) -> None:
        """Sets the noise; the defaults are the paper's.

        Args:
            position_noise: Standard deviation that 1/30 s adds to cx, cy and h, as a fraction of the height.
            velocity_noise: The same for their velocities per 1/30 s.
            measurement_noise: Standard deviation of measured cx, cy and h, as a fraction of the height.
            confidence_noise: Share of the measurement's variance that goes at a score of 1. Source: NSA, equation 3 of
                arXiv 2202.13514.
            adaptive_noise_gate: Squared deviation in variances, along one axis, up to which a measurement is taken as
                noise. One beyond it widens the covariance of its axis until it is just that far out; 0 never does.
        """
        of_height = np.array([1.0, 1, 0, 1])  # a has no unit, and noise of its own
        position = of_height * position_noise**2, (1 - of_height) * 1e-2**2
        velocity = of_height * velocity_noise**2, (1 - of_height) * 1e-5**2
        # Per second: the part that grows with the squared height, and the rest; each of positions and velocities.
        self._process = np.stack([position, np.divide(velocity, FRAME**2)], axis=1) / FRAME
        self._measurement = of_height * measurement_noise**2
        self._confidence_noise = confidence_noise
        self._adaptive_noise_gate = adaptive_noise_gate

    def initiate(self, measurements: Floats) -> tuple[Floats, Floats]:
        """Float64 (N, 4) xyah -> means (N, 8), at rest, and covariances (N, 3, 4) of new tracks."""
        height = measurements[:, 3]
        covariance = np.zeros((len(measurements), 3, 4))
        covariance[:, 0] = _per_axis(2 / 20 * height, 1e-2) ** 2
        covariance[:, 2] = (_per_axis(10 / 160 * height, 1e-5) / FRAME) ** 2
        return np.concatenate([measurements, np.zeros_like(measurements)], axis=1), covariance

    def predict(self, mean: Floats, covariance: Floats, dt: float | Floats) -> tuple[Floats, Floats]:
        """Means (N, 8) and covariances (N, 3, 4), `dt` seconds later: one number, or (N, 1)."""
        moved = mean.copy()
        moved[:, :4] += dt * mean[:, 4:]
        drift = dt * covariance[:, 2]
        spread = covariance.copy()
        spread[:, 0] += dt * (2 * covariance[:, 1] + drift)
        spread[:, 1] += drift
        spread[:, ::2] += self.process_variance(mean[:, 3], dt)
        return moved, spread

    def update(
        self, mean: Floats, covariance: Floats, measurements: Floats, scores: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Means (N, 8) and covariances (N, 3, 4) after measurements, row by row.

        Args:
            mean: float64 (N, 8).
            covariance: float64 (N, 3, 4).
            measurements: float64 (N, 4) xyah.
            scores: float64 (N,), confidence of each from 0 to 1, and as these beyond; none is as 0.
        """
        noise = self.measurement_variance(mean[:, 3], scores)
        innovation = measurements - mean[:, :4]
        total = covariance[:, 0] + noise
        if self._adaptive_noise_gate:
            turned = innovation**2 > self._adaptive_noise_gate * total
            turned[:, _ASPECT] = False  # people swing their arms
            if turned.any():
                covariance = self._widened(covariance, innovation, noise, turned)
                total = covariance[:, 0] + noise
        position, cross = covariance[:, 0], covariance[:, 1]
        pull = innovation / total
        corrected = mean.copy()
        corrected[:, :4] += position * pull
        corrected[:, 4:] += cross * pull
        shrunk = covariance.copy()
        shrunk[:, :2] *= (noise / total)[:, None]
        shrunk[:, 2] -= cross**2 / total
        return corrected, shrunk

    def process_variance(self, height: Floats, dt: float | Floats) -> Floats:
        """What an interval adds to the variances of positions and velocities, float64 (N, 2, 4).

        Args:
            height: float64 (N,), of the boxes, pixels.
            dt: Seconds, one number or (N, 1).
        """
        per_second = (height**2)[:, None, None] * self._process[0] + self._process[1]
        variance: Floats = np.reshape(dt, (-1, 1, 1)) * per_second
        return variance

    def measurement_variance(self, height: Floats, scores: Floats | None = None) -> Floats:
        """Variances of what is measured of boxes, float64 (N, 4).

        Args:
            height: float64 (N,), pixels.
            scores: float64 (N,), confidence from 0 to 1, and as these beyond; none is as 0.
        """
        variance: Floats = (height**2)[:, None] * self._measurement
        variance[:, _ASPECT] = _ASPECT_NOISE**2
        if self._confidence_noise and scores is not None:
            variance *= (1 - self._confidence_noise * np.minimum(np.maximum(scores, 0), 1))[:, None]
        return variance

    def gating_distance(self, mean: Floats, covariance: Floats, measurements: Floats) -> Floats:
        """Squared Mahalanobis distance of measurements from tracks, row by row.

        Args:
            mean: float64 (P, 8).
            covariance: float64 (P, 3, 4).
            measurements: float64 (P, 4) xyah.

        Returns:
            float64 (P,), without unit. Source: arXiv 1703.07402, equation 1.
        """
        total = covariance[:, 0] + self.measurement_variance(mean[:, 3])
        distance: Floats = ((measurements - mean[:, :4]) ** 2 / total).sum(1)
        return distance

    def _widened(self, covariance: Floats, innovation: Floats, noise: Floats, turned: NDArray[np.bool_]) -> Floats:
        wanted = innovation**2 / self._adaptive_noise_gate - noise
        fading = np.where(turned, wanted / covariance[:, 0], 1)
        return covariance * fading[:, None]


def warp(mean: Floats, covariance: Floats, camera: Floats) -> tuple[Floats, Floats]:
    """States of the Kalman filter, brought from the pixels of the frame before into those of this frame.

    Centres are mapped, their velocities turned and scaled, and the spread of both with them. Heights and their spread
    are scaled by the square root of the determinant. For pan and zoom this is exact. Neglected are the correlation of x
    and y that a roll makes of unequal spreads, the shear that ECC may find, the error of the measurement, and that the
    box around something turned is wider, by 2 % of the height for each degree: from one frame to the next all are small
    beside the noise of detections, some 5 % of the height.

    Args:
        mean: float64 (T, 8), see `KalmanFilter`.
        covariance: float64 (T, 3, 4), see `KalmanFilter`.
        camera: float64 (2, 3), as `CameraMotion.update` returns it.

    Returns:
        Means and covariances; the same arrays, untouched, where the camera stands still.
    """
    if np.array_equal(camera, IDENTITY):
        return mean, covariance
    turn = camera[:, :2]
    scale = sqrt(abs(np.linalg.det(turn)))
    moved, spread = mean.copy(), covariance.copy()
    moved[:, :2] = mean[:, :2] @ turn.T + camera[:, 2]
    moved[:, 4:6] = mean[:, 4:6] @ turn.T
    moved[:, [3, 7]] *= scale
    spread[:, :, :2] = covariance[:, :, :2] @ (turn**2).T
    spread[:, :, 3] *= scale**2
    return moved, spread


def _per_axis(of_height: Floats, of_aspect: float) -> Floats:
    """(N,) for cx, cy, h and one number for a -> (N, 4) in the order of the state."""
    rows = np.empty((len(of_height), 4))
    rows[:] = of_height[:, None]
    rows[:, _ASPECT] = of_aspect
    return rows
