"""The association of tracks and detections by motion, appearance and class, with camera motion and rescoring."""

import numpy as np
import pytest

from detection_streams import (
    BLUE,
    NO_DETECTIONS,
    RED,
    all_ids,
    assert_equal_tracks,
    make_detections,
    make_tracker,
    no_embeddings,
    run_tracker,
    track_counts,
)
from tracker.config import TrackerConfig
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

# --- matched after a gap ---


@pytest.mark.parametrize(("recover_iou", "ids"), [(0.0, {1, 2}), (0.3, {1})])
def test_an_object_that_stopped_while_hidden_is_matched_by_its_last_box(recover_iou, ids):
    # It moves 8 px a frame and stops while it is hidden: the prediction moves on.
    frames = [make_detections((100 + 8 * i, 100, 60, 120)) for i in range(30)]
    frames += [NO_DETECTIONS] * 15 + [frames[-1]] * 3
    tracker = make_tracker(association="iou", recover_iou=recover_iou, min_iou=0.3, max_age=3.0)
    assert all_ids(run_tracker(tracker, frames)) == ids


@pytest.mark.parametrize(("absence_penalty", "hidden", "ids"), [(0.0, 2.0, {1}), (4.0, 0.5, {1}), (4.0, 2.0, {1, 2})])
def test_the_longer_a_track_is_missed_the_nearer_a_detection_must_be(absence_penalty, hidden, ids):
    tracker, box = (
        make_tracker(absence_penalty=absence_penalty, max_nll=9.0, max_age=5.0),
        make_detections((100, 100, 60, 120)),
    )
    run_tracker(tracker, [box] * 60)
    shifted = make_detections((125, 100, 60, 120))
    assert set(tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 2.1).ids.tolist()) == set()
    frames = [tracker.update(shifted, no_embeddings(shifted), 2.0 + hidden + i / 30) for i in range(3)]
    assert all_ids(frames) | {1} == ids


def test_with_re_update_the_velocity_is_that_of_the_path_through_the_gap():
    # It moves 3 px a frame, and twice as fast while it is hidden.
    frames = [make_detections((100 + 3 * i, 100, 60, 120)) for i in range(60)]
    frames += [NO_DETECTIONS] * 19 + [make_detections((100 + 3 * 59 + 6 * 20, 100, 60, 120))]
    without, with_it = (
        run_tracker(make_tracker(re_update=r, adaptive_noise_gate=0, max_nll=50), frames)[-1] for r in (False, True)
    )
    assert without.ids.tolist() == with_it.ids.tolist() == [1]
    assert abs(with_it.velocities[0, 0] - 180) < 0.8 * abs(without.velocities[0, 0] - 180)


def test_a_turn_is_followed_sooner_with_adaptive_noise():
    frames = [make_detections((500 - 6 * abs(i - 30), 100, 60, 120)) for i in range(36)]
    fixed, adaptive = (run_tracker(make_tracker(adaptive_noise_gate=m), frames)[-1] for m in (0, 4))
    left = frames[-1].boxes[0, 0]
    assert abs(adaptive.boxes[0, 0] - left) < 0.7 * abs(fixed.boxes[0, 0] - left)
    assert adaptive.velocities[0, 0] < fixed.velocities[0, 0]


def test_the_direction_of_motion_outweighs_a_small_difference_in_overlap():
    # The detection behind it is nearer to the predicted box.
    for weight in (0.0, 1.0):
        tracker = make_tracker(association="iou", direction_weight=weight, min_iou=0.1)
        run_tracker(tracker, [make_detections((100 + 6 * i, 100, 60, 120)) for i in range(30)])
        in_front, behind = (280 + 18, 100, 60, 120), (280 - 15, 100, 60, 120)
        tracks = tracker.update(
            make_detections(in_front, behind), no_embeddings(make_detections(in_front, behind)), 30 / 30
        )
        moved_on = tracks.boxes[tracks.ids == 1][0, 0] > 280
        assert moved_on == (weight > 0)


# --- rescoring ---


