"""The box filter against filterpy's dense one, SciPy's Mahalanobis distance and the numbers of the paper."""

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter as DenseFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2

from tracker.structures.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracker.tracking import KalmanFilter
from tracker.tracking.costs import gating_threshold
from tracker.tracking.re_update import re_update
from tracker.tracking.track_table import TrackTable

BOX = st.tuples(st.floats(-500, 2000), st.floats(-500, 2000), st.floats(0.2, 4), st.floats(5, 900))
STEP = st.tuples(st.floats(1e-3, 2), st.booleans(), st.floats(-0.2, 0.2), st.floats(0, 1))
NOISE = {"position_noise": 0.03, "velocity_noise": 0.004, "measurement_noise": 0.07}
KINDS = {
    "plain": {},
    "confidence": {"confidence_noise": 0.7},
    "adaptive_noise_gate": {"adaptive_noise_gate": 4.0},
    "both": {"confidence_noise": 1.0, "adaptive_noise_gate": 1.5},
}


def dense(covariance):
    """(3, 4) blocks of one track -> the 8 x 8 matrix that they stand for."""
    position, cross, velocity = (np.diag(block) for block in covariance)
    return np.block([[position, cross], [cross, velocity]])


def noise(height, of_height, of_aspect):
    return np.array([of_height * height, of_height * height, of_aspect, of_height * height]) ** 2


