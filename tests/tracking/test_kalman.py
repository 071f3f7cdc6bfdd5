"""The Kalman filter, compared with filterpy's, SciPy's Mahalanobis distance and the numbers of the paper."""

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise, kinematic_kf, van_loan_discretization
from filterpy.kalman import KalmanFilter as DenseFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2

from tracker.structures.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking import KalmanFilter
from tracker.tracking.costs import gating_threshold
from tracker.tracking.kalman import motion_model
from tracker.tracking.re_update import re_update
from tracker.tracking.track_table import TrackTable

BOX = st.tuples(st.floats(-500, 2000), st.floats(-500, 2000), st.floats(0.2, 4), st.floats(5, 900))
STEP = st.tuples(st.floats(1e-3, 2), st.booleans(), st.floats(-0.2, 0.2), st.floats(0, 1))
NOISE = {"position_noise": 0.03, "velocity_noise": 0.004, "measurement_noise": 0.07}
OPTIONS = {
    "default": {},
    "confidence": {"confidence_noise": 0.7},
    "adaptive_noise_gate": {"adaptive_noise_gate": 4.0},
    "both": {"confidence_noise": 1.0, "adaptive_noise_gate": 1.5},
}


def dense(covariance):
    """Returns the 8 x 8 covariance of one track from its blocks (3, 4)."""
    position, cross, velocity = (np.diag(block) for block in covariance)
    return np.block([[position, cross], [cross, velocity]])


def noise(height, of_height, of_aspect):
    return np.array([of_height * height, of_height * height, of_aspect, of_height * height]) ** 2


