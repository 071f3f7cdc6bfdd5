"""What brings a track and a detection together: motion, appearance, class, the camera, and a second look."""

import numpy as np
import pytest

from detection_streams import BLUE, NOBODY, RED, all_ids, bare, follow, lengths, plain, same, seen
from tracker.config import TrackerConfig
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

# --- found again ---


@pytest.mark.parametrize(("recover_iou", "ids"), [(0.0, {1, 2}), (0.3, {1})])
def test_who_stopped_unseen_is_found_again_where_it_was_last_seen(recover_iou, ids):
    # It walks 8 px a frame and stops behind something: the prediction walks on.
    frames = [seen((100 + 8 * i, 100, 60, 120)) for i in range(30)]
    frames += [NOBODY] * 15 + [frames[-1]] * 3
    tracker = plain(association="iou", recover_iou=recover_iou, min_iou=0.3, max_age=3.0)
    assert all_ids(follow(tracker, frames)) == ids


@pytest.mark.parametrize(("absence_penalty", "hidden", "ids"), [(0.0, 2.0, {1}), (4.0, 0.5, {1}), (4.0, 2.0, {1, 2})])
def test_the_longer_someone_is_missed_the_nearer_a_detection_must_be(absence_penalty, hidden, ids):
    tracker, stands = (
        plain(absence_penalty=absence_penalty, max_nll=9.0, max_age=5.0),
        seen((100, 100, 60, 120)),
    )
    follow(tracker, [stands] * 60)
    back = seen((125, 100, 60, 120))
    assert set(tracker.update(NOBODY, bare(NOBODY), 2.1).ids.tolist()) == set()
    frames = [tracker.update(back, bare(back), 2.0 + hidden + i / 30) for i in range(3)]
    assert all_ids(frames) | {1} == ids


def test_with_re_update_the_velocity_is_that_of_the_way_through_the_gap():
    # It walks 3 px a frame, and twice as fast while it is not seen.
    frames = [seen((100 + 3 * i, 100, 60, 120)) for i in range(60)]
    frames += [NOBODY] * 19 + [seen((100 + 3 * 59 + 6 * 20, 100, 60, 120))]
    slow, fast = (follow(plain(re_update=r, adaptive_noise_gate=0, max_nll=50), frames)[-1] for r in (False, True))
    assert slow.ids.tolist() == fast.ids.tolist() == [1]
    assert abs(fast.velocities[0, 0] - 180) < 0.8 * abs(slow.velocities[0, 0] - 180)


def test_a_turn_is_followed_sooner_with_manoeuvre():
    frames = [seen((500 - 6 * abs(i - 30), 100, 60, 120)) for i in range(36)]
    calm, alert = (follow(plain(adaptive_noise_gate=m), frames)[-1] for m in (0, 4))
    true = frames[-1].boxes[0, 0]
    assert abs(alert.boxes[0, 0] - true) < 0.7 * abs(calm.boxes[0, 0] - true)
    assert alert.velocities[0, 0] < calm.velocities[0, 0]


def test_the_direction_of_motion_outweighs_a_small_difference_in_overlap():
    # The detection behind it is the nearer one to where it should be.
    for weight in (0.0, 1.0):
        tracker = plain(association="iou", direction_weight=weight, min_iou=0.1)
        follow(tracker, [seen((100 + 6 * i, 100, 60, 120)) for i in range(30)])
        prefetch, behind = (280 + 18, 100, 60, 120), (280 - 15, 100, 60, 120)
        tracks = tracker.update(seen(prefetch, behind), bare(seen(prefetch, behind)), 30 / 30)
        went_on = tracks.boxes[tracks.ids == 1][0, 0] > 280
        assert went_on == (weight > 0)


# --- boxes are looked at again ---


class Looking:
    """A detector's second look that finds an object, where one is."""

    def __init__(self, box, score):
        self.answer, self.asked = (box, score), []

    def __call__(self, boxes, labels):
        self.asked.append((boxes, labels))
        box, score = self.answer
        found = seen(*[box] * len(boxes)).boxes.reshape(-1, 4)
        return Detections(found, np.full(len(boxes), score, np.float32), labels)


def test_a_missed_track_goes_on_where_the_detector_sees_it_at_second_look():
    moving = [(100 + 5 * i, 100, 60, 120) for i in range(40)]
    for least, score, observed in ((0.5, 0.6, [True]), (0.5, 0.4, [False]), (0.0, 0.9, [False])):
        tracker, look = plain(rescore=least, max_coast=2.0), Looking(moving[21], score)
        follow(tracker, [seen(box) for box in moving[:21]])
        tracks = tracker.update(NOBODY, bare(NOBODY), 21 / 30, rescore=look)
        assert (tracks.ids.tolist(), tracks.observed.tolist()) == ([1], observed)
        if least == 0:
            assert not look.asked
            continue
        ((boxes, labels),) = look.asked
        assert (boxes.dtype, boxes.shape, labels.tolist()) == (np.float32, (1, 4), [0])
        np.testing.assert_allclose(boxes, seen(moving[21]).boxes, atol=2)
        if observed == [True]:
            assert tracks.scores.tolist() == [np.float32(0.6)]
            assert tracker.table.found.tolist() == [-1]  # no detection of this frame