class Reference:
    """Filterpy's filter of one track, with 8 x 8 matrices, and what this one adds to it."""

    def __init__(self, mean, covariance, confidence_noise=0.0, adaptive_noise_gate=0.0):
        self.filter = DenseFilter(dim_x=8, dim_z=4)
        self.filter.H = np.eye(4, 8)
        self.filter.x, self.filter.P = mean[:, None].copy(), dense(covariance)
        self.confidence_noise, self.adaptive_noise_gate = confidence_noise, adaptive_noise_gate

    def predict(self, dt):
        height = self.filter.x[3, 0]
        self.filter.F = np.eye(8) + dt * np.eye(8, k=4)
        random_walk = np.r_[noise(height, 0.03, 1e-2), noise(height, 0.004, 1e-5) * 30**2]
        self.filter.Q = np.diag(random_walk) * dt * 30
        self.filter.predict()

    def update(self, measured, score):
        self.filter.R = self.measurement_noise() * (1 - self.confidence_noise * score)
        self.widen(measured)
        self.filter.update(measured[:, None])

    def measurement_noise(self):
        return np.diag(noise(self.filter.x[3, 0], 0.07, 1e-1))

    def widen(self, measured):
        """One fading factor for each axis but the aspect ratio, on both sides of the covariance."""
        factor = np.ones(8)
        for axis in (0, 1, 3) if self.adaptive_noise_gate else ():
            wanted = (measured[axis] - self.filter.x[axis, 0]) ** 2 / self.adaptive_noise_gate - self.filter.R[
                axis, axis
            ]
            factor[[axis, axis + 4]] = max(wanted / self.filter.P[axis, axis], 1)
        self.filter.P = np.diag(np.sqrt(factor)) @ self.filter.P @ np.diag(np.sqrt(factor))

    def equals(self, mean, covariance):
        # A jump of many heights widens so far that what is left of the variance has lost half of its digits in both.
        np.testing.assert_allclose(mean, self.filter.x[:, 0], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(dense(covariance), self.filter.P, rtol=1e-6, atol=1e-9)


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
    np.testing.assert_allclose(np.sqrt(kalman.measurement_variance(np.array([160.0]))), [[8, 8, 1e-1, 8]], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(BOX, st.lists(STEP, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_equals_the_dense_filter_at_any_interval(kind, box, steps):
    kalman = KalmanFilter(**NOISE, **KINDS[kind])
    mean, covariance = kalman.initiate(np.array([box]))
    reference = Reference(mean[0], covariance[0], **KINDS[kind])
    for dt, measured, change, score in steps:
        reference.predict(dt)
        mean, covariance = kalman.predict(mean, covariance, dt)
        z = np.array(box) * (1 + change)
        total = reference.filter.P[:4, :4] + reference.measurement_noise()
        expected = mahalanobis(z, reference.filter.x[:4, 0], np.linalg.inv(total)) ** 2
        distance = kalman.gating_distance(mean, covariance, z[None])[0]
        assert distance == pytest.approx(expected, rel=1e-6, abs=1e-9)
        if measured:
            reference.update(z, score)
            mean, covariance = kalman.update(mean, covariance, z[None], np.array([score]))
        reference.equals(mean[0], covariance[0])


def test_rows_do_not_touch_each_other():
    boxes, scores = np.array([[5.0, 6, 0.5, 30], [500, 300, 2, 80], [90, 40, 1, 10]]), np.array([0.1, 0.5, 0.9])
    kalman = KalmanFilter(confidence_noise=0.5, adaptive_noise_gate=1.0)
    intervals = np.array([[0.1], [0.2], [0.3]])
    together = kalman.update(*kalman.predict(*kalman.initiate(boxes), intervals), boxes + 9, scores)
    for row in range(3):
        state = kalman.predict(*kalman.initiate(boxes[[row]]), float(intervals[row, 0]))
        alone = kalman.update(*state, boxes[[row]] + 9, scores[[row]])
        np.testing.assert_array_equal(together[0][[row]], alone[0])
        np.testing.assert_array_equal(together[1][[row]], alone[1])


def test_what_is_handed_in_stays_as_it_was():
    kalman = KalmanFilter(confidence_noise=0.5, adaptive_noise_gate=1.0)
    mean, covariance = kalman.initiate(np.array([[100.0, 100, 0.5, 100]]))
    before = mean.copy(), covariance.copy()
    kalman.predict(mean, covariance, 0.5)
    kalman.update(mean, covariance, mean[:, :4] + 50, np.ones(1))
    np.testing.assert_array_equal(mean, before[0])
    np.testing.assert_array_equal(covariance, before[1])


def test_noise_does_not_depend_on_how_an_interval_is_cut():
    kalman = KalmanFilter(velocity_noise=1e-12)
    start = kalman.initiate(np.array([[100.0, 100, 0.5, 100]]))
    once, parts = kalman.predict(*start, 1.0), start
    for _ in range(10):
        parts = kalman.predict(*parts, 0.1)
    np.testing.assert_allclose(parts[0], once[0])
    np.testing.assert_allclose(parts[1][:, 0, [0, 1, 3]], once[1][:, 0, [0, 1, 3]])


def test_scores_beyond_0_to_1_count_as_these():
    # Public detections hold such: those of ACF go to a hundred, those of DPM below 0.
    kalman, box = KalmanFilter(confidence_noise=0.45), np.array([[100.0, 100, 0.5, 100]])
    for score, as_if in ((60.0, 1.0), (-3.0, 0.0)):
        there = kalman.update(*kalman.initiate(box), box + 5, np.array([score]))
        expected = kalman.update(*kalman.initiate(box), box + 5, np.array([as_if]))
        np.testing.assert_array_equal(there[0], expected[0])
        np.testing.assert_array_equal(there[1], expected[1])


def test_a_turn_is_followed_at_once_and_noise_is_not():
    follows, never = KalmanFilter(adaptive_noise_gate=9.0), KalmanFilter()
    start = follows.initiate(np.array([[0.0, 0, 0.5, 100]]))
    for _ in range(30):  # at rest for a second
        start = never.update(*never.predict(*start, 1 / 30), np.array([[0.0, 0, 0.5, 100]]))
    for step, same in ((10, True), (60, False)):
        aside = np.array([[float(step), 0, 0.5, 100]])
        moved, slow = (kalman.update(*start, aside)[0][0, 0] for kalman in (follows, never))
        assert (moved == slow) == same
    assert slow < 30 < 50 < moved < 60  # of the 60 px that it jumped


# --- found again ---


def gap(kalman, start, misses, interval, scores, end):
    """A table of tracks missed for some intervals, after `re_update` with boxes at their end, xyah both."""
    mean, covariance = kalman.initiate(start)
    mean[:, 4:6] = [20, -10]
    count, now = len(start), 10.0
    table = TrackTable.started(
        mean * 0, covariance * 0, 0.0, xyah_to_xyxy(start), scores.astype(np.float32), *(np.arange(count),) * 3
    )
    table.found_mean, table.found_covariance = mean.copy(), covariance.copy()
    table.misses, table.last_time = misses.astype(np.int64), now - misses * interval
    re_update(kalman, table, np.arange(count), xyah_to_xyxy(end), scores, now)
    return table


def led(table, row, start, end, steps, interval, score, **kind):
    """One of its tracks, led by the dense filter through detections on the straight line."""
    reference = Reference(table.found_mean[row], table.found_covariance[row], **kind)
    for step in range(1, steps + 1):
        reference.predict(interval)
        if step < steps:
            reference.update(start + (end - start) * step / steps, score)
    return reference


@given(
    st.lists(st.tuples(BOX, st.integers(2, 8), st.floats(-1, 1), st.floats(0.03, 0.3), st.floats(0, 1)), max_size=5),
    st.sampled_from([*KINDS]),
)
@settings(max_examples=60, deadline=None)
def test_re_update_equals_the_dense_filter_led_along_the_line(tracks, kind):
    kalman, start = KalmanFilter(**NOISE, **KINDS[kind]), np.array([track[0] for track in tracks]).reshape(-1, 4)
    misses, shift, interval, scores = (np.array([t[i] for t in tracks]) for i in range(1, 5))
    # The widest walks 1 height in its gap.
    end = start + np.stack([shift * start[:, 3], 0 * shift, 0.1 * shift, 0.2 * shift * start[:, 3]], axis=1)
    table = gap(kalman, start, misses, interval, scores, end)
    for row in range(len(tracks)):
        way = start[row], end[row], misses[row], interval[row], scores[row]
        led(table, row, *way, **KINDS[kind]).equals(table.mean[row], table.covariance[row])


def test_over_long_gaps_fewer_detections_are_imagined_and_lead_to_nearly_the_same_place():
    kalman, start = KalmanFilter(**NOISE), np.array([[500.0, 300, 0.5, 100]])
    end, misses, interval, scores = start + np.array([80, 20, 0, 5]), np.array([90]), np.array([1 / 30]), np.ones(1)
    table = gap(kalman, start, misses, interval, scores, end)
    true = led(table, 0, start[0], end[0], 90, 1 / 30, 1.0).filter.x[:, 0]
    np.testing.assert_allclose(table.mean[0, :4], true[:4], atol=3)
    np.testing.assert_allclose(table.mean[0, 4:], true[4:], atol=5)


def test_re_update_leaves_the_other_tracks_alone():
    kalman, boxes = KalmanFilter(), np.array([[0.0, 0, 50, 100], [200, 0, 250, 100], [400, 0, 450, 100]])
    mean, covariance = kalman.initiate(xyxy_to_xyah(boxes))
    table = TrackTable.started(mean, covariance, 0.0, boxes, np.ones(3, np.float32), *(np.arange(3),) * 3)
    table.found_mean, table.found_covariance = mean.copy(), covariance.copy()
    table.misses[:] = 5
    before = table.mean.copy(), table.covariance.copy()
    re_update(kalman, table, np.array([1]), boxes[[1]] + 20, np.ones(1), 0.2)
    np.testing.assert_array_equal(table.mean[[0, 2]], before[0][[0, 2]])
    np.testing.assert_array_equal(table.covariance[[0, 2]], before[1][[0, 2]])
    assert table.mean[1, 4] > 20  # it moved 20 px in 0.2 s
    np.testing.assert_array_equal(table.found_mean, before[0])


# --- the gate ---


def test_the_gate_is_the_chi_square_quantile():
    assert gating_threshold(0.95) == pytest.approx(9.4877, abs=1e-4)
    for probability in (0.5, 0.9, 0.999):
        assert gating_threshold(probability) == pytest.approx(chi2.ppf(probability, 4))


def test_the_gate_holds_what_the_filter_expects():
    kalman = KalmanFilter()
    mean, covariance = kalman.predict(*kalman.initiate(np.array([[0.0, 0, 1, 100]])), 0.2)
    spread = np.sqrt(covariance[0, 0] + np.array([25, 25, 0.01, 25]))
    drawn = mean[0, :4] + np.random.default_rng(0).normal(size=(20_000, 4)) * spread
    many = np.repeat(mean, 20_000, axis=0), np.repeat(covariance, 20_000, axis=0)
    inside = kalman.gating_distance(*many, drawn) <= gating_threshold(0.95)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
