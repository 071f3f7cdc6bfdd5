"""Speeds in metres per second, from the known places of points on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tracker.analytics.trajectories import Floats, Trajectory
from tracker.config import AnalyticsConfig
from tracker.config.zones import CalibrationConfig
from tracker.errors import InputError

_SAMPLES = 200
"""Homographies of points that are moved at random by their error, of which the spread is that of the speeds."""
_MOST_CORRELATION = 0.95


class GroundPlane:
    """The ground, in metres, that the image shows.

    Attributes:
        size: Width and height of the image, pixels.
        error: Standard deviation of the marked points, pixels: the reprojection error or, where that is smaller or
            unknown, the error of marking them.
        reprojection_error: Root mean square distance of the marked points from where their places on the ground are in
            the image, pixels; 0 for four points, which any homography fits, and for a length.
    """

    def __init__(self, calibration: CalibrationConfig, size: tuple[int, int]) -> None:
        """Fits the homography from pixels to metres.

        Args:
            calibration: Points with their places on the ground, or one length.
            size: Width and height of the image, pixels.

        Raises:
            InputError: The points do not determine the ground, for example because three are on a line.
        """
        self.size = size
        self.reprojection_error = 0.0
        self.error = calibration.click_error
        generator = np.random.default_rng(0)  # the same interval for the same calibration
        if calibration.length is not None:
            ends = np.array(calibration.length.image) * size
            self._homographies = _scales(ends, calibration.length.metres, self.error, generator)
            return
        image = np.array([point.image for point in calibration.points]) * size
        ground = np.array([point.ground for point in calibration.points])
        self._check(image, ground)
        if len(image) > 4:
            residuals = _residuals(image, ground)
            self.reprojection_error = float(np.sqrt((residuals**2).sum() / len(image)))
            self.error = max(self.error, float(np.sqrt((residuals**2).sum() / (2 * len(image) - 8))))
        moved = image + generator.normal(0, self.error, (_SAMPLES, *image.shape))
        self._homographies = np.stack([_fit(points, ground) for points in [image, *moved]])

    @staticmethod
    def _check(image: Floats, ground: Floats) -> None:
        for points, where in ((image, "in the image"), (ground, "on the ground")):
            centered = points - points.mean(axis=0)
            spread = np.linalg.svd(centered, compute_uv=False)
            if spread[1] < 1e-3 * spread[0]:
                raise InputError(f"the points of the calibration are on one line {where}: give the corners of an area")
        homography, _ = cv2.findHomography(image, ground, 0)
        if homography is None or abs(np.linalg.det(homography)) < 1e-12 or not np.isfinite(homography).all():
            raise InputError("no plane fits the points of the calibration: no three of them may be on one line")

    def to_metres(self, points: Floats) -> Floats:
        """Returns where (..., 2) points in pixels are on the ground, metres."""
        return _project(self._homographies[0], points)

    def samples(self, points: Floats) -> Floats:
        """Returns where (N, 2) points may be, float64 (S, N, 2), metres, for S calibrations within the error."""
        return np.stack([_project(homography, points) for homography in self._homographies[1:]])


def _scales(ends: Floats, metres: float, error: float, generator: np.random.Generator) -> Floats:
    length = float(np.linalg.norm(ends[1] - ends[0]))
    if length < 1:
        raise InputError("the known length of the calibration is shorter than a pixel: mark a longer one")
    lengths = np.append(length, np.maximum(1.0, generator.normal(length, np.sqrt(2) * error, _SAMPLES)))
    homographies = np.zeros((len(lengths), 3, 3))
    homographies[:, 0, 0] = homographies[:, 1, 1] = metres / lengths
    homographies[:, 2, 2] = 1
    return homographies


def _fit(image: Floats, ground: Floats) -> Floats:
    """Returns the homography to the ground whose errors in the image, where points are marked, are least."""
    homography, _ = cv2.findHomography(ground, image, 0)
    return np.asarray(np.linalg.inv(homography))


def _residuals(image: Floats, ground: Floats) -> Floats:
    return np.asarray(_project(np.asarray(np.linalg.inv(_fit(image, ground)), np.float64), ground) - image)


def _project(homography: Floats, points: Floats) -> Floats:
    mapped = points @ homography[:, :2].T + homography[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(mapped[..., :2] / mapped[..., 2:])


@dataclass(frozen=True)
class TrackSpeed:
    """The speed of a track.

    Attributes:
        track_id: The track.
        category: Its class.
        start_s: Of the measurement, seconds.
        end_s: As `start_s`.
        distance_m: Metres along its path.
        speed_m_s: Mean speed, metres per second.
        low_m_s: Lower end of the interval of the mean speed.
        high_m_s: Upper end.
        fastest_m_s: Highest speed over a window, metres per second.
    """

    track_id: int
    category: str
    start_s: float
    end_s: float
    distance_m: float
    speed_m_s: float
    low_m_s: float
    high_m_s: float
    fastest_m_s: float


def measure_speeds(
    paths: Sequence[Trajectory], plane: GroundPlane, config: AnalyticsConfig | None = None
) -> list[TrackSpeed]:
    """Returns the mean speed of each track that was seen long enough.

    A path is divided into windows of equal length, and its velocity in each is that of the straight line through its
    detected points, on the ground, that fits best. The interval holds the errors of these fits, whose points are
    correlated as their residuals are, and that of the calibration.

    Args:
        paths: The paths of all tracks; the anchor has to be on the ground.
        plane: The ground.
        config: Length of a window and level of the interval.
    """
    config = config or AnalyticsConfig()
    found = [_measure(path, plane, config) for path in paths]
    return [speed for speed in found if speed is not None]


def _measure(path: Trajectory, plane: GroundPlane, config: AnalyticsConfig) -> TrackSpeed | None:
    used = path.observed & ~_cut_off(path.boxes, plane.size)
    times, points = path.times[used], path.points[used]
    if len(times) < config.min_rows or times[-1] <= times[0]:
        return None
    duration = float(times[-1] - times[0])
    count = max(1, min(int(duration // config.window), len(times) // config.min_rows))
    edges = np.linspace(times[0], times[-1], count + 1)
    window_of = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, count - 1)
    ground = plane.to_metres(points)
    if not np.isfinite(ground).all():
        return None
    parts = [window_of == number for number in range(count)]
    fitted = [_fit_line(times[part], ground[part], points[part]) for part in parts if part.sum() >= config.min_rows]
    windows = [window for window in fitted if window is not None]
    if not windows:
        return None
    seconds = np.array([window.seconds for window in windows])
    weights = seconds / seconds.sum()
    inflation = _inflation([window.residuals for window in windows])
    variances = np.array([window.variance for window in windows]) * inflation
    speeds = np.array([window.speed for window in windows])
    # The length of an uncertain vector is too long on average, by the variance across it.
    speeds = np.sqrt(np.maximum(0.0, speeds**2 - variances))
    mean = float(weights @ speeds)
    deviation = float(np.sqrt(weights**2 @ variances + _calibration_variance(windows, weights, plane)))
    reach = float(norm.ppf((1 + config.level) / 2)) * deviation
    return TrackSpeed(
        path.track_id,
        path.category,
        float(times[0]),
        float(times[-1]),
        mean * duration,
        mean,
        max(0.0, mean - reach),
        mean + reach,
        float(speeds.max()),
    )


def _cut_off(boxes: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns True for boxes that reach the left, right or lower border: where they touch the ground is not seen."""
    width, height = size
    return np.asarray((boxes[:, 0] <= 1) | (boxes[:, 2] >= width - 1) | (boxes[:, 3] >= height - 1))


