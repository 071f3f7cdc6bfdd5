"""The life of a track as its user sees it: who becomes one, who stays one, and who does not."""

import pickle
import sys

import numpy as np
import pytest

from detection_streams import NOBODY, RED, all_ids, bare, follow, lengths, plain, same, seen, tracker_of, world
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

BOX = (10, 10, 40, 80)


# --- life cycle ---


@pytest.mark.parametrize("n_init", [1, 2, 3])
def test_a_track_is_confirmed_by_n_init_detections(n_init):
    tracks = follow(plain(n_init=n_init), [seen(BOX)] * 4)
    assert lengths(tracks) == [int(i + 1 >= n_init) for i in range(4)]
    assert all(t.ids.tolist() == [1] for t in tracks[n_init - 1 :])


@pytest.mark.parametrize(("misses", "confirmed"), [(0, [8]), (1, [7, 8]), (2, [4, 6, 7, 8])])
def test_a_track_that_is_not_confirmed_bears_few_misses(misses, confirmed):
    frames = [seen(BOX) if there else NOBODY for there in (1, 1, 0, 0, 1, 0, 1, 1, 1)]
    tracks = follow(plain(n_init=3, tentative_misses=misses), frames)
    assert [i for i, t in enumerate(tracks) if len(t)] == confirmed
    assert all_ids(tracks) == {1}


@pytest.mark.parametrize("fps", [5.0, 24.0, 60.0])
@pytest.mark.parametrize(("gap", "ids"), [(0.8, [1]), (1.2, [2])])
def test_a_track_survives_max_age_seconds_at_any_frame_rate(fps, gap, ids):
    box, tracker = seen(BOX), DeepSort(TrackerConfig(max_age=1.0))
    follow(tracker, [box] * 5, fps)
    for i in range(3):
        tracks = tracker.update(box, bare(box), 4 / fps + gap + i / fps)
    assert tracks.ids.tolist() == ids


def test_frames_without_detections_and_a_gap_of_the_same_length_are_alike():
    box = seen(BOX)
    for frames_between in (0, 7):
        tracker = DeepSort(TrackerConfig(max_age=1.0))
        follow(tracker, [box] * 5)
        for time in np.linspace(0.2, 3.9, frames_between):
            assert len(tracker.update(NOBODY, bare(NOBODY), time)) == 0
        later = [tracker.update(box, bare(box), 4 + i / 30) for i in range(3)]
        assert later[-1].ids.tolist() == [2]


def test_ids_ascend_and_are_never_used_twice():
    here, there = seen(BOX), seen((500, 10, 40, 80))
    frames = ([here] * 4 + [NOBODY] * 10 + [there] * 4 + [NOBODY] * 10) * 2
    tracks = follow(plain(max_age=0.2), frames)
    assert [t.ids.tolist() for t in tracks if len(t)] == [[i] for i in (1, 2, 3, 4) for _ in range(4)]


def test_an_id_is_given_at_confirmation():
    first, second, brief = (10, 10, 40, 80), (300, 10, 40, 80), (600, 10, 40, 80)
    # The first misses two frames, so that the second, which came later, is confirmed before it.
    frames = [seen(first), seen(second, brief), seen(first, second), seen(second), seen(first, second)]
    tracks = follow(plain(n_init=3, tentative_misses=1), frames)
    assert [t.ids.tolist() for t in tracks] == [[], [], [], [1], [1, 2]]
    assert tracks[-1].boxes[:, 0].argsort().tolist() == [1, 0]


@pytest.mark.parametrize(("label", "share", "ids"), [(0, 0.4, {1, 2}), (1, 0.4, {1, 2, 3}), (0, 0, {1, 2, 3})])
def test_a_box_across_two_of_its_class_is_nobody_until_they_leave_it(label, share, ids):
    """Two thirds of it are theirs, a third each; it gets its id in the frame in which that is over."""
    tracker = DeepSort(TrackerConfig(max_occlusion=share))
    pair = [(10, 10, 30, 80), (50, 10, 30, 80)]
    between = (30, 10, 30, 80)
    follow(tracker, [seen(*pair)] * 3)
    together = seen(*pair, between, labels=[0, 0, label])
    times = iter(np.arange(3, 60) / 30)
    tracks = [tracker.update(together, bare(together), next(times)) for _ in range(10)]
    assert all_ids(tracks) == ids
    alone = seen(between, labels=[label])
    tracks = [tracker.update(alone, bare(alone), next(times)) for _ in range(3)]
    assert [t.ids.tolist() for t in tracks] == [[3]] * 3


