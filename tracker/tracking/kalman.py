"""A constant-velocity Kalman filter for boxes, over all tracks at once and over the real time between frames."""

from functools import cache, lru_cache
from math import sqrt
from typing import Literal

import numpy as np

from tracker.structures.boxes import Floats

FRAME_INTERVAL = 1 / 30
"""Seconds of one step of the paper's filter, whose noise is given per frame."""

IDENTITY: Floats = np.eye(2, 3)
"""The camera motion of a camera that stands still."""
IDENTITY.setflags(write=False)

_ASPECT, _ASPECT_NOISE = 2, 1e-1
"""Column of the aspect ratio, and the standard deviation of its measurement, which has no unit."""


@lru_cache(maxsize=256)
def motion_model(dt: float) -> tuple[Floats, Floats]:
    """Returns the constant-velocity model of one axis, as filterpy makes it, for a time step of `dt` seconds.

    The process noise is that of random walks, which grows linearly with the time step: filterpy discretizes it for one
    second, and it is scaled by `dt`. (`filterpy.common.Q_continuous_white_noise` has noise of the acceleration alone.)
    Returns the transition of position and velocity, and the noise for unit noise per second, float64 (2, 2) each.
    """
    from filterpy.common import kinematic_state_transition  # slow to import: it loads scipy.stats

    transition, noise = kinematic_state_transition(1, dt), dt * _unit_noise()
    for matrix in (transition, noise):
        matrix.setflags(write=False)  # the cache shares them
    return transition, noise


@cache
def _unit_noise() -> Floats:
    """Returns the covariance that 1 s adds to position and velocity, two independent random walks of unit variance."""
    from filterpy.common import van_loan_discretization

    noise: Floats = van_loan_discretization(np.zeros((2, 2)), np.eye(2), 1.0)[1]
    return noise