@dataclass(frozen=True, eq=False)
class _Window:
    """The straight line through the points of a window."""

    seconds: float
    speed: float  # metres per second
    variance: float  # of the speed, if the points are independent
    residuals: Floats  # (T, 2), metres
    ends: Floats  # (2, 2), of the line through the points in the image, pixels


def _fit_line(times: Floats, ground: Floats, points: Floats) -> _Window | None:
    seconds = float(times[-1] - times[0])
    if seconds <= 0:
        return None
    centered = times - times.mean()
    spread = float((centered**2).sum())
    velocity = centered @ ground / spread
    residuals = ground - ground.mean(axis=0) - centered[:, None] * velocity
    variance = float((residuals**2).sum()) / max(1, 2 * len(times) - 4) / spread
    in_image = centered @ points / spread
    ends = points.mean(axis=0) + np.array([[-0.5], [0.5]]) * seconds * in_image
    return _Window(seconds, float(np.linalg.norm(velocity)), variance, residuals, ends)


def _inflation(residuals: Sequence[Floats]) -> float:
    """Returns by how much the correlation of successive residuals enlarges the variance of a mean of them.

    Source: Bartlett 1946, for a first-order autoregression: (1 + r) / (1 - r).
    """
    power = sum(float((part**2).sum()) for part in residuals)
    product = sum(float((part[1:] * part[:-1]).sum()) for part in residuals)
    correlation = min(max(0.0, product / power if power > 0 else 0.0), _MOST_CORRELATION)
    return (1 + correlation) / (1 - correlation)


def _calibration_variance(windows: Sequence[_Window], weights: Floats, plane: GroundPlane) -> float:
    """Returns the variance of the mean speed that the error of the calibration causes."""
    ends = plane.samples(np.concatenate([window.ends for window in windows]))
    steps = ends[:, 1::2] - ends[:, ::2]
    speeds = np.linalg.norm(steps, axis=-1) / np.array([window.seconds for window in windows])
    means = speeds @ weights
    means = means[np.isfinite(means)]
    return float(means.var()) if len(means) else 0.0