def test_coasting_tracks_are_reported_for_as_long_as_asked():
    frames = [seen((10 + 6 * i, 10, 40, 80)) for i in range(20)] + [NOBODY] * 10
    tracks = follow(DeepSort(TrackerConfig(max_coast=0.1)), frames)
    assert lengths(tracks[18:]) == [1] * 5 + [0] * 7
    assert [t.observed.tolist() for t in tracks[19:23]] == [[True], [False], [False], [False]]
    assert tracks[22].boxes[0, 0] == pytest.approx(10 + 6 * 22, abs=3)
    assert not any(lengths(follow(DeepSort(TrackerConfig()), frames)[20:]))


# --- frames in which nobody looked ---


@pytest.mark.parametrize("name", ["default", "gallery", "momentum", "cascade"])
def test_prediction_leaves_the_tracker_as_it_was(name):
    asked, untouched = tracker_of(name), tracker_of(name)
    for n, (detections, embeddings) in enumerate(world(7)):
        tracks = asked.update(detections, embeddings, n / 10)
        same(tracks, untouched.update(detections, embeddings, n / 10))
        for part in (0.3, 0.6, 0.9):
            between = asked.predict((n + part) / 10)
            assert set(between.ids) <= set(tracks.ids) and not between.observed.any() and (between.found == -1).all()


def test_prediction_goes_on_as_the_object_does():
    tracker = DeepSort(TrackerConfig(max_age=1.0))
    follow(tracker, [seen((10 + 6 * i, 10, 40, 80)) for i in range(30)])
    for later in (1, 5, 20):
        assert tracker.predict((29 + later) / 30).boxes[0, 0] == pytest.approx(10 + 6 * (29 + later), abs=3)
    assert not len(tracker.predict(29 / 30 + 1.1))
    with pytest.raises(InputError, match="must be after"):
        tracker.predict(29 / 30)


def test_a_track_that_was_missed_is_predicted_for_as_long_as_it_coasts():
    tracker = DeepSort(TrackerConfig(max_coast=0.2))
    follow(tracker, [seen(BOX)] * 5 + [NOBODY])
    assert [len(tracker.predict(time)) for time in (0.2, 0.33, 0.35, 1.0)] == [1, 1, 0, 0]


def test_what_a_track_tells():
    frames = [seen((10 + 4 * i, 100 - 2 * i, 40, 80), scores=[0.5 + i / 100], labels=[7]) for i in range(40)]
    track = follow(plain(), frames)[-1]
    np.testing.assert_allclose(track.boxes, frames[-1].boxes, atol=1)
    np.testing.assert_allclose(track.velocities, [[120, -60]], rtol=0.02)
    np.testing.assert_allclose(track.ages, [39 / 30], rtol=1e-6)
    assert (track.labels[0], track.scores[0], track.observed[0]) == (7, np.float32(0.89), True)


def test_the_share_of_the_detection_in_a_reported_box():
    draw = np.random.default_rng(3)
    frames = [seen((300 + draw.normal(0, 8), 200, 60, 120)) for _ in range(40)]
    filtered, mixed, detected = (follow(plain(detection_weight=s), frames)[-1].boxes for s in (0, 0.25, 1))
    np.testing.assert_array_equal(detected, frames[-1].boxes)
    assert np.abs(filtered - detected).max() > 1
    np.testing.assert_allclose(mixed, 0.75 * filtered + 0.25 * detected, atol=1e-4)


# --- scores ---


def test_detections_below_start_score_continue_tracks_and_start_none():
    tracker = plain(start_score=0.85)
    unsure, sure = seen(BOX, scores=[0.84]), seen(BOX, scores=[0.86])
    assert lengths(follow(tracker, [unsure] * 3 + [sure] + [unsure] * 3)) == [0, 0, 0, 1, 1, 1, 1]