class KalmanFilter:
    """A Kalman filter of boxes (cx, cy, a, h) and their velocities, where each of the four axes has its own filter.

    A mean is a row of float64 (N, 8): cx, cy, a, h in pixels of the frame (a = width / height has no unit), then
    their velocities per second. The axes are uncoupled, so that a covariance is 4 blocks of 2 x 2, and a row of
    float64 (N, 3, 4): the variances of the four positions, their covariances with their velocities, and the
    variances of the velocities.

    Noise is proportional to the height of the box. Process noise is a random walk: its variance grows linearly
    with the interval, so that N steps of dt add N times the noise of one, and one step of 1/30 s is exactly one
    frame of the paper's filter. Source: arXiv 1703.07402, section 2.1.

    Example:
        >>> kalman = KalmanFilter()
        >>> mean, covariance = kalman.predict(*kalman.initiate(np.array([[320.0, 240.0, 0.5, 100.0]])), dt=0.1)
        >>> mean, covariance = kalman.update(mean, covariance, np.array([[330.0, 240.0, 0.5, 100.0]]))
        >>> bool(320 < mean[0, 0] < 330 and mean[0, 4] > 0)
        True
    """

    def __init__(
        self,
        position_noise: float = 1 / 20,
        velocity_noise: float = 1 / 160,
        measurement_noise: float = 1 / 20,
        confidence_noise: float = 0.0,
        adaptive_noise_gate: float = 0.0,
        noise_unit: Literal["height", "longer side"] = "height",
    ) -> None:
        """Sets the noise; the defaults are the paper's.

        Args:
            position_noise: Standard deviation that 1/30 s adds to cx, cy and h, as a fraction of the height.
            velocity_noise: The same for their velocities per 1/30 s.
            measurement_noise: Standard deviation of measured cx, cy and h, as a fraction of the height.
            confidence_noise: Fraction of the measurement variance that a score of 1 removes. Source: NSA, equation 3 of
                arXiv 2202.13514.
            adaptive_noise_gate: Squared deviation in variances, along one axis, up to which a measurement is taken as
                noise. One beyond it inflates the covariance of its axis until it is just that far out; 0 never does.
            noise_unit: What "the height" above stands for: the height of the box, or its longer side, which suits
                objects of any shape, such as cars.
        """
        of_height = np.array([1.0, 1, 0, 1])  # a has no unit, and noise of its own
        position = of_height * position_noise**2, (1 - of_height) * 1e-2**2
        velocity = of_height * velocity_noise**2, (1 - of_height) * 1e-5**2
        # Per second: the part that grows with the squared height, and the rest; each of positions and velocities.
        self._process = np.stack([position, np.divide(velocity, FRAME_INTERVAL**2)], axis=1) / FRAME_INTERVAL
        self._measurement = of_height * measurement_noise**2
        self._confidence_noise = confidence_noise
        self._adaptive_noise_gate = adaptive_noise_gate
        self._noise_unit = noise_unit

    def initiate(self, measurements: Floats) -> tuple[Floats, Floats]:
        """Returns means (N, 8), at rest, and covariances (N, 3, 4) of new tracks from float64 (N, 4) xyah."""
        size = self.size(measurements)
        covariance = np.zeros((len(measurements), 3, 4))
        covariance[:, 0] = _per_axis(2 / 20 * size, 1e-2) ** 2
        covariance[:, 2] = (_per_axis(10 / 160 * size, 1e-5) / FRAME_INTERVAL) ** 2
        return np.concatenate([measurements, np.zeros_like(measurements)], axis=1), covariance

    def predict(self, mean: Floats, covariance: Floats, dt: float | Floats) -> tuple[Floats, Floats]:
        """Returns means (N, 8) and covariances (N, 3, 4) `dt` seconds later; `dt` is one number, or (N, 1)."""
        step, growth = _time_step(dt)
        predicted = mean.copy()
        predicted[:, :4] += step * mean[:, 4:]
        drift = step * covariance[:, 2]
        spread = covariance.copy()
        spread[:, 0] += step * (2 * covariance[:, 1] + drift)
        spread[:, 1] += drift
        spread[:, ::2] += growth[..., None] * self._process_per_second(self.size(mean))
        return predicted, spread

    def update(
        self, mean: Floats, covariance: Floats, measurements: Floats, scores: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Returns means (N, 8) and covariances (N, 3, 4) after measurements, row by row.

        Args:
            mean: float64 (N, 8).
            covariance: float64 (N, 3, 4).
            measurements: float64 (N, 4) xyah.
            scores: float64 (N,), confidence of each, clipped to 0 to 1; none counts as 0.
        """
        noise = self.measurement_variance(self.size(mean), scores)
        innovation = measurements - mean[:, :4]
        total = covariance[:, 0] + noise
        if self._adaptive_noise_gate:
            outside = innovation**2 > self._adaptive_noise_gate * total
            outside[:, _ASPECT] = False  # people swing their arms
            if outside.any():
                wanted = innovation**2 / self._adaptive_noise_gate - noise
                covariance = covariance * np.where(outside, wanted / covariance[:, 0], 1)[:, None]
                total = covariance[:, 0] + noise
        position, cross = covariance[:, 0], covariance[:, 1]
        normalized = innovation / total
        updated = mean.copy()
        updated[:, :4] += position * normalized
        updated[:, 4:] += cross * normalized
        reduced = covariance.copy()
        reduced[:, :2] *= (noise / total)[:, None]
        reduced[:, 2] -= cross**2 / total
        return updated, reduced

    def size(self, boxes: Floats) -> Floats:
        """Returns the pixels, (N,), that the noise of boxes (N, 4) xyah, or of means (N, 8), is proportional to."""
        height: Floats = boxes[:, 3]
        return height if self._noise_unit == "height" else height * np.maximum(boxes[:, 2], 1)

    def process_variance(self, size: Floats, dt: float | Floats) -> Floats:
        """Returns the variances, (N, 2, 4), that `dt` seconds add to positions and velocities of boxes of `size` (N,).

        The size is in pixels; `dt` is one number, or (N, 1).
        """
        variance: Floats = _time_step(dt)[1][..., None] * self._process_per_second(size)
        return variance

    def measurement_variance(self, size: Floats, scores: Floats | None = None) -> Floats:
        """Returns the variances, float64 (N, 4), of measured boxes of `size` (N,), pixels.

        The scores (N,), their confidence, are clipped to 0 to 1; none counts as 0.
        """
        variance: Floats = (size**2)[:, None] * self._measurement
        variance[:, _ASPECT] = _ASPECT_NOISE**2
        if self._confidence_noise and scores is not None:
            variance *= (1 - self._confidence_noise * np.minimum(np.maximum(scores, 0), 1))[:, None]
        return variance

    def gating_distance(self, mean: Floats, covariance: Floats, measurements: Floats) -> Floats:
        """Returns the squared Mahalanobis distance, float64 (P,), of measurements (P, 4) xyah from tracks, row by row.

        It has no unit. Means are (P, 8), covariances (P, 3, 4). Source: arXiv 1703.07402, equation 1.
        """
        total = covariance[:, 0] + self.measurement_variance(self.size(mean))
        distance: Floats = ((measurements - mean[:, :4]) ** 2 / total).sum(1)
        return distance

    def _process_per_second(self, size: Floats) -> Floats:
        return np.asarray((size**2)[:, None, None] * self._process[0] + self._process[1])


def warp(mean: Floats, covariance: Floats, camera_motion: Floats) -> tuple[Floats, Floats]:
    """Transforms states of the Kalman filter from the pixels of the frame before into those of this frame.

    Centers are mapped, their velocities rotated and scaled, and the covariances of both with them. Heights and their
    variances are scaled by the square root of the determinant. For pan and zoom this is exact. Neglected are the
    correlation of x and y that a roll makes of unequal variances, the shear that ECC may find, the error of the
    measurement, and that the box around a rotated object is wider, by 2 % of the height for each degree: from one frame
    to the next all are small beside the noise of detections, some 5 % of the height.

    Means are float64 (T, 8), covariances (T, 3, 4), as in `KalmanFilter`; the camera motion is (2, 3), as
    `CameraMotion.update` returns it. Where the camera stands still, the same arrays are returned.
    """
    if np.array_equal(camera_motion, IDENTITY):
        return mean, covariance
    linear = camera_motion[:, :2]
    scale = sqrt(abs(np.linalg.det(linear)))
    warped, spread = mean.copy(), covariance.copy()
    warped[:, :2] = mean[:, :2] @ linear.T + camera_motion[:, 2]
    warped[:, 4:6] = mean[:, 4:6] @ linear.T
    warped[:, [3, 7]] *= scale
    spread[:, :, :2] = covariance[:, :, :2] @ (linear**2).T
    spread[:, :, 3] *= scale**2
    return warped, spread


def _time_step(dt: float | Floats) -> tuple[Floats, Floats]:
    """Returns shift per unit velocity, and unit noise of position and velocity: () and (2,), or (N, 1) and (N, 2)."""
    # Both are linear in dt, so that for many steps the model of one second is scaled.
    scale, step = (dt, 1.0) if isinstance(dt, np.ndarray) else (1.0, dt)
    transition, noise = motion_model(step)
    return scale * transition[0, 1], scale * noise.diagonal()


def _per_axis(of_height: Floats, of_aspect: float) -> Floats:
    """Returns (N, 4) in the order of the state from (N,) for cx, cy, h and one number for a."""
    values = np.empty((len(of_height), 4))
    values[:] = of_height[:, None]
    values[:, _ASPECT] = of_aspect
    return values
