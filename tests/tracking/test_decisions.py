"""The record of decisions: terms computed by hand, runners-up, causes, and that it changes no result."""

from math import log

import numpy as np
import pytest

from detection_streams import assert_equal_tracks, random_stream
from tracker.config import TrackerConfig
from tracker.structures.types import Detections
from tracker.tracking import DeepSort
from tracker.tracking.decisions import DecisionLog, EndCause, Obstacle, Round

STILL = {"position_noise": 1e-9, "velocity_noise": 1e-9, "measurement_noise": 0.05, "camera_motion": "none"}
BOX = (100, 100, 140, 200)
VARIANCE = (0.1 * 100) ** 2 + (100 / 16) ** 2 + 5**2
"""Of the deviation of a box of height 100 after one frame: position, velocity of 1/30 s, and measurement."""


def detections(*boxes, scores=None, labels=None):
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.9] * count, np.float32),
        np.array(labels or [0] * count, np.int64),
    )


def follow(frames, embeddings=None, dt=1 / 30, **settings):
    """Returns the log of track 1 over frames of detections, `dt` seconds apart."""
    tracker = DeepSort(TrackerConfig(n_init=1, buffer_scale=0, **settings), [0], (1000, 1000))
    tracker.log = DecisionLog(ids=[1])
    for number, found in enumerate(frames):
        tracker.log.frame = number
        tracker.update(found, embeddings[number] if embeddings else None, number * dt)
    return tracker.log


def test_the_terms_of_the_likelihood_are_those_worked_out_by_hand():
    moved = (110, 100, 150, 200)
    units = [np.array([[1.0, 0.0]], np.float32), np.array([[0.6, 0.8]], np.float32)]
    record = follow([detections(BOX), detections(moved)], units, **STILL)
    (step,) = record.steps[0]
    motion = 1.5 * log(VARIANCE / 25) + 0.5 * 10**2 / VARIANCE
    assert (step.frame, step.round) == (1, Round.COST)
    assert step.own.overlap == pytest.approx(30 / 50)
    assert step.own.motion == pytest.approx(motion, rel=1e-6)
    assert step.own.cosine == pytest.approx(0.4, rel=1e-5) and step.own.appearance == pytest.approx(1.0, rel=1e-4)
    assert step.own.absence == 0 and step.own.likelihood == pytest.approx(motion + 1, rel=1e-4)
    assert step.value == step.own.cost == pytest.approx(0.4 + 0.3 * (motion + 1), rel=1e-4)


def test_the_terms_of_a_missed_track_have_the_time_of_its_absence():
    record = follow([detections(BOX), detections(), detections(BOX)], **STILL)
    missed, found = record.steps[0]
    assert missed.round is None and missed.own is None
    assert found.own.absence == pytest.approx(0.8 * 2 / 30) and np.isnan(found.own.appearance)
    position = (0.1 * 100) ** 2 + (2 * 100 / 16) ** 2
    assert found.own.motion == pytest.approx(1.5 * log((position + 25) / 25), rel=1e-6)


def test_the_terms_of_the_mahalanobis_distance_are_those_worked_out_by_hand():
    moved = (110, 100, 150, 200)
    units = [np.array([[1.0, 0.0]], np.float32), np.array([[0.8, 0.6]], np.float32)]
    settings = STILL | {"association": "mahalanobis", "max_cosine_distance": 0.4, "appearance_weight": 0.9}
    (step,) = follow([detections(BOX), detections(moved)], units, **settings).steps[0]
    distance = 10**2 / VARIANCE
    assert step.own.motion == pytest.approx(distance, rel=1e-6) and step.own.cosine == pytest.approx(0.2, rel=1e-5)
    assert step.own.cost == pytest.approx(0.1 * distance / 9.4877 + 0.9 * 0.2 / 0.4, rel=1e-4)
    far = (130, 100, 170, 200)
    (step,) = follow([detections(BOX), detections(far)], [units[0], units[0]], **settings | {"min_iou": 0.5}).steps[0]
    assert step.round is Round.COST or step.own.obstacle is Obstacle.GATE