def test_detections_below_high_score_continue_what_was_just_seen_and_start_nothing():
    low, high = seen(BOX, scores=[0.3]), seen(BOX, scores=[0.9])
    assert not any(lengths(follow(plain(high_score=0.5), [low] * 5)))
    # Not even where nothing else forbids it.
    assert lengths(follow(plain(high_score=0.5), [high] * 3 + [low] * 3 + [NOBODY, low, high])) == [1] * 6 + [0, 0, 1]
    assert lengths(follow(plain(high_score=0.5), [high] * 3 + [low, high])) == [1] * 5
    # A tentative track takes none.
    assert not any(lengths(follow(plain(high_score=0.5, n_init=2, tentative_misses=0), [high, low] * 3)))


def test_a_sure_detection_goes_before_a_nearer_unsure_one():
    tracker = plain(high_score=0.5)
    follow(tracker, [seen((100, 100, 60, 120))] * 3)
    both = seen((100, 100, 60, 120), (112, 100, 60, 120), scores=[0.4, 0.9])
    tracks = tracker.update(both, bare(both), 0.1)
    assert (tracks.ids.tolist(), tracks.scores.tolist()) == ([1], [np.float32(0.9)])


def test_an_unsure_detection_must_overlap_by_low_iou():
    for shift, taken in ((20, 1), (24, 0)):  # of 60 px: IoU 0.5 and 0.43
        tracker = plain(high_score=0.5, low_iou=0.48)
        frames = [seen((100, 100, 60, 120))] * 5 + [seen((100 + shift, 100, 60, 120), scores=[0.4])]
        assert lengths(follow(tracker, frames))[-1] == taken


def test_scores_may_be_those_of_any_detector():
    frames = [seen((100 + 3 * i, 100, 60, 120), scores=[40 + i]) for i in range(30)]
    for settings in ({}, {"association": "iou", "score_weight": 1, "direction_weight": 0.5}):
        tracks = follow(DeepSort(TrackerConfig(**settings)), frames)
        assert all_ids(tracks) == {1} and lengths(tracks[5:]) == [1] * 25
        np.testing.assert_allclose(tracks[-1].boxes, frames[-1].boxes, atol=1)
        assert tracks[-1].scores.tolist() == [69]


# --- time ---


def test_motion_is_predicted_over_real_intervals():
    draw, time, tracker = np.random.default_rng(5), 0.0, DeepSort(TrackerConfig(max_coast=1.0))
    for _ in range(60):
        box = seen((200 * time, 50, 60, 100))
        tracker.update(box, bare(box), time)
        time += draw.choice([1 / 60, 1 / 30, 1 / 10])
    tracks = tracker.update(NOBODY, bare(NOBODY), time + 0.5)
    assert tracks.boxes[0, 0] == pytest.approx(200 * (time + 0.5), abs=4)


@pytest.mark.parametrize("time", [0.5, 1.0, float("nan"), float("inf")])
def test_time_must_go_on(time):
    tracker, untouched = (DeepSort(TrackerConfig()) for _ in range(2))
    box = seen(BOX)
    for each in (tracker, untouched):
        for earlier in (0.9, 1.0):
            each.update(box, bare(box), earlier)
    with pytest.raises(InputError, match="must be after that of the frame before"):
        tracker.update(box, bare(box), time)
    same(tracker.update(box, bare(box), 1.1), untouched.update(box, bare(box), 1.1))


# --- bad detections ---


def test_a_refused_frame_leaves_the_tracker_as_it_was():
    box, unit = seen(BOX), np.eye(1, 4, dtype=np.float32)
    tracker, untouched = (DeepSort(TrackerConfig(), {0}) for _ in range(2))
    for t in range(3):
        same(tracker.update(box, unit, t / 30), untouched.update(box, unit, t / 30))
    broken = Detections(box.boxes * np.float32("nan"), box.scores, box.labels)
    endless = Detections(box.boxes * np.float32("inf"), box.scores, box.labels)
    for detections, embeddings, camera, words in [
        (broken, unit, np.eye(2, 3), "boxes .* not finite"),
        (endless, unit, np.eye(2, 3), "boxes .* not finite"),
        (seen((1, 1, 2, 2), scores=[np.nan]), unit, np.eye(2, 3), "scores .* not finite"),
        (box, unit / np.float32("nan"), np.eye(2, 3), "embeddings .* not finite"),
        (box, np.eye(2, 4, dtype=np.float32), np.eye(2, 3), "as many embeddings"),
        (box, np.eye(1, 8, dtype=np.float32), np.eye(2, 3), "keep their width of 4"),
        (box, unit, np.eye(3), "camera"),
        (box, unit, np.full((2, 3), np.nan), "camera"),
    ]:
        with pytest.raises(ValueError, match=words):
            tracker.update(detections, embeddings, 0.15, camera)
    same(tracker.update(box, unit, 0.2), untouched.update(box, unit, 0.2))


