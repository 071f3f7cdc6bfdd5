"""The box filter against filterpy's dense one, SciPy's Mahalanobis distance and the numbers of the paper."""

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter as DenseFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2

from tracker.tracking import KalmanFilter
from tracker.tracking.costs import gating_threshold

BOX = st.tuples(st.floats(-500, 2000), st.floats(-500, 2000), st.floats(0.2, 4), st.floats(5, 900))
STEP = st.tuples(st.floats(1e-3, 2), st.booleans(), st.floats(-0.2, 0.2))


def dense(covariance):
    """(3, 4) blocks of one track -> the 8 x 8 matrix that they stand for."""
    position, cross, velocity = (np.diag(block) for block in covariance)
    return np.block([[position, cross], [cross, velocity]])


def noise(height, of_height, of_aspect):
    return np.array([of_height * height, of_height * height, of_aspect, of_height * height]) ** 2


def test_one_thirtieth_of_a_second_is_one_frame_of_the_paper():
    per_frame = np.r_[np.ones(4), np.full(4, 1 / 30)]  # velocities per second -> per frame
    kalman = KalmanFilter(1 / 20, 1 / 160)
    mean, covariance = kalman.initiate(np.array([[10.0, 20.0, 0.5, 160.0]]))
    start = dense(covariance[0]) * np.outer(per_frame, per_frame)
    np.testing.assert_allclose(np.sqrt(np.diag(start)), [16, 16, 1e-2, 16, 10, 10, 1e-5, 10], rtol=1e-12)
    mean[0, 4:] = [30, 60, 0, -30]
    moved, spread = kalman.predict(mean, covariance, 1 / 30)
    np.testing.assert_allclose(moved[0], [11, 22, 0.5, 159, 30, 60, 0, -30], rtol=1e-12)
    transition = np.eye(8) + np.eye(8, k=4)
    expected = transition @ start @ transition.T + np.diag(np.square([8, 8, 1e-2, 8, 1, 1, 1e-5, 1]))
    np.testing.assert_allclose(dense(spread[0]) * np.outer(per_frame, per_frame), expected, rtol=1e-9, atol=1e-15)


@given(BOX, st.lists(STEP, min_size=1, max_size=12))
@settings(deadline=None)
def test_equals_the_dense_filter_at_any_interval(box, steps):
    kalman = KalmanFilter(0.03, 0.004)
    mean, covariance = kalman.initiate(np.array([box]))
    reference = DenseFilter(dim_x=8, dim_z=4)
    reference.H = np.eye(4, 8)
    reference.x, reference.P = mean[0, :, None].copy(), dense(covariance[0])
    for dt, measured, change in steps:
        height = reference.x[3, 0]
        reference.F = np.eye(8) + dt * np.eye(8, k=4)
        reference.Q = np.diag(np.r_[noise(height, 0.03, 1e-2), noise(height, 0.004, 1e-5) * 900]) * dt * 30
        reference.predict()
        mean, covariance = kalman.predict(mean, covariance, dt)
        z = np.array(box) * (1 + change)
        reference.R = np.diag(noise(reference.x[3, 0], 1 / 20, 1e-1))
        distance = kalman.gating_distance(mean, covariance, z[None])[0, 0]
        total = reference.P[:4, :4] + reference.R
        expected = mahalanobis(z, reference.x[:4, 0], np.linalg.inv(total)) ** 2
        assert distance == pytest.approx(expected, rel=1e-9, abs=1e-9)
        if measured:
            reference.update(z[:, None])
            mean, covariance = kalman.update(mean, covariance, z[None])
        np.testing.assert_allclose(mean[0], reference.x[:, 0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(dense(covariance[0]), reference.P, rtol=1e-9, atol=1e-9)


def test_rows_do_not_touch_each_other():
    boxes = np.array([[5.0, 6, 0.5, 30], [500, 300, 2, 80], [90, 40, 1, 10]])
    kalman = KalmanFilter()
    together = kalman.update(*kalman.predict(*kalman.initiate(boxes), 0.1), boxes + 1)
    for row in range(3):
        alone = kalman.update(*kalman.predict(*kalman.initiate(boxes[[row]]), 0.1), boxes[[row]] + 1)
        np.testing.assert_array_equal(together[0][[row]], alone[0])
        np.testing.assert_array_equal(together[1][[row]], alone[1])


def test_noise_does_not_depend_on_how_an_interval_is_cut():
    kalman = KalmanFilter(velocity_noise=1e-12)
    start = kalman.initiate(np.array([[100.0, 100, 0.5, 100]]))
    once, parts = kalman.predict(*start, 1.0), start
    for _ in range(10):
        parts = kalman.predict(*parts, 0.1)
    np.testing.assert_allclose(parts[0], once[0])
    np.testing.assert_allclose(parts[1][:, 0, [0, 1, 3]], once[1][:, 0, [0, 1, 3]])


def test_the_gate_is_the_chi_square_quantile():
    assert gating_threshold(0.95) == pytest.approx(9.4877, abs=1e-4)
    for probability in (0.5, 0.9, 0.999):
        assert gating_threshold(probability) == pytest.approx(chi2.ppf(probability, 4))


def test_the_gate_holds_what_the_filter_expects():
    kalman = KalmanFilter()
    mean, covariance = kalman.predict(*kalman.initiate(np.array([[0.0, 0, 1, 100]])), 0.2)
    spread = np.sqrt(covariance[0, 0] + np.array([25, 25, 0.01, 25]))
    drawn = mean[0, :4] + np.random.default_rng(0).normal(size=(20_000, 4)) * spread
    inside = kalman.gating_distance(mean, covariance, drawn) <= gating_threshold(0.95)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
