"""Smoothing of trajectories by all of their detections, and interpolation of their gaps."""

import numpy as np

from tracker.structures.boxes import Floats, xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking.candidate_pairs import Mask
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TIME_TOLERANCE, Indices
from tracker.tracking.tracklets import Tracklets

_MAX_SCORE = 0.999999
"""Greatest score that counts: 1 leaves no noise where `confidence_noise` is 1."""
_MAX_LOG_RATIO = 0.2
"""Largest difference of the logarithms of the heights at both ends of a gap."""


def fill_gaps(frames: Indices, times: Floats, max_gap: float) -> Indices:
    """Returns the frames of a trajectory, int64 (M,), and those in its gaps of at most `max_gap` seconds.

    `frames` are those in which it was detected, int64 (R,), ascending; `times` the seconds of all frames, float64 (F,).
    """
    every = np.arange(frames[0], frames[-1] + 1)
    after = np.searchsorted(frames, every)
    gap = times[frames[after]] - times[frames[np.maximum(after - 1, 0)]]
    filled: Indices = every[(frames[after] == every) | (gap <= max_gap + TIME_TOLERANCE)]
    return filled


def keep_likely_fills(filled: Indices, frames: Indices, heights: Floats, analyzed: Mask, support: float) -> Indices:
    """Returns the frames of a trajectory without the gaps where the object is likelier not there.

    A gap stays filled if the heights at both of its ends agree, and if the object was detected in enough of the frames
    beside it, of as many on each side as the gap has. On sequences of people and of cars most boxes that fill other
    gaps are wrong. Frames in which the detector did not run are no part of a gap.

    Args:
        filled: A result of `fill_gaps`, int64 (M,).
        frames: int64 (R,), those in which the object was detected, ascending.
        heights: float64 (R,), of its box in these, pixels.
        analyzed: bool (F,), True for frames in which the detector ran.
        support: Least fraction of the frames beside a gap in which the object was detected.
    """
    position = np.cumsum(analyzed)[frames]  # of each detection, in the frames in which the detector ran
    missing = np.diff(position) - 1
    first = np.searchsorted(position, position[:-1] - missing, side="left")
    last = np.searchsorted(position, position[1:] + missing, side="right")
    likely = (last - first >= support * 2 * missing) & (np.abs(np.diff(np.log(heights))) <= _MAX_LOG_RATIO)
    after = np.searchsorted(frames, filled)
    kept: Indices = filled[(frames[after] == filled) | np.concatenate([[False], likely | (missing == 0)])[after]]
    return kept


def smooth(trajectory: Tracklets, frames: Indices, times: Floats, kalman: KalmanFilter) -> tuple[Floats, Floats]:
    """Computes the most likely path through all detections of one trajectory.

    The model is that of `KalmanFilter`, over real intervals, with noise in proportion to interpolated sizes. Unlike
    there, nothing is assumed about the start of the path, and the noise does not adapt to maneuvers: a detection that
    lies apart from those before and after it is noise.
    Source: the smoother of Rauch, Tung and Striebel 1965, whose means are the solution of one least-squares problem.

    Args:
        trajectory: One tracklet.
        frames: int64 (M,), ascending, those of its detections among them.
        times: float64 (F,), seconds of all frames.
        kalman: The filter.

    Returns:
        Boxes float64 (M, 4) xyxy, and velocities of their centers, float64 (M, 2), pixels per second.
    """
    measurements = xyxy_to_xyah(trajectory.boxes)
    frame_times = times[frames]
    intervals = np.diff(frame_times)
    size = np.interp(frame_times, trajectory.times, kalman.size(measurements))
    detected = np.searchsorted(frames, trajectory.frames)
    precision = np.zeros((len(frames), 4))
    precision[detected] = 1 / kalman.measurement_variance(size[detected], np.minimum(trajectory.scores, _MAX_SCORE))
    weighted = np.zeros((len(frames), 4))
    weighted[detected] = precision[detected] * measurements
    initial = 1 / kalman.initiate(measurements[:1])[1][0, 2]
    process = 1 / kalman.process_variance(size[1:], intervals[:, None])
    path = [_solve_axis(precision[:, i], weighted[:, i], process[:, :, i], initial[i], intervals) for i in range(4)]
    boxes = xyah_to_xyxy(np.stack([position for position, _ in path], axis=1))
    return boxes, np.stack([velocity for _, velocity in path[:2]], axis=1)


def _solve_axis(
    precision: Floats, weighted: Floats, process: Floats, initial: float, intervals: Floats
) -> tuple[Floats, Floats]:
    """Computes positions p and velocities v along one axis, float64 (M,) each, by their normal equations.

    Minimizes the sum of precision * (p - measurement)^2, of process[:, 0] * (p' - p - interval * v)^2 and
    process[:, 1] * (v' - v)^2 from each frame to the next, and of initial * v^2 in the first.

    Args:
        precision: float64 (M,), 1 / variance of the measurements, 0 where there is none.
        weighted: float64 (M,), precision * measurement.
        process: float64 (M - 1, 2), 1 / variances that the intervals add to positions and velocities.
        initial: 1 / variance of the first velocity.
        intervals: float64 (M - 1,), seconds.
    """
    from scipy.linalg import solveh_banded  # slow to import, and only --offline smooths

    bands = np.zeros((3, len(precision), 2))  # the diagonal and those below it, of the unknowns p, v, p', v', ...
    bands[0, :, 0] = precision
    bands[0, 0, 1] = initial
    bands[0, :-1] += process
    bands[0, 1:] += process
    coupling = process[:, 0] * intervals
    bands[0, :-1, 1] += coupling * intervals
    bands[1, :-1, 0], bands[1, :-1, 1] = coupling, -coupling
    bands[2, :-1] = -process
    right_side = np.stack([weighted, np.zeros_like(weighted)], axis=1)
    solution = solveh_banded(bands.reshape(3, -1), right_side.ravel(), lower=True).reshape(-1, 2)
    return solution[:, 0], solution[:, 1]