class FakeRescorer:
    """A Rescorer that returns the same box and score for every predicted box, and records its calls."""

    def __init__(self, box, score):
        self.detection, self.calls = (box, score), []

    def __call__(self, boxes, labels):
        self.calls.append((boxes, labels))
        box, score = self.detection
        rescored = make_detections(*[box] * len(boxes)).boxes.reshape(-1, 4)
        return Detections(rescored, np.full(len(boxes), score, np.float32), labels)


def test_a_missed_track_is_updated_by_its_rescored_box():
    moving = [(100 + 5 * i, 100, 60, 120) for i in range(40)]
    for least, score, observed in ((0.5, 0.6, [True]), (0.5, 0.4, [False]), (0.0, 0.9, [False])):
        tracker, rescorer = make_tracker(rescore=least, max_coast=2.0), FakeRescorer(moving[21], score)
        run_tracker(tracker, [make_detections(box) for box in moving[:21]])
        tracks = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 21 / 30, rescore=rescorer)
        assert (tracks.ids.tolist(), tracks.observed.tolist()) == ([1], observed)
        if least == 0:
            assert not rescorer.calls
            continue
        ((boxes, labels),) = rescorer.calls
        assert (boxes.dtype, boxes.shape, labels.tolist()) == (np.float32, (1, 4), [0])
        np.testing.assert_allclose(boxes, make_detections(moving[21]).boxes, atol=2)
        if observed == [True]:
            assert tracks.scores.tolist() == [np.float32(0.6)]
            assert tracker.table.detection_index.tolist() == [-1]  # no detection of this frame


def test_detected_tracks_are_not_rescored():
    tracker, rescorer = make_tracker(rescore=0.5, n_init=2), FakeRescorer((10, 10, 40, 80), 0.9)
    run_tracker(
        tracker,
        [make_detections((10, 10, 40, 80))] * 5 + [make_detections((300, 10, 40, 80)), NO_DETECTIONS],
        rescore=rescorer,
    )
    # The tentative track at 300 is not rescored either.
    assert [len(boxes) for boxes, _ in rescorer.calls] == [1, 1]


def test_a_rescored_box_on_another_detection_is_not_used():
    tracker, rescorer = (
        make_tracker(rescore=0.5, max_coast=2.0, association="iou", min_iou=0.3),
        FakeRescorer((300, 100, 60, 120), 0.9),
    )
    run_tracker(tracker, [make_detections((100, 100, 60, 120))] * 5)
    detections = make_detections((305, 100, 60, 120))
    tracks = tracker.update(detections, no_embeddings(detections), 5 / 30, rescore=rescorer)
    assert len(rescorer.calls) == 1
    assert (tracks.ids.tolist(), tracks.observed.tolist()) == ([1, 2], [False, True])


def test_a_rescored_box_is_used_for_one_track_only():
    tracker, rescorer = make_tracker(rescore=0.5, max_coast=2.0), FakeRescorer((130, 100, 60, 120), 0.9)
    run_tracker(tracker, [make_detections((100, 100, 60, 120), (160, 100, 60, 120))] * 5)
    tracks = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 5 / 30, rescore=rescorer)
    assert sorted(tracks.observed.tolist()) == [False, True]


def test_a_rescored_box_that_is_not_valid_is_not_used():
    for box, score in (((100, 100, 0, 120), 0.9), ((np.nan, 100, 60, 120), 0.9), ((100, 100, 60, 120), np.nan)):
        tracker = make_tracker(rescore=0.5, max_coast=2.0)
        run_tracker(tracker, [make_detections((100, 100, 60, 120))] * 5)
        tracks = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 5 / 30, rescore=FakeRescorer(box, score))
        assert tracks.observed.tolist() == [False]


# --- camera motion ---


def pan(tracker, compensated):
    """Runs the tracker on three people before a camera that jumps by 70 px in every tenth frame."""
    view, frames = 0.0, []
    for i in range(60):
        step = 70.0 if i % 10 == 5 else 0.0
        view += step
        boxes = make_detections(*[(2000 + 200 * n + 2 * n * i - view, 100, 50, 120) for n in range(3)])
        camera = np.array([[1, 0, -step], [0, 1, 0]]) if compensated else np.eye(2, 3)
        frames.append(tracker.update(boxes, no_embeddings(boxes), i / 30, camera))
    return frames