def test_who_is_seen_is_not_looked_at_again():
    tracker, look = plain(rescore=0.5, n_init=2), Looking((10, 10, 40, 80), 0.9)
    follow(tracker, [seen((10, 10, 40, 80))] * 5 + [seen((300, 10, 40, 80)), NOBODY], rescore=look)
    # The tentative track at 300 is not asked for either.
    assert [len(boxes) for boxes, _ in look.asked] == [1, 1]


def test_a_second_look_does_not_take_what_is_another_detection():
    tracker, look = plain(rescore=0.5, max_coast=2.0, association="iou", min_iou=0.3), Looking((300, 100, 60, 120), 0.9)
    follow(tracker, [seen((100, 100, 60, 120))] * 5)
    there = seen((305, 100, 60, 120))
    tracks = tracker.update(there, bare(there), 5 / 30, rescore=look)
    assert len(look.asked) == 1
    assert (tracks.ids.tolist(), tracks.observed.tolist()) == ([1, 2], [False, True])


def test_one_place_is_given_to_one_track_at_second_look():
    tracker, look = plain(rescore=0.5, max_coast=2.0), Looking((130, 100, 60, 120), 0.9)
    follow(tracker, [seen((100, 100, 60, 120), (160, 100, 60, 120))] * 5)
    tracks = tracker.update(NOBODY, bare(NOBODY), 5 / 30, rescore=look)
    assert sorted(tracks.observed.tolist()) == [False, True]


def test_a_second_look_that_sees_nothing_sensible_changes_nothing():
    for box, score in (((100, 100, 0, 120), 0.9), ((np.nan, 100, 60, 120), 0.9), ((100, 100, 60, 120), np.nan)):
        tracker = plain(rescore=0.5, max_coast=2.0)
        follow(tracker, [seen((100, 100, 60, 120))] * 5)
        tracks = tracker.update(NOBODY, bare(NOBODY), 5 / 30, rescore=Looking(box, score))
        assert tracks.observed.tolist() == [False]


# --- the camera's motion ---


def pan(tracker, compensated):
    """Three who stand or walk before a camera that jerks aside by 70 px, about their width, in every tenth frame."""
    view, frames = 0.0, []
    for i in range(60):
        step = 70.0 if i % 10 == 5 else 0.0
        view += step
        boxes = seen(*[(2000 + 200 * n + 2 * n * i - view, 100, 50, 120) for n in range(3)])
        camera = np.array([[1, 0, -step], [0, 1, 0]]) if compensated else np.eye(2, 3)
        frames.append(tracker.update(boxes, bare(boxes), i / 30, camera))
    return frames


@pytest.mark.parametrize("association", ["iou", "likelihood"])
def test_a_pan_keeps_the_ids_where_the_camera_is_known(association):
    settings = {"association": association, "min_iou": 0.3, "buffer_scale": 0}
    frames = pan(plain(**settings), True)
    assert all_ids(frames) == {1, 2, 3}
    np.testing.assert_allclose(frames[-1].velocities[:, 0], [0, 60, 120], atol=3)
    assert len(all_ids(pan(plain(**settings), False))) > 6


def test_a_camera_that_zooms_and_turns_takes_all_that_a_track_knows_along():
    turned = np.array([[0.0, -2, 900], [2, 0, 10]])  # by 90 degrees, and twice as near
    boxes = [(300 + 4 * i, 200, 60, 60) for i in range(30)]
    tracker = plain(max_coast=3.0)
    follow(tracker, [seen(box) for box in boxes])
    before = tracker.update(NOBODY, bare(NOBODY), 30 / 30)
    after = tracker.update(NOBODY, bare(NOBODY), 30 / 30 + 1e-9, turned)
    np.testing.assert_allclose(after.velocities[0], [0, 2 * before.velocities[0, 0]], atol=0.1)
    corners = before.boxes.reshape(2, 2) @ turned[:, :2].T + turned[:, 2]
    np.testing.assert_allclose(after.boxes[0], [*corners.min(0), *corners.max(0)], atol=0.1)
    # Found again, it goes on in the new picture's direction.
    there = seen((900 - 2 * 260, 2 * (300 + 4 * 40) + 10, 120, 120))
    assert tracker.update(there, bare(there), 40 / 30).ids.tolist() == [1]
    np.testing.assert_allclose(tracker.table.mean[0, 4:6], [0, 240], atol=12)


# --- classes ---