def test_the_runners_up_are_the_next_best_track_and_detection():
    other = (120, 100, 160, 200)
    record = follow([detections(BOX, other), detections(BOX, other)], **STILL)
    step = record.steps[0][0]
    assert (step.own.track, step.rival.track) == (1, 2) and step.other.detection == step.rival.detection + 1
    assert step.rival.overlap == step.other.overlap == pytest.approx(20 / 60)
    assert step.own.cost < step.rival.cost == pytest.approx(step.other.cost)


@pytest.mark.parametrize(
    ("found", "settings", "obstacle"),
    [
        (detections(BOX, labels=[1]), {}, Obstacle.CLASS),
        (detections((137, 100, 177, 200)), {"recover_iou": 0}, Obstacle.OVERLAP),
        (detections((135, 100, 175, 200), scores=[0.6]), {}, Obstacle.SCORE),
        (detections((120, 100, 160, 200)), {"max_nll": 1, "recover_iou": 0}, Obstacle.LIKELIHOOD),
    ],
)
def test_a_miss_has_its_reason(found, settings, obstacle):
    (step,) = follow([detections(BOX), found], **STILL | settings).steps[0]
    assert step.round is None and step.own.obstacle is obstacle


def test_a_detection_that_another_track_got():
    """Two tracks close to each other, of which the detector sees one: the one nearer to it."""
    near, between = (130, 100, 170, 200), (125, 100, 165, 200)
    record = follow([detections(BOX, near), detections(BOX, near), detections(between)], **STILL, recover_iou=0)
    step = record.steps[0][-1]
    assert step.round is None and not step.own.obstacle
    assert step.rival.track == 2 and step.rival.detection == step.own.detection and step.rival.cost < step.own.cost


def test_the_rounds_of_matches():
    low = detections((102, 100, 142, 200), scores=[0.6])
    assert follow([detections(BOX), low], **STILL).steps[0][0].round is Round.LOW_SCORE
    turned = [detections((100 + 15 * n, 100, 140 + 15 * n, 200)) for n in (0, 1, 2, 3, 4, 3)]
    step = follow(turned, **STILL).steps[0][-1]
    assert step.round is Round.LAST_BOX and step.own.obstacle is Obstacle.OVERLAP
    assert step.value == pytest.approx(1 - 25 / 55)


@pytest.mark.parametrize(
    ("box", "settings", "cause"),
    [(BOX, {"max_age": 0.1}, EndCause.AGE), ((960, 100, 1000, 200), {"min_visible": 0.9}, EndCause.LEFT)],
)
def test_the_causes_of_ends(box, settings, cause):
    shifted = tuple(value - shift for value, shift in zip(box, (8, 0, 8, 0), strict=True))
    record = follow([detections(shifted), detections(box), *[detections()] * 8], **STILL | settings)
    event = record.events[0][-1]
    assert event.kind == "ended" and event.cause is cause and record.is_complete


def test_birth_of_a_weak_track_and_its_confirmation():
    frames = [detections(BOX, scores=[score]) for score in (0.7, 0.7, 0.7, 0.7, 0.85, 0.85)]
    tracker = DeepSort(TrackerConfig(n_init=2), size=(1000, 1000))
    tracker.log = DecisionLog(ids=[1])
    for number, found in enumerate(frames):
        tracker.log.frame = number
        tracker.update(found, None, number / 30)
    kinds = [(event.kind, event.frame) for event in tracker.log.events[0]]
    assert kinds[0] == ("born", 0) and tracker.log.events[0][0].is_weak
    assert [kind for kind, _ in kinds] == ["born", "settled", "confirmed"]


@pytest.mark.parametrize("association", ["likelihood", "iou", "mahalanobis"])
def test_a_log_changes_no_result_and_keeps_no_other_track(association):
    frames = random_stream(3, 60)
    plain, logged = (DeepSort(TrackerConfig(association=association), [0], (640, 480)) for _ in range(2))
    logged.log = DecisionLog(ids=[2])
    for number, (found, units) in enumerate(frames):
        logged.log.frame = number
        a, b = (tracker.update(found, units, number / 25) for tracker in (plain, logged))
        assert_equal_tracks(a, b)
    followed = {logged.log.ids.get(serial, 0) for serial in logged.log.events}
    assert 2 in followed and followed <= {0, 2}