class Reference:
    """The filter of filterpy for one track, with 8 x 8 matrices, and the options of this one."""

    def __init__(self, mean, covariance, confidence_noise=0.0, adaptive_noise_gate=0.0):
        self.filter = DenseFilter(dim_x=8, dim_z=4)
        self.filter.x, self.filter.P = mean[:, None].copy(), dense(covariance)
        self.confidence_noise, self.adaptive_noise_gate = confidence_noise, adaptive_noise_gate

    def predict(self, dt):
        height = self.filter.x[3, 0]
        self.filter.F = kinematic_kf(dim=4, order=1, dt=dt, dim_z=4, order_by_dim=False).F
        self.filter.H = np.eye(4, 8)
        random_walk = np.r_[noise(height, 0.03, 1e-2), noise(height, 0.004, 1e-5) * 30**2]
        self.filter.Q = np.diag(random_walk) * dt * 30
        self.filter.predict()

    def update(self, measurement, score):
        self.filter.R = self.measurement_noise() * (1 - self.confidence_noise * score)
        self.inflate(measurement)
        self.filter.update(measurement[:, None])

    def measurement_noise(self):
        return np.diag(noise(self.filter.x[3, 0], 0.07, 1e-1))

    def inflate(self, measurement):
        """Applies one fading factor for each axis but the aspect ratio to both sides of the covariance."""
        factor = np.ones(8)
        for axis in (0, 1, 3) if self.adaptive_noise_gate else ():
            deviation = measurement[axis] - self.filter.x[axis, 0]
            wanted = deviation**2 / self.adaptive_noise_gate - self.filter.R[axis, axis]
            factor[[axis, axis + 4]] = max(wanted / self.filter.P[axis, axis], 1)
        self.filter.P = np.diag(np.sqrt(factor)) @ self.filter.P @ np.diag(np.sqrt(factor))

    def assert_equals(self, mean, covariance):
        # A jump of many heights inflates the variance so far that the update cancels half of its digits in both.
        np.testing.assert_allclose(mean, self.filter.x[:, 0], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(dense(covariance), self.filter.P, rtol=1e-6, atol=1e-9)


def test_one_thirtieth_of_a_second_is_one_frame_of_the_paper():
    per_frame = np.r_[np.ones(4), np.full(4, 1 / 30)]  # velocities per second -> per frame
    kalman = KalmanFilter(1 / 20, 1 / 160)
    mean, covariance = kalman.initiate(np.array([[10.0, 20.0, 0.5, 160.0]]))
    start = dense(covariance[0]) * np.outer(per_frame, per_frame)
    np.testing.assert_allclose(np.sqrt(np.diag(start)), [16, 16, 1e-2, 16, 10, 10, 1e-5, 10], rtol=1e-12)
    mean[0, 4:] = [30, 60, 0, -30]
    predicted, spread = kalman.predict(mean, covariance, 1 / 30)
    np.testing.assert_allclose(predicted[0], [11, 22, 0.5, 159, 30, 60, 0, -30], rtol=1e-12)
    transition = np.eye(8) + np.eye(8, k=4)
    expected = transition @ start @ transition.T + np.diag(np.square([8, 8, 1e-2, 8, 1, 1, 1e-5, 1]))
    np.testing.assert_allclose(dense(spread[0]) * np.outer(per_frame, per_frame), expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(np.sqrt(kalman.measurement_variance(np.array([160.0]))), [[8, 8, 1e-1, 8]], rtol=1e-12)


@given(st.floats(1e-6, 1e3))
def test_the_model_of_a_time_step_is_that_of_filterpy(dt):
    transition, noise = motion_model(dt)
    np.testing.assert_array_equal(transition, kinematic_kf(dim=1, order=1, dt=dt).F)
    # Two independent random walks; the velocity's noise is also that of filterpy's model of noisy acceleration.
    np.testing.assert_allclose(noise, van_loan_discretization(np.zeros((2, 2)), np.eye(2), dt)[1], rtol=1e-12)
    assert noise[1, 1] == Q_continuous_white_noise(2, dt)[1, 1]


def test_the_model_of_a_time_step_is_cached_and_cannot_be_changed():
    assert motion_model(0.04) is motion_model(0.04)
    for matrix in motion_model(0.04):
        with pytest.raises(ValueError, match="read-only"):
            matrix[0, 0] = 2


@pytest.mark.parametrize("option", OPTIONS)
@given(BOX, st.lists(STEP, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
@pytest.mark.smoke
def test_equals_the_filter_of_filterpy_at_any_interval(option, box, steps):
    kalman = KalmanFilter(**NOISE, **OPTIONS[option])
    mean, covariance = kalman.initiate(np.array([box]))
    reference = Reference(mean[0], covariance[0], **OPTIONS[option])
    for dt, has_measurement, change, score in steps:
        reference.predict(dt)
        mean, covariance = kalman.predict(mean, covariance, dt)
        z = np.array(box) * (1 + change)
        total = reference.filter.P[:4, :4] + reference.measurement_noise()
        expected = mahalanobis(z, reference.filter.x[:4, 0], np.linalg.inv(total)) ** 2
        distance = kalman.gating_distance(mean, covariance, z[None])[0]
        assert distance == pytest.approx(expected, rel=1e-6, abs=1e-9)
        if has_measurement:
            reference.update(z, score)
            mean, covariance = kalman.update(mean, covariance, z[None], np.array([score]))
        reference.assert_equals(mean[0], covariance[0])


def test_rows_are_independent():
    boxes, scores = np.array([[5.0, 6, 0.5, 30], [500, 300, 2, 80], [90, 40, 1, 10]]), np.array([0.1, 0.5, 0.9])
    kalman = KalmanFilter(confidence_noise=0.5, adaptive_noise_gate=1.0)
    intervals = np.array([[0.1], [0.2], [0.3]])
    batch = kalman.update(*kalman.predict(*kalman.initiate(boxes), intervals), boxes + 9, scores)
    for row in range(3):
        state = kalman.predict(*kalman.initiate(boxes[[row]]), float(intervals[row, 0]))
        single = kalman.update(*state, boxes[[row]] + 9, scores[[row]])
        np.testing.assert_array_equal(batch[0][[row]], single[0])
        np.testing.assert_array_equal(batch[1][[row]], single[1])


def test_the_arguments_are_not_changed():
    kalman = KalmanFilter(confidence_noise=0.5, adaptive_noise_gate=1.0)
    mean, covariance = kalman.initiate(np.array([[100.0, 100, 0.5, 100]]))
    before = mean.copy(), covariance.copy()
    kalman.predict(mean, covariance, 0.5)
    kalman.update(mean, covariance, mean[:, :4] + 50, np.ones(1))
    np.testing.assert_array_equal(mean, before[0])
    np.testing.assert_array_equal(covariance, before[1])


def test_noise_does_not_depend_on_how_an_interval_is_divided():
    kalman = KalmanFilter(velocity_noise=1e-12)
    start = kalman.initiate(np.array([[100.0, 100, 0.5, 100]]))
    once, steps = kalman.predict(*start, 1.0), start
    for _ in range(10):
        steps = kalman.predict(*steps, 0.1)
    np.testing.assert_allclose(steps[0], once[0])
    np.testing.assert_allclose(steps[1][:, 0, [0, 1, 3]], once[1][:, 0, [0, 1, 3]])


def test_scores_are_clipped_to_0_to_1():
    # Public detections have other scores: those of ACF go up to a hundred, those of DPM below 0.
    kalman, box = KalmanFilter(confidence_noise=0.45), np.array([[100.0, 100, 0.5, 100]])
    for score, clipped in ((60.0, 1.0), (-3.0, 0.0)):
        updated = kalman.update(*kalman.initiate(box), box + 5, np.array([score]))
        expected = kalman.update(*kalman.initiate(box), box + 5, np.array([clipped]))
        np.testing.assert_array_equal(updated[0], expected[0])
        np.testing.assert_array_equal(updated[1], expected[1])


def test_a_turn_is_followed_at_once_with_adaptive_noise_and_noise_is_not():
    adaptive, fixed = KalmanFilter(adaptive_noise_gate=9.0), KalmanFilter()
    start = adaptive.initiate(np.array([[0.0, 0, 0.5, 100]]))
    for _ in range(30):  # at rest for a second
        start = fixed.update(*fixed.predict(*start, 1 / 30), np.array([[0.0, 0, 0.5, 100]]))
    for shift, same in ((10, True), (60, False)):
        measurement = np.array([[float(shift), 0, 0.5, 100]])
        fast, slow = (kalman.update(*start, measurement)[0][0, 0] for kalman in (adaptive, fixed))
        assert (fast == slow) == same
    assert slow < 30 < 50 < fast < 60  # of the 60 px that it jumped


# --- re-update ---


def after_gap(kalman, start, misses, interval, scores, end):
    """Returns a table of tracks missed for some intervals, after `re_update` with boxes at their end, xyah both."""
    mean, covariance = kalman.initiate(start)
    mean[:, 4:6] = [20, -10]
    count, now = len(start), 10.0
    table = TrackTable.from_detections(
        mean * 0, covariance * 0, 0.0, xyah_to_xyxy(start), scores.astype(np.float32), *(np.arange(count),) * 3
    )
    table.updated_mean, table.updated_covariance = mean.copy(), covariance.copy()
    table.misses, table.last_time = misses.astype(np.int64), now - misses * interval
    re_update(kalman, table, np.arange(count), xyah_to_xyxy(end), scores, now)
    return table


def reference_re_update(table, row, start, end, steps, interval, score, **options):
    """Returns the filter of filterpy after virtual detections on the straight line, for one track of the table."""
    reference = Reference(table.updated_mean[row], table.updated_covariance[row], **options)
    for step in range(1, steps + 1):
        reference.predict(interval)
        if step < steps:
            reference.update(start + (end - start) * step / steps, score)
    return reference


@given(
    st.lists(st.tuples(BOX, st.integers(2, 8), st.floats(-1, 1), st.floats(0.03, 0.3), st.floats(0, 1)), max_size=5),
    st.sampled_from([*OPTIONS]),
)
@settings(max_examples=60, deadline=None)
def test_re_update_equals_the_filter_of_filterpy_along_the_line(tracks, option):
    kalman, start = KalmanFilter(**NOISE, **OPTIONS[option]), np.array([track[0] for track in tracks]).reshape(-1, 4)
    misses, shift, interval, scores = (np.array([t[i] for t in tracks]) for i in range(1, 5))
    # The fastest moves by its height in the gap.
    end = start + np.stack([shift * start[:, 3], 0 * shift, 0.1 * shift, 0.2 * shift * start[:, 3]], axis=1)
    table = after_gap(kalman, start, misses, interval, scores, end)
    for row in range(len(tracks)):
        gap = start[row], end[row], misses[row], interval[row], scores[row]
        reference_re_update(table, row, *gap, **OPTIONS[option]).assert_equals(table.mean[row], table.covariance[row])


def test_fewer_virtual_detections_in_a_long_gap_give_nearly_the_same_state():
    kalman, start = KalmanFilter(**NOISE), np.array([[500.0, 300, 0.5, 100]])
    end, misses, interval, scores = start + np.array([80, 20, 0, 5]), np.array([90]), np.array([1 / 30]), np.ones(1)
    table = after_gap(kalman, start, misses, interval, scores, end)
    expected = reference_re_update(table, 0, start[0], end[0], 90, 1 / 30, 1.0).filter.x[:, 0]
    np.testing.assert_allclose(table.mean[0, :4], expected[:4], atol=3)
    np.testing.assert_allclose(table.mean[0, 4:], expected[4:], atol=5)


def test_re_update_does_not_change_other_tracks():
    kalman, boxes = KalmanFilter(), np.array([[0.0, 0, 50, 100], [200, 0, 250, 100], [400, 0, 450, 100]])
    mean, covariance = kalman.initiate(xyxy_to_xyah(boxes))
    table = TrackTable.from_detections(mean, covariance, 0.0, boxes, np.ones(3, np.float32), *(np.arange(3),) * 3)
    table.updated_mean, table.updated_covariance = mean.copy(), covariance.copy()
    table.misses[:] = 5
    before = table.mean.copy(), table.covariance.copy()
    re_update(kalman, table, np.array([1]), boxes[[1]] + 20, np.ones(1), 0.2)
    np.testing.assert_array_equal(table.mean[[0, 2]], before[0][[0, 2]])
    np.testing.assert_array_equal(table.covariance[[0, 2]], before[1][[0, 2]])
    assert table.mean[1, 4] > 20  # it moved 20 px in 0.2 s
    np.testing.assert_array_equal(table.updated_mean, before[0])


# --- the gate ---


def test_the_gate_is_the_chi_square_quantile():
    assert gating_threshold(0.95) == pytest.approx(9.4877, abs=1e-4)
    for probability in (0.5, 0.9, 0.999):
        assert gating_threshold(probability) == pytest.approx(chi2.ppf(probability, 4))


def test_the_gate_holds_its_fraction_of_the_predicted_measurements():
    kalman = KalmanFilter()
    mean, covariance = kalman.predict(*kalman.initiate(np.array([[0.0, 0, 1, 100]])), 0.2)
    spread = np.sqrt(covariance[0, 0] + np.array([25, 25, 0.01, 25]))
    samples = mean[0, :4] + np.random.default_rng(0).normal(size=(20_000, 4)) * spread
    many = np.repeat(mean, 20_000, axis=0), np.repeat(covariance, 20_000, axis=0)
    inside = kalman.gating_distance(*many, samples) <= gating_threshold(0.95)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