def test_boxes_that_do_not_touch_never_match_by_overlap():
    frames = [seen((10, 10, 40, 80)), seen((60, 10, 40, 80))] * 4
    for association in ("iou", "likelihood"):
        tracker = plain(min_iou=0.0, n_init=2, tentative_misses=0, association=association)
        assert not any(lengths(follow(tracker, frames)))


def test_classes_never_match_unless_asked():
    frames = [seen((10, 10, 40, 80), labels=[2 + (i % 3 == 2)]) for i in range(12)]
    strict = follow(plain(), frames)
    assert all_ids(strict) == {1, 2}
    assert [t.labels.tolist() for t in strict] == [d.labels.tolist() for d in frames]
    voting = follow(plain(match_across_classes=True), frames)
    assert [(t.ids.tolist(), t.labels.tolist()) for t in voting] == [([1], [2])] * 12


def test_the_class_is_what_most_detections_say_and_a_tie_changes_nothing():
    labels = [5, 9, 9, 5, 5, 1, 1, 1, 1]
    frames = [seen((10, 10, 40, 80), labels=[label]) for label in labels]
    tracks = follow(plain(match_across_classes=True), frames)
    assert [int(t.labels[0]) for t in tracks] == [5, 5, 9, 9, 5, 5, 5, 5, 1]


# --- appearance ---


def swap(reid_class_ids, **settings):
    """Two people stand apart, are hidden for 0.5 s, and stand at each other's place; the ids, before and after."""
    left, right = (100, 100, 60, 120), (112, 100, 60, 120)
    tracker = DeepSort(TrackerConfig(**settings), reid_class_ids)
    both, nobody = seen(left, right), np.zeros((0, 8), np.float32)
    frames = [(both, np.stack([RED, BLUE]))] * 10 + [(NOBODY, nobody)] * 15 + [(both, np.stack([BLUE, RED]))]
    tracks = follow(tracker, frames)
    before, after = tracks[9], tracks[-1]
    return before.ids[np.argsort(before.boxes[:, 0])].tolist(), after.ids[np.argsort(after.boxes[:, 0])].tolist()


DEEP = {"association": "mahalanobis", "appearance_momentum": 0, "max_cosine_distance": 0.2}


@pytest.mark.parametrize("settings", [{}, {"appearance_momentum": 0}, DEEP, DEEP | {"cascade": True}])
def test_appearance_decides_where_motion_cannot(settings):
    assert swap({0}, **settings) == ([1, 2], [2, 1])


def test_motion_decides_for_classes_without_embeddings():
    assert swap(()) == ([1, 2], [1, 2])
    assert swap({1}) == ([1, 2], [1, 2])


@pytest.mark.parametrize("settings", [{}, DEEP])
def test_someone_else_at_the_place_of_a_lost_track_is_a_new_track(settings):
    frames = [(seen((100, 100, 60, 120)), RED[None])] * 5
    frames += [(NOBODY, np.zeros((0, 8), np.float32))] * 2 + [(seen((100, 100, 60, 120)), BLUE[None])] * 3
    assert follow(DeepSort(TrackerConfig(**settings), {0}), frames)[-1].ids.tolist() == [2]


@pytest.mark.parametrize("settings", [{}, DEEP])
def test_a_known_face_too_far_away_is_a_new_track(settings):
    frames = [(seen((100, 100, 60, 120)), RED[None])] * 5 + [(seen((1500, 100, 60, 120)), RED[None])] * 3
    assert follow(DeepSort(TrackerConfig(**settings), {0}), frames)[-1].ids.tolist() == [2]


@pytest.mark.parametrize(("across", "ids"), [(False, [2]), (True, [1])])
def test_appearance_does_not_cross_classes_unless_asked(across, ids):
    tracker = DeepSort(TrackerConfig(match_across_classes=across), {0, 1})
    frames = [NOBODY if i == 5 else seen((100, 100, 60, 120), labels=[int(i > 5)]) for i in range(12)]
    tracks = follow(tracker, [(d, np.tile(RED, (len(d), 1))) for d in frames])
    assert tracks[-1].ids.tolist() == ids


@pytest.mark.parametrize("camera", [np.zeros((2, 3)), np.array([[-1.0, 0, 0], [0, 1, 0]])])
def test_a_camera_that_no_camera_can_be_is_refused_and_changes_nothing(camera):
    box = seen((100, 100, 40, 80))
    tracker, untouched = (DeepSort(TrackerConfig()) for _ in range(2))
    for number in range(3):
        for each in (tracker, untouched):
            each.update(box, bare(box), number / 30)
    with pytest.raises(ValueError, match=r"the camera's motion at 0\.1 s folds"):
        tracker.update(box, bare(box), 0.1, camera)
    same(tracker.update(box, bare(box), 0.2), untouched.update(box, bare(box), 0.2))
