"""The motion of the camera, estimated from the tracks."""

import numpy as np
import pytest

from detection_streams import all_ids, make_detections, run_tracker
from tracker.config import TrackerConfig
from tracker.tracking import DeepSort
from tracker.tracking.common_motion import CommonMotion
from tracker.tracking.offline import OfflineTracker

BOXES = np.array([[x, y, 0.5, 80.0] for x in (50, 200, 350, 500) for y in (100, 300)], float)
VARIANCE = np.full((len(BOXES), 2), 16.0)


def test_a_fixed_camera_stays_fixed_under_the_noise_of_detections():
    rng, motion, total = np.random.default_rng(1), CommonMotion(), np.zeros(2)
    for _ in range(300):
        total += motion.update(BOXES, VARIANCE, BOXES + rng.normal(0, 4, BOXES.shape) * [1, 1, 0, 0])
    assert np.abs(total).max() < 8, "the mean of 8 boxes wanders by 25 px in 300 frames"


def test_a_shaking_camera_is_followed_although_some_objects_turn():
    rng, motion = np.random.default_rng(2), CommonMotion()
    errors = []
    for _ in range(100):
        shift = rng.normal(0, 12, 2)
        detections = BOXES + np.r_[shift, 0, 0] + rng.normal(0, 2, BOXES.shape) * [1, 1, 0, 0]
        detections[0, :2] += 30
        errors.append(motion.update(BOXES, VARIANCE, detections) - shift)
    assert np.abs(errors[20:]).mean() < 2


@pytest.mark.parametrize("count", [0, 2])
def test_too_few_objects_say_nothing(count):
    assert not CommonMotion().update(BOXES[:count], VARIANCE[:count], BOXES[:count] + 30).any()


@pytest.mark.parametrize(("camera_motion", "kept"), [("tracks", True), ("none", False)])
def test_a_jerk_of_the_camera_keeps_the_ids(camera_motion, kept):
    shifts = [35 * (n >= 10) for n in range(20)]
    frames = [make_detections(*((80 + 90 * i + shift, 200, 40, 80) for i in range(4))) for shift in shifts]
    tracker = DeepSort(TrackerConfig(camera_motion=camera_motion), size=(640, 480))
    assert (len(all_ids(run_tracker(tracker, frames))) == 4) is kept


def test_offline_fills_a_gap_where_the_object_is_behind_a_moving_camera():
    tracker, rng = OfflineTracker(TrackerConfig(), (), (640, 480)), np.random.default_rng(3)
    shake = np.cumsum(rng.normal(0, 6, (60, 2)), axis=0)
    for n in range(60):
        boxes = [(60 + 100 * i + shake[n, 0], 150 + shake[n, 1], 40, 80) for i in range(5)]
        present = boxes[1:] if 25 <= n < 35 else boxes
        detections = make_detections(*present)
        tracker.update(detections, np.zeros((len(detections), 0), np.float32), n / 30)
    frames = list(tracker.finish())
    for n in range(25, 35):
        filled = frames[n].boxes[~frames[n].observed]
        np.testing.assert_allclose(filled[:, :2], [[60 + shake[n, 0], 150 + shake[n, 1]]], atol=8)
