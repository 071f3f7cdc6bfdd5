"""Smoothed paths against one dense least-squares problem, and filled gaps against a plain count."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter as DenseFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.structures.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.smoothing import filled, smooth
from tracker.tracking.tracklets import Tracklets

NOISE = {"position_noise": 0.005, "velocity_noise": 0.0011, "measurement_noise": 0.075}


def walk(frames, times, seed=0):
    """Someone who wanders about and is detected in some frames."""
    draw, rows = np.random.default_rng(seed), len(frames)
    centre = draw.uniform(200, 600, 2) + np.cumsum(draw.normal(0, 4, (rows, 2)), axis=0)
    size = np.c_[draw.uniform(40, 60, rows), 120 + 10 * np.sin(np.arange(rows) / 3)] / 2
    boxes, scores = np.c_[centre - size, centre + size], draw.uniform(0.3, 1, rows)
    none, zeros = np.zeros((1, 0)), np.zeros(rows, np.int64)
    return Tracklets(np.array([0, rows]), frames, times[frames], boxes, scores, zeros, zeros, none)


def least_squares(trajectory, frames, times, confidence_noise):
    """Centre, aspect ratio and height, and their velocities, (M, 4) each: all that is believed in one dense system."""
    box = trajectory.boxes
    size = box[:, 2:] - box[:, :2]
    measured = np.c_[(box[:, :2] + box[:, 2:]) / 2, size[:, 0] / size[:, 1], size[:, 1]]
    height = np.interp(times[frames], trajectory.times, measured[:, 3])
    place = {frame: i for i, frame in enumerate(frames.tolist())}
    count, solutions = len(frames), []
    for axis in range(4):
        rows, right = [], []

        def believe(weights, value, deviation, rows=rows, right=right):
            row = np.zeros(2 * count)
            for column, weight in weights.items():
                row[column] = weight
            rows.append(row / deviation)
            right.append(value / deviation)

        for n, frame in enumerate(trajectory.frames.tolist()):
            deviation = 0.1 if axis == 2 else NOISE["measurement_noise"] * height[place[frame]]
            deviation *= np.sqrt(1 - confidence_noise * trajectory.scores[n])
            believe({2 * place[frame]: 1}, measured[n, axis], deviation)
        believe({1: 1}, 0, 30 * (1e-5 if axis == 2 else 10 / 160 * measured[0, 3]))
        for i, (before, now) in enumerate(pairwise(times[frames])):
            steps = np.sqrt((now - before) * 30)
            position = 1e-2 if axis == 2 else NOISE["position_noise"] * height[i + 1]
            velocity = 1e-5 if axis == 2 else NOISE["velocity_noise"] * height[i + 1]
            believe({2 * i + 2: 1, 2 * i: -1, 2 * i + 1: before - now}, 0, position * steps)
            believe({2 * i + 3: 1, 2 * i + 1: -1}, 0, 30 * velocity * steps)
        solutions.append(np.linalg.lstsq(np.array(rows), np.array(right))[0].reshape(-1, 2))
    whole = np.array(solutions)
    return whole[:, :, 0].T, whole[:, :, 1].T


@pytest.mark.parametrize("confidence_noise", [0, 0.45])
@pytest.mark.parametrize("gaps", ["filled", "open"])
@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_a_path_is_the_one_that_explains_all_detections_best(count, gaps, confidence_noise):
    draw = np.random.default_rng(count)
    times = 3 + np.cumsum(draw.choice([0.01, 0.04, 0.3], 3 * count))
    frames = np.sort(draw.choice(3 * count, count, replace=False))
    trajectory = walk(frames, times)
    shown = np.arange(frames[0], frames[-1] + 1) if gaps == "filled" else frames
    boxes, velocities = smooth(trajectory, shown, times, KalmanFilter(**NOISE, confidence_noise=confidence_noise))
    state, speed = least_squares(trajectory, shown, times, confidence_noise)
    half = np.c_[state[:, 2] * state[:, 3], state[:, 3]] / 2
    np.testing.assert_allclose(boxes, np.c_[state[:, :2] - half, state[:, :2] + half], rtol=0, atol=1e-6)
    np.testing.assert_allclose(velocities, speed[:, :2], rtol=0, atol=1e-6)


def test_a_detection_apart_from_its_neighbours_hardly_bends_a_path():
    frames, times = np.arange(50), np.arange(50) / 25
    trajectory = walk(frames, times)
    trajectory.boxes[:] = [100, 100, 150, 220]
    trajectory.boxes[25] += 60
    boxes, _ = smooth(trajectory, frames, times, KalmanFilter(**NOISE))
    assert np.abs(boxes - [100, 100, 150, 220]).max() < 6


def test_half_an_hour_of_one_track_is_smoothed_in_little_memory():
    count = 50_000
    frames, times = np.arange(count), np.arange(count) / 25
    trajectory = walk(frames, times)
    tracemalloc.start()
    try:
        boxes, _ = smooth(trajectory, frames, times, KalmanFilter(**NOISE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 800 * count
    # The rounding of so large a system stays small: a part of it, which is solved apart, says the same of its middle.
    part, middle = slice(10_000, 40_000), slice(15_000, 15_010)
    rows = (getattr(trajectory, name)[part] for name in ("frames", "times", "boxes", "scores", "labels", "found"))
    alone, _ = smooth(
        Tracklets(np.array([0, 30_000]), *rows, np.zeros((1, 0))), frames[part], times, KalmanFilter(**NOISE)
    )
    np.testing.assert_allclose(boxes[part][middle], alone[middle], rtol=0, atol=1e-6)


@given(st.sets(st.integers(0, 39), min_size=1), st.sampled_from([0, 0.2, 0.5, 10]), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_gaps_are_filled_up_to_their_longest(detected, max_gap, seed):
    times = np.cumsum(np.random.default_rng(seed).choice([1, 2, 5], 40)) / 20  # gaps of just max_gap are common
    wanted = set(detected)
    for before, after in pairwise(sorted(detected)):
        if round(20 * (times[after] - times[before])) <= 20 * max_gap:
            wanted |= set(range(before, after))
    assert filled(np.array(sorted(detected)), times, max_gap).tolist() == sorted(wanted)


def test_the_path_is_that_of_filterpys_rts_smoother():
    times = np.cumsum(np.random.default_rng(3).choice([1 / 60, 1 / 30, 1 / 10], 80))
    frames = np.setdiff1d(np.arange(3, 75), np.r_[20:26, 50])
    trajectory, kalman = walk(frames, times, 4), KalmanFilter(**NOISE, confidence_noise=0.45)
    whole = np.arange(3, 75)
    boxes, velocities = smooth(trajectory, whole, times, kalman)

    measured = xyxy_to_xyah(trajectory.boxes)
    height = np.interp(times[whole], trajectory.times, measured[:, 3])
    score = dict(zip(frames.tolist(), trajectory.scores, strict=True))
    seen = dict(zip(frames.tolist(), measured, strict=True))
    intervals = np.diff(times[whole], prepend=times[whole[0]])
    moves, process = [], []
    for h, dt in zip(height, intervals, strict=True):
        moves.append(np.eye(8) + dt * np.eye(8, k=4))
        process.append(np.diag(kalman.process_variance(np.array([h]), dt).ravel()))
    noise = [
        np.diag(kalman.measurement_variance(np.array([h]), np.array([score.get(frame, 0.0)]))[0])
        for frame, h in zip(whole.tolist(), height, strict=True)
    ]
    dense = DenseFilter(dim_x=8, dim_z=4)
    dense.H = np.eye(4, 8)
    mean, covariance = kalman.initiate(measured[:1])
    # Of the place where it starts nothing is known but its first detection.
    dense.x, dense.P = mean.T, np.diag(np.r_[1e8 * np.diag(noise[0]), covariance[0, 2]])
    zs = [seen[frame][:, None] if frame in seen else None for frame in whole.tolist()]
    means, covariances, _, _ = dense.batch_filter(zs, Fs=moves, Qs=process, Rs=noise)
    expected = dense.rts_smoother(means, covariances, Fs=moves, Qs=process)[0][:, :, 0]
    np.testing.assert_allclose(boxes, xyah_to_xyxy(expected[:, :4]), rtol=0, atol=1e-4)
    np.testing.assert_allclose(velocities, expected[:, 4:6], rtol=0, atol=1e-3)
