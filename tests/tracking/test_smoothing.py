"""Smoothed paths, compared with dense least squares and filterpy's RTS smoother, and the frames of filled gaps."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from filterpy.common import kinematic_state_transition
from filterpy.kalman import KalmanFilter as DenseFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.structures.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.smoothing import fill_gaps, smooth
from tracker.tracking.tracklets import Tracklets

NOISE = {"position_noise": 0.005, "velocity_noise": 0.0011, "measurement_noise": 0.075}


def random_walk(frames, times, seed=0):
    """Returns the tracklet of an object on a random walk that is detected in some frames."""
    rng, rows = np.random.default_rng(seed), len(frames)
    center = rng.uniform(200, 600, 2) + np.cumsum(rng.normal(0, 4, (rows, 2)), axis=0)
    size = np.c_[rng.uniform(40, 60, rows), 120 + 10 * np.sin(np.arange(rows) / 3)] / 2
    boxes, scores = np.c_[center - size, center + size], rng.uniform(0.3, 1, rows)
    none, zeros = np.zeros((1, 0)), np.zeros(rows, np.int64)
    return Tracklets(np.array([0, rows]), frames, times[frames], boxes, scores, zeros, zeros, none)


def least_squares(trajectory, frames, times, confidence_noise):
    """Solves one dense system for center, aspect ratio and height, and their velocities, (M, 4) each."""
    box = trajectory.boxes
    size = box[:, 2:] - box[:, :2]
    measurements = np.c_[(box[:, :2] + box[:, 2:]) / 2, size[:, 0] / size[:, 1], size[:, 1]]
    height = np.interp(times[frames], trajectory.times, measurements[:, 3])
    position_of = {frame: i for i, frame in enumerate(frames.tolist())}
    count, solutions = len(frames), []
    for axis in range(4):
        rows, right_side = [], []

        def add_equation(weights, value, deviation, rows=rows, right_side=right_side):
            row = np.zeros(2 * count)
            for column, weight in weights.items():
                row[column] = weight
            rows.append(row / deviation)
            right_side.append(value / deviation)

        for n, frame in enumerate(trajectory.frames.tolist()):
            deviation = 0.1 if axis == 2 else NOISE["measurement_noise"] * height[position_of[frame]]
            deviation *= np.sqrt(1 - confidence_noise * trajectory.scores[n])
            add_equation({2 * position_of[frame]: 1}, measurements[n, axis], deviation)
        add_equation({1: 1}, 0, 30 * (1e-5 if axis == 2 else 10 / 160 * measurements[0, 3]))
        for i, (before, now) in enumerate(pairwise(times[frames])):
            steps = np.sqrt((now - before) * 30)
            position_noise = 1e-2 if axis == 2 else NOISE["position_noise"] * height[i + 1]
            velocity_noise = 1e-5 if axis == 2 else NOISE["velocity_noise"] * height[i + 1]
            add_equation({2 * i + 2: 1, 2 * i: -1, 2 * i + 1: before - now}, 0, position_noise * steps)
            add_equation({2 * i + 3: 1, 2 * i + 1: -1}, 0, 30 * velocity_noise * steps)
        solutions.append(np.linalg.lstsq(np.array(rows), np.array(right_side))[0].reshape(-1, 2))
    solution = np.array(solutions)
    return solution[:, :, 0].T, solution[:, :, 1].T


@pytest.mark.parametrize("confidence_noise", [0, 0.45])
@pytest.mark.parametrize("gaps", ["filled", "open"])
@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_a_path_is_the_least_squares_solution_of_all_detections(count, gaps, confidence_noise):
    rng = np.random.default_rng(count)
    times = 3 + np.cumsum(rng.choice([0.01, 0.04, 0.3], 3 * count))
    frames = np.sort(rng.choice(3 * count, count, replace=False))
    trajectory = random_walk(frames, times)
    output = np.arange(frames[0], frames[-1] + 1) if gaps == "filled" else frames
    boxes, velocities = smooth(trajectory, output, times, KalmanFilter(**NOISE, confidence_noise=confidence_noise))
    state, velocity = least_squares(trajectory, output, times, confidence_noise)
    half = np.c_[state[:, 2] * state[:, 3], state[:, 3]] / 2
    np.testing.assert_allclose(boxes, np.c_[state[:, :2] - half, state[:, :2] + half], rtol=0, atol=1e-6)
    np.testing.assert_allclose(velocities, velocity[:, :2], rtol=0, atol=1e-6)


def test_an_outlier_hardly_changes_a_path():
    frames, times = np.arange(50), np.arange(50) / 25
    trajectory = random_walk(frames, times)
    trajectory.boxes[:] = [100, 100, 150, 220]
    trajectory.boxes[25] += 60
    boxes, _ = smooth(trajectory, frames, times, KalmanFilter(**NOISE))
    assert np.abs(boxes - [100, 100, 150, 220]).max() < 6


def test_smoothing_half_an_hour_of_one_track_takes_little_memory():
    count = 50_000
    frames, times = np.arange(count), np.arange(count) / 25
    trajectory = random_walk(frames, times)
    tracemalloc.start()
    try:
        boxes, _ = smooth(trajectory, frames, times, KalmanFilter(**NOISE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 800 * count
    # Rounding errors of so large a system stay small: the middle of a part that is solved alone is the same.
    part, middle = slice(10_000, 40_000), slice(15_000, 15_010)
    names = ("frames", "times", "boxes", "scores", "labels", "detection_index")
    columns = (getattr(trajectory, name)[part] for name in names)
    part_boxes, _ = smooth(
        Tracklets(np.array([0, 30_000]), *columns, np.zeros((1, 0))), frames[part], times, KalmanFilter(**NOISE)
    )
    np.testing.assert_allclose(boxes[part][middle], part_boxes[middle], rtol=0, atol=1e-6)


@given(st.sets(st.integers(0, 39), min_size=1), st.sampled_from([0, 0.2, 0.5, 10]), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_gaps_are_filled_up_to_the_longest(detected, max_gap, seed):
    times = np.cumsum(np.random.default_rng(seed).choice([1, 2, 5], 40)) / 20  # gaps of just max_gap are common
    expected = set(detected)
    for before, after in pairwise(sorted(detected)):
        if round(20 * (times[after] - times[before])) <= 20 * max_gap:
            expected |= set(range(before, after))
    assert fill_gaps(np.array(sorted(detected)), times, max_gap).tolist() == sorted(expected)


def test_the_path_is_that_of_the_rts_smoother_of_filterpy():
    times = np.cumsum(np.random.default_rng(3).choice([1 / 60, 1 / 30, 1 / 10], 80))
    frames = np.setdiff1d(np.arange(3, 75), np.r_[20:26, 50])
    trajectory, kalman = random_walk(frames, times, 4), KalmanFilter(**NOISE, confidence_noise=0.45)
    every = np.arange(3, 75)
    boxes, velocities = smooth(trajectory, every, times, kalman)

    measurements = xyxy_to_xyah(trajectory.boxes)
    height = np.interp(times[every], trajectory.times, measurements[:, 3])
    score = dict(zip(frames.tolist(), trajectory.scores, strict=True))
    measurement = dict(zip(frames.tolist(), measurements, strict=True))
    intervals = np.diff(times[every], prepend=times[every[0]])
    transitions, process = [], []
    for h, dt in zip(height, intervals, strict=True):
        transitions.append(np.kron(kinematic_state_transition(1, dt), np.eye(4)))
        process.append(np.diag(kalman.process_variance(np.array([h]), dt).ravel()))
    noise = [
        np.diag(kalman.measurement_variance(np.array([h]), np.array([score.get(frame, 0.0)]))[0])
        for frame, h in zip(every.tolist(), height, strict=True)
    ]
    dense = DenseFilter(dim_x=8, dim_z=4)
    dense.H = np.eye(4, 8)
    mean, covariance = kalman.initiate(measurements[:1])
    # Nothing is known of the first position but its detection.
    dense.x, dense.P = mean.T, np.diag(np.r_[1e8 * np.diag(noise[0]), covariance[0, 2]])
    zs = [measurement[frame][:, None] if frame in measurement else None for frame in every.tolist()]
    means, covariances = [], []
    for z, transition, added, measured in zip(zs, transitions, process, noise, strict=True):
        dense.predict(F=transition, Q=added)
        dense.update(z, R=measured)
        means.append(dense.x)
        covariances.append(dense.P)
    smoothed, *_ = dense.rts_smoother(np.array(means), np.array(covariances), Fs=transitions, Qs=process)
    expected = smoothed[:, :, 0]
    np.testing.assert_allclose(boxes, xyah_to_xyxy(expected[:, :4]), rtol=0, atol=1e-4)
    np.testing.assert_allclose(velocities, expected[:, 4:6], rtol=0, atol=1e-3)


def test_sure_detections_are_kept_where_their_scores_remove_all_noise():
    frames, times = np.arange(12), np.arange(12) / 25
    trajectory = replace(random_walk(frames, times), scores=np.ones(12))
    boxes, velocities = smooth(trajectory, frames, times, KalmanFilter(**NOISE, confidence_noise=1))
    assert np.abs(boxes - trajectory.boxes).max() < 0.1 and np.isfinite(velocities).all()