@pytest.mark.parametrize("association", ["iou", "likelihood"])
def test_a_pan_keeps_the_ids_if_camera_motion_is_compensated(association):
    settings = {"association": association, "min_iou": 0.3, "buffer_scale": 0}
    frames = pan(make_tracker(**settings), True)
    assert all_ids(frames) == {1, 2, 3}
    np.testing.assert_allclose(frames[-1].velocities[:, 0], [0, 60, 120], atol=3)
    assert all_ids(pan(make_tracker(**settings), False)) == {1, 2, 3}, "the tracks tell how the camera moves"
    assert len(all_ids(pan(make_tracker(**settings, camera_motion="none"), False))) > 6


def test_camera_motion_transforms_the_whole_state_of_a_track():
    camera_motion = np.array([[0.0, -2, 900], [2, 0, 10]])  # a turn by 90 degrees and a zoom by 2
    boxes = [(300 + 4 * i, 200, 60, 60) for i in range(30)]
    tracker = make_tracker(max_coast=3.0)
    run_tracker(tracker, [make_detections(box) for box in boxes])
    before = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 30 / 30)
    after = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), 30 / 30 + 1e-9, camera_motion)
    np.testing.assert_allclose(after.velocities[0], [0, 2 * before.velocities[0, 0]], atol=0.1)
    corners = before.boxes.reshape(2, 2) @ camera_motion[:, :2].T + camera_motion[:, 2]
    np.testing.assert_allclose(after.boxes[0], [*corners.min(0), *corners.max(0)], atol=0.1)
    # Matched again, it moves on in the direction of the new image.
    detections = make_detections((900 - 2 * 260, 2 * (300 + 4 * 40) + 10, 120, 120))
    assert tracker.update(detections, no_embeddings(detections), 40 / 30).ids.tolist() == [1]
    np.testing.assert_allclose(tracker.table.mean[0, 4:6], [0, 240], atol=12)


# --- classes ---


def test_boxes_that_do_not_touch_never_match_by_overlap():
    frames = [make_detections((10, 10, 40, 80)), make_detections((60, 10, 40, 80))] * 4
    for association in ("iou", "likelihood"):
        tracker = make_tracker(min_iou=0.0, n_init=2, tentative_misses=0, association=association)
        assert not any(track_counts(run_tracker(tracker, frames)))


def test_classes_match_only_with_match_across_classes():
    frames = [make_detections((10, 10, 40, 80), labels=[2 + (i % 3 == 2)]) for i in range(12)]
    strict = run_tracker(make_tracker(), frames)
    assert all_ids(strict) == {1, 2}
    assert [t.labels.tolist() for t in strict] == [d.labels.tolist() for d in frames]
    voting = run_tracker(make_tracker(match_across_classes=True), frames)
    assert [(t.ids.tolist(), t.labels.tolist()) for t in voting] == [([1], [2])] * 12


def test_the_class_is_that_of_most_detections_and_stays_in_a_tie():
    labels = [5, 9, 9, 5, 5, 1, 1, 1, 1]
    frames = [make_detections((10, 10, 40, 80), labels=[label]) for label in labels]
    tracks = run_tracker(make_tracker(match_across_classes=True), frames)
    assert [int(t.labels[0]) for t in tracks] == [5, 5, 9, 9, 5, 5, 5, 5, 1]


# --- appearance ---


def exchange_positions(reid_class_ids, **settings):
    """Returns the ids, left to right, before and after two hidden people exchange their positions."""
    left, right = (100, 100, 60, 120), (112, 100, 60, 120)
    tracker = DeepSort(TrackerConfig(**settings), reid_class_ids)
    both, none = make_detections(left, right), np.zeros((0, 8), np.float32)
    frames = [(both, np.stack([RED, BLUE]))] * 10 + [(NO_DETECTIONS, none)] * 15 + [(both, np.stack([BLUE, RED]))]
    tracks = run_tracker(tracker, frames)
    before, after = tracks[9], tracks[-1]
    return before.ids[np.argsort(before.boxes[:, 0])].tolist(), after.ids[np.argsort(after.boxes[:, 0])].tolist()


