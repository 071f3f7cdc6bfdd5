"""Where an object was, with all of its past and future in view, and without gaps."""

import numpy as np
from scipy.linalg import solveh_banded

from tracker.structures.boxes import Floats, xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TICK, Indices
from tracker.tracking.tracklets import Tracklets


def filled(frames: Indices, times: Floats, max_gap: float) -> Indices:
    """The frames of a trajectory, int64 (M,), and those in its gaps of at most `max_gap` seconds.

    Args:
        frames: int64 (R,), ascending, in which it was detected.
        times: float64 (F,), seconds of all frames.
        max_gap: Seconds between two detections.
    """
    whole = np.arange(frames[0], frames[-1] + 1)
    after = np.searchsorted(frames, whole)
    gap = times[frames[after]] - times[frames[np.maximum(after - 1, 0)]]
    kept: Indices = whole[(frames[after] == whole) | (gap <= max_gap + TICK)]
    return kept


def smooth(trajectory: Tracklets, frames: Indices, times: Floats, kalman: KalmanFilter) -> tuple[Floats, Floats]:
    """The most likely path through all detections of one trajectory.

    The model is that of `KalmanFilter`, over real intervals, with the noise of heights that are interpolated. Unlike
    there, nothing but the detections says where a path starts, and no manoeuvres are looked for: a detection that lies
    apart from those before and after it is noise.
    Source: the smoother of Rauch, Tung and Striebel 1965, whose means are the solution of one least-squares problem.

    Args:
        trajectory: One tracklet.
        frames: int64 (M,), ascending, those of its detections among them.
        times: float64 (F,), seconds of all frames.
        kalman: The filter.

    Returns:
        Boxes float64 (M, 4) xyxy, and velocities of their centres, float64 (M, 2), pixels per second.
    """
    measured = xyxy_to_xyah(trajectory.boxes)
    at = times[frames]
    step = np.diff(at)
    height = np.interp(at, trajectory.times, measured[:, 3])
    seen = np.searchsorted(frames, trajectory.frames)
    trust = np.zeros((len(frames), 4))
    trust[seen] = 1 / kalman.measurement_variance(height[seen], trajectory.scores)
    pull = np.zeros((len(frames), 4))
    pull[seen] = trust[seen] * measured
    rest = 1 / kalman.initiate(measured[:1])[1][0, 2]
    stiffness = 1 / kalman.process_variance(height[1:], step[:, None])
    path = [_most_likely(trust[:, i], pull[:, i], stiffness[:, :, i], rest[i], step) for i in range(4)]
    boxes = xyah_to_xyxy(np.stack([position for position, _ in path], axis=1))
    return boxes, np.stack([velocity for _, velocity in path[:2]], axis=1)


def _most_likely(trust: Floats, pull: Floats, stiffness: Floats, rest: float, step: Floats) -> tuple[Floats, Floats]:
    """Positions p and velocities v along one axis, float64 (M,) each, by their normal equations.

    Least is the sum of trust * (p - measured)^2, of stiffness[:, 0] * (p' - p - step * v)^2 and
    stiffness[:, 1] * (v' - v)^2 from each frame to the next, and of rest * v^2 in the first.

    Args:
        trust: float64 (M,), 1 / variance of what was measured, 0 where nothing was.
        pull: float64 (M,), trust * measured.
        stiffness: float64 (M - 1, 2), 1 / variances of what the intervals add to positions and velocities.
        rest: 1 / variance of the first velocity.
        step: float64 (M - 1,), the intervals, seconds.
    """
    bands = np.zeros((3, len(trust), 2))  # the diagonal and those below it, of the unknowns p, v, p', v', ...
    bands[0, :, 0] = trust
    bands[0, 0, 1] = rest
    bands[0, :-1] += stiffness
    bands[0, 1:] += stiffness
    lever = stiffness[:, 0] * step
    bands[0, :-1, 1] += lever * step
    bands[1, :-1, 0], bands[1, :-1, 1] = lever, -lever
    bands[2, :-1] = -stiffness
    right = np.stack([pull, np.zeros_like(pull)], axis=1)
    solution = solveh_banded(bands.reshape(3, -1), right.ravel(), lower=True).reshape(-1, 2)
    return solution[:, 0], solution[:, 1]