def test_boxes_without_area_never_become_tracks():
    flat = seen((10, 10, 0, 50), (50, 50, 20, 0), (90, 90, -5, 30), (140, 90, -5, -30), (200, 200, 20, 40))
    tracks = follow(plain(), [flat] * 3)
    assert all(len(t) == 1 and t.boxes[0, 0] == pytest.approx(200) for t in tracks)


def test_a_box_without_area_is_no_detection_of_a_track():
    tracks = follow(plain(max_coast=1.0), [seen((100, 100, 40, 80))] * 3 + [seen((120, 100, 0, 80))])
    assert tracks[-1].observed.tolist() == [False]


def test_rows_of_found_are_those_of_the_detections_as_they_came():
    tracker = plain()
    boxes = seen((500, 10, 40, 80), (10, 10, 0, 80), (10, 10, 40, 80), (300, 10, 40, 80))
    follow(tracker, [boxes] * 2)
    found = tracker.table.found
    assert sorted(found.tolist()) == [0, 2, 3]
    np.testing.assert_allclose(tracker.table.last, boxes.boxes[found])


def test_a_track_whose_box_vanishes_ends():
    frames = [seen((300, 300, 60 - 4 * i, 120 - 8 * i)) for i in range(12)] + [NOBODY] * 40
    tracks = follow(DeepSort(TrackerConfig(max_coast=2.0)), frames)
    assert len(tracks[12]) == 1 and len(tracks[-1]) == 0
    assert all((t.boxes[:, 2:] > t.boxes[:, :2]).all() for t in tracks)


# --- the picture's border ---


@pytest.mark.parametrize(("size", "hovering"), [((640, 480), 0), ((float("inf"), float("inf")), 1)])
@pytest.mark.parametrize("way", [(12, 0), (-12, 0), (0, 9), (0, -9)])
def test_a_track_that_leaves_the_picture_does_not_hover(size, hovering, way):
    x, y = np.array([[320], [240]]) + np.outer(way, np.arange(-25, 55))
    inside = (x > 0) & (x < 640) & (y > 0) & (y < 480)  # with half of its box, or more
    places = [(left, top, 40, 80) for left, top in zip(x - 20, y - 40, strict=True)]
    frames = [seen(box) if there else NOBODY for box, there in zip(places, inside, strict=True)]
    assert inside[0] and not inside[-1]
    tracker = DeepSort(TrackerConfig(min_visible=0.7, max_coast=5.0, max_age=5.0), size=size)
    assert lengths(follow(tracker, frames))[-1] == hovering


def test_a_track_that_is_seen_at_the_border_stays():
    # Boxes that reach beyond the picture: some detectors guess what it cuts off.
    frames = [seen((610, 200, 60, 120))] * 30
    tracker = DeepSort(TrackerConfig(min_visible=0.7), size=(640, 480))
    assert all_ids(follow(tracker, frames)) == {1}


# --- objects that are seen in part ---

SIZE = (640, 480)
COMES_IN = [(300, 480 - 8 * n, 60, 8 * n) for n in range(3, 26)]  # from below, 8 pixels more in each frame


def partly(boxes, others):
    """What is found of somebody; in the frames named by `others` it is taken for another class."""
    return [seen(box, labels=[int(n in others)]) for n, box in enumerate(boxes)]


@pytest.mark.parametrize(("share", "count"), [(0.7, 1), (0, 2)])
def test_what_is_mistaken_as_it_comes_in_stays_one_track(share, count):
    tracker = DeepSort(TrackerConfig(border_overlap=share), size=SIZE)
    tracks = follow(tracker, partly(COMES_IN, range(4)))
    assert all_ids(tracks) == set(range(1, count + 1))
    assert tracks[-1].labels.tolist() == [0]