MAHALANOBIS = {"association": "mahalanobis", "appearance_momentum": 0, "max_cosine_distance": 0.2}


@pytest.mark.parametrize("settings", [{}, {"appearance_momentum": 0}, MAHALANOBIS, MAHALANOBIS | {"cascade": True}])
def test_appearance_decides_where_motion_cannot(settings):
    assert exchange_positions({0}, **settings) == ([1, 2], [2, 1])


def test_motion_decides_for_classes_without_embeddings():
    assert exchange_positions(()) == ([1, 2], [1, 2])
    assert exchange_positions({1}) == ([1, 2], [1, 2])


@pytest.mark.parametrize("settings", [{}, MAHALANOBIS])
def test_a_different_person_at_the_position_of_a_lost_track_is_a_new_track(settings):
    frames = [(make_detections((100, 100, 60, 120)), RED[None])] * 5
    frames += [(NO_DETECTIONS, np.zeros((0, 8), np.float32))] * 2 + [
        (make_detections((100, 100, 60, 120)), BLUE[None])
    ] * 3
    assert run_tracker(DeepSort(TrackerConfig(**settings), {0}), frames)[-1].ids.tolist() == [2]


def test_a_different_person_at_the_place_of_a_track_is_no_recovery_of_it():
    frames = [(make_detections((100, 100, 60, 120)), RED[None])] * 5
    frames += [(make_detections((100, 100, 60, 120)), BLUE[None])] * 3
    assert run_tracker(DeepSort(TrackerConfig(), {0}), frames)[-1].ids.tolist() == [2]


def test_a_track_that_turns_suddenly_keeps_its_id():
    """The prediction is too far away for the likelihood, the last box is not."""
    left = [100 + 40 * n for n in range(20)] + [860 - 40 * n for n in range(1, 10)]
    frames = [make_detections((x, 100, 100, 60)) for x in left]
    ids = [len(all_ids(run_tracker(DeepSort(TrackerConfig(recover_iou=least)), frames))) for least in (0.35, 0)]
    assert ids == [1, 2]


@pytest.mark.parametrize("settings", [{}, MAHALANOBIS])
def test_the_same_appearance_too_far_away_is_a_new_track(settings):
    frames = [(make_detections((100, 100, 60, 120)), RED[None])] * 5 + [
        (make_detections((1500, 100, 60, 120)), RED[None])
    ] * 3
    assert run_tracker(DeepSort(TrackerConfig(**settings), {0}), frames)[-1].ids.tolist() == [2]


@pytest.mark.parametrize(("match_across_classes", "ids"), [(False, [2]), (True, [1])])
def test_appearance_matches_classes_only_with_match_across_classes(match_across_classes, ids):
    tracker = DeepSort(TrackerConfig(match_across_classes=match_across_classes), {0, 1})
    frames = [NO_DETECTIONS if i == 5 else make_detections((100, 100, 60, 120), labels=[int(i > 5)]) for i in range(12)]
    tracks = run_tracker(tracker, [(d, np.tile(RED, (len(d), 1))) for d in frames])
    assert tracks[-1].ids.tolist() == ids


@pytest.mark.parametrize("camera_motion", [np.zeros((2, 3)), np.array([[-1.0, 0, 0], [0, 1, 0]])])
def test_an_impossible_camera_motion_is_an_error_and_changes_nothing(camera_motion):
    box = make_detections((100, 100, 40, 80))
    tracker, reference = (DeepSort(TrackerConfig()) for _ in range(2))
    for number in range(3):
        for each in (tracker, reference):
            each.update(box, no_embeddings(box), number / 30)
    with pytest.raises(ValueError, match=r"the camera motion at 0\.1 s mirrors"):
        tracker.update(box, no_embeddings(box), 0.1, camera_motion)
    assert_equal_tracks(tracker.update(box, no_embeddings(box), 0.2), reference.update(box, no_embeddings(box), 0.2))