def test_two_classes_away_from_the_edge_stay_two_tracks():
    boxes = [(300, 380 - 8 * n, 60, 8 * n) for n in range(3, 26)]
    assert all_ids(follow(DeepSort(TrackerConfig(), size=SIZE), partly(boxes, range(4)))) == {1, 2}


def test_without_a_size_there_is_no_edge():
    assert all_ids(follow(DeepSort(TrackerConfig()), partly(COMES_IN, range(4)))) == {1, 2}


@pytest.mark.parametrize(("share", "count"), [(0.7, 1), (0, 2)])
def test_what_is_left_of_somebody_who_leaves_is_no_new_track(share, count):
    boxes = [(500 + 6 * n, 100, min(120, 140 - 6 * n), 300) for n in range(16)]
    boxes += [(596 + 4 * n, 250, 44 - 4 * n, 150) for n in range(4)]  # only the legs are found
    tracker = DeepSort(TrackerConfig(border_overlap=share), size=SIZE)
    assert all_ids(follow(tracker, [seen(box) for box in boxes])) == set(range(1, count + 1))


def test_somebody_who_stands_before_another_one_at_the_edge_is_another_one():
    """The tall one is hidden by a small one, and the tall one did not move out."""
    frames = [seen((100, 180, 120, 300))] * 10 + [seen((130, 330, 60, 150))] * 10
    assert all_ids(follow(DeepSort(TrackerConfig(), size=SIZE), frames)) == {1, 2}


# --- duplicates ---


@pytest.mark.parametrize(
    ("duplicate_iou", "aside", "label", "left"), [(0.85, 2, 0, 1), (0.85, 2, 1, 2), (0.85, 12, 0, 2), (0.0, 2, 0, 2)]
)
def test_a_missed_track_on_top_of_a_seen_one_of_its_class_is_a_duplicate(duplicate_iou, aside, label, left):
    boxes = (200, 200, 80, 160), (200 + aside, 200, 80, 160)  # IoU 0.95 or 0.74
    frames = [seen(*boxes, labels=[0, label])] * 5 + [seen(boxes[0])] * 3
    tracker = plain(duplicate_iou=duplicate_iou, max_coast=1.0)
    assert lengths(follow(tracker, frames)) == [2] * 5 + [left] * 3


# --- memory ---


def test_what_a_tracker_holds_does_not_grow_with_time():
    tracker = DeepSort(TrackerConfig(max_age=0.1, appearance_momentum=0), {0})
    held = []
    for start in range(0, 50, 10):
        draw = np.random.default_rng(1)  # the same five seconds each time
        for i in range(150):
            corners = draw.uniform(0, 900, (3, 2)) if i % 50 < 20 else np.zeros((0, 2))
            detections = seen(*np.repeat(np.c_[corners, corners * 0 + 50], 1 + i % 2, axis=0))
            tracker.update(detections, np.tile(RED, (len(detections), 1)), start + i / 30)
        held.append(len(pickle.dumps(tracker)))
    # 260 tracks end in each round; of one, four numbers take 32 bytes, and its gallery 3,200.
    assert len(tracker.table) == 0
    assert max(held) - min(held) < 100, held


@pytest.mark.slow
def test_an_hour_of_nothing_takes_no_memory_and_time_does_not_wear_out():
    tracker, box, nothing = DeepSort(TrackerConfig(), {0}, (640, 480)), seen(BOX), np.zeros((0, 8), np.float32)
    follow(tracker, [(box, RED[None])] * 5)
    held = []
    for i in range(100_000):
        assert len(tracker.update(NOBODY, nothing, 1 + i / 30)) == 0
        if i % 25_000 == 24_999:
            held.append(sys.getallocatedblocks())
    # Keeping as much as one number of each frame would take 25,000 blocks more each time.
    assert max(held) - min(held) < 500, held
    tracks = [tracker.update(box, RED[None], 4000 + i / 30) for i in range(5)]
    assert tracks[-1].ids.tolist() == [2]
    np.testing.assert_allclose(tracks[-1].velocities, 0, atol=1e-3)
