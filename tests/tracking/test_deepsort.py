"""The life cycle of tracks: start, confirmation, coasting and end, and the tracks that are returned."""

import pickle
import sys

import numpy as np
import pytest

from detection_streams import (
    NO_DETECTIONS,
    RED,
    all_ids,
    assert_equal_tracks,
    make_detections,
    make_tracker,
    no_embeddings,
    random_stream,
    run_tracker,
    track_counts,
    variant_tracker,
)
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

BOX = (10, 10, 40, 80)


# --- life cycle ---


@pytest.mark.parametrize("n_init", [1, 2, 3])
def test_a_track_is_confirmed_by_n_init_detections(n_init):
    tracks = run_tracker(make_tracker(n_init=n_init), [make_detections(BOX)] * 4)
    assert track_counts(tracks) == [int(i + 1 >= n_init) for i in range(4)]
    assert all(t.ids.tolist() == [1] for t in tracks[n_init - 1 :])


@pytest.mark.parametrize(("misses", "confirmed"), [(0, [8]), (1, [7, 8]), (2, [4, 6, 7, 8])])
def test_a_tentative_track_ends_after_tentative_misses(misses, confirmed):
    frames = [make_detections(BOX) if present else NO_DETECTIONS for present in (1, 1, 0, 0, 1, 0, 1, 1, 1)]
    tracks = run_tracker(make_tracker(n_init=3, tentative_misses=misses, min_presence=1), frames)
    assert [i for i, t in enumerate(tracks) if len(t)] == confirmed
    assert all_ids(tracks) == {1}


@pytest.mark.parametrize("fps", [5.0, 24.0, 60.0])
@pytest.mark.parametrize(("gap", "ids"), [(0.8, [1]), (1.2, [2])])
def test_a_track_survives_max_age_seconds_at_any_frame_rate(fps, gap, ids):
    box, tracker = make_detections(BOX), DeepSort(TrackerConfig(max_age=1.0))
    run_tracker(tracker, [box] * 5, fps)
    for i in range(3):
        tracks = tracker.update(box, no_embeddings(box), 4 / fps + gap + i / fps)
    assert tracks.ids.tolist() == ids


def test_frames_without_detections_and_a_gap_of_the_same_length_are_equivalent():
    box = make_detections(BOX)
    for frames_between in (0, 7):
        tracker = DeepSort(TrackerConfig(max_age=1.0))
        run_tracker(tracker, [box] * 5)
        for time in np.linspace(0.2, 3.9, frames_between):
            assert len(tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), time)) == 0
        tracks = [tracker.update(box, no_embeddings(box), 4 + i / 30) for i in range(3)]
        assert tracks[-1].ids.tolist() == [2]


def test_ids_ascend_and_are_never_reused():
    left, right = make_detections(BOX), make_detections((500, 10, 40, 80))
    frames = ([left] * 4 + [NO_DETECTIONS] * 10 + [right] * 4 + [NO_DETECTIONS] * 10) * 2
    tracks = run_tracker(make_tracker(max_age=0.2), frames)
    assert [t.ids.tolist() for t in tracks if len(t)] == [[i] for i in (1, 2, 3, 4) for _ in range(4)]


def test_a_track_gets_its_id_at_confirmation():
    first, second, brief = (10, 10, 40, 80), (300, 10, 40, 80), (600, 10, 40, 80)
    # The first misses two frames, so that the second, which came later, is confirmed before it.
    frames = [
        make_detections(first),
        make_detections(second, brief),
        make_detections(first, second),
        make_detections(second),
        make_detections(first, second),
    ]
    tracks = run_tracker(make_tracker(n_init=3, tentative_misses=1), frames)
    assert [t.ids.tolist() for t in tracks] == [[], [], [], [1], [1, 2]]
    assert tracks[-1].boxes[:, 0].argsort().tolist() == [1, 0]


@pytest.mark.parametrize(("label", "max_occlusion", "ids"), [(0, 0.4, {1, 2}), (1, 0.4, {1, 2, 3}), (0, 0, {1, 2, 3})])
def test_a_box_that_two_tracks_of_its_class_cover_is_confirmed_when_they_leave(label, max_occlusion, ids):
    """Each covers a third of it; it gets its id in the frame in which they are gone."""
    tracker = DeepSort(TrackerConfig(max_occlusion=max_occlusion))
    pair = [(10, 10, 30, 80), (50, 10, 30, 80)]
    between = (30, 10, 30, 80)
    run_tracker(tracker, [make_detections(*pair)] * 3)
    all_three = make_detections(*pair, between, labels=[0, 0, label])
    times = iter(np.arange(3, 60) / 30)
    tracks = [tracker.update(all_three, no_embeddings(all_three), next(times)) for _ in range(10)]
    assert all_ids(tracks) == ids
    alone = make_detections(between, labels=[label])
    tracks = [tracker.update(alone, no_embeddings(alone), next(times)) for _ in range(3)]
    assert [t.ids.tolist() for t in tracks] == [[3]] * 3


def test_coasting_tracks_are_returned_for_max_coast_seconds():
    frames = [make_detections((10 + 6 * i, 10, 40, 80)) for i in range(20)] + [NO_DETECTIONS] * 10
    tracks = run_tracker(DeepSort(TrackerConfig(max_coast=0.1)), frames)
    assert track_counts(tracks[18:]) == [1] * 5 + [0] * 7
    assert [t.observed.tolist() for t in tracks[19:23]] == [[True], [False], [False], [False]]
    assert tracks[22].boxes[0, 0] == pytest.approx(10 + 6 * 22, abs=3)
    assert not any(track_counts(run_tracker(DeepSort(TrackerConfig()), frames)[20:]))


@pytest.mark.parametrize(("min_presence", "reported"), [(0.5, True), (1, False)])
def test_a_track_is_reported_where_the_detector_often_misses_its_object(min_presence, reported):
    frames = [make_detections((10 + 3 * i, 10, 40, 80)) if i % 4 else NO_DETECTIONS for i in range(60)]
    tracks = run_tracker(DeepSort(TrackerConfig(min_presence=min_presence)), frames + [NO_DETECTIONS] * 20)
    missed = tracks[20:60:4]
    assert track_counts(missed) == [int(reported)] * 10
    assert not any(t.observed.any() for t in missed) and all_ids(tracks) == {1}
    for i, track in zip(range(20, 60, 4), missed, strict=True):
        np.testing.assert_allclose(
            track.boxes, np.array([[10 + 3 * i, 10, 50 + 3 * i, 90]] * reported).reshape(-1, 4), atol=3
        )
    assert not any(track_counts(tracks[63:]))


def test_a_track_is_not_reported_after_a_long_gap_as_if_the_detector_had_missed_it():
    present = [*range(20), *range(40, 60)]  # hidden in between
    frames = [make_detections(BOX) if i in present else NO_DETECTIONS for i in range(70)]
    counts = track_counts(run_tracker(DeepSort(TrackerConfig()), frames))
    assert (sum(counts[20:40]), sum(counts[60:])) == (0, 0)


# --- frames in which the detector did not run ---


@pytest.mark.parametrize("name", ["default", "gallery", "momentum", "cascade"])
def test_prediction_leaves_the_tracker_as_it_was(name):
    tracker, reference = variant_tracker(name), variant_tracker(name)
    for n, (detections, embeddings) in enumerate(random_stream(7)):
        tracks = tracker.update(detections, embeddings, n / 10)
        assert_equal_tracks(tracks, reference.update(detections, embeddings, n / 10))
        for part in (0.3, 0.6, 0.9):
            between = tracker.predict((n + part) / 10)
            assert (
                set(between.ids) <= set(tracks.ids)
                and not between.observed.any()
                and (between.detection_index == -1).all()
            )


def test_prediction_moves_on_as_the_object_does():
    tracker = DeepSort(TrackerConfig(max_age=1.0))
    run_tracker(tracker, [make_detections((10 + 6 * i, 10, 40, 80)) for i in range(30)])
    for later in (1, 5, 20):
        assert tracker.predict((29 + later) / 30).boxes[0, 0] == pytest.approx(10 + 6 * (29 + later), abs=3)
    assert not len(tracker.predict(29 / 30 + 1.1))
    with pytest.raises(InputError, match="must be after"):
        tracker.predict(29 / 30)


def test_a_missed_track_is_predicted_for_max_coast_seconds():
    tracker = DeepSort(TrackerConfig(max_coast=0.2))
    run_tracker(tracker, [make_detections(BOX)] * 5 + [NO_DETECTIONS])
    assert [len(tracker.predict(time)) for time in (0.2, 0.33, 0.35, 1.0)] == [1, 1, 0, 0]


def test_the_columns_of_a_track():
    frames = [make_detections((10 + 4 * i, 100 - 2 * i, 40, 80), scores=[0.5 + i / 100], labels=[7]) for i in range(40)]
    track = run_tracker(make_tracker(), frames)[-1]
    np.testing.assert_allclose(track.boxes, frames[-1].boxes, atol=1)
    np.testing.assert_allclose(track.velocities, [[120, -60]], rtol=0.02)
    np.testing.assert_allclose(track.ages, [39 / 30], rtol=1e-6)
    assert (track.labels[0], track.scores[0], track.observed[0]) == (7, np.float32(0.89), True)


def test_detection_weight_mixes_detected_and_filtered_box():
    rng = np.random.default_rng(3)
    # As noisy as the settings say: of a more precise detector, the weight of its boxes is greater.
    frames = [make_detections((300 + rng.normal(0, 8), 200, 60, 120 + rng.normal(0, 16))) for _ in range(40)]
    filtered, mixed, detected = (run_tracker(make_tracker(detection_weight=s), frames)[-1].boxes for s in (0, 0.25, 1))
    np.testing.assert_array_equal(detected, frames[-1].boxes)
    assert np.abs(filtered - detected).max() > 1
    np.testing.assert_allclose(mixed, 0.75 * filtered + 0.25 * detected, atol=1e-4)


# --- scores ---


def test_detections_below_start_score_continue_tracks_and_start_none():
    tracker = make_tracker(start_score=0.85, min_evidence=0)
    below, above = make_detections(BOX, scores=[0.84]), make_detections(BOX, scores=[0.86])
    assert track_counts(run_tracker(tracker, [below] * 3 + [above] + [below] * 3)) == [0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(("score", "evidence", "first"), [(0.6, 4, 19), (0.75, 4, 4), (0.75, 8, 8), (0.75, 0, None)])
def test_steady_detections_below_start_score_start_a_track_by_their_evidence(score, evidence, first):
    tracker = DeepSort(TrackerConfig(min_evidence=evidence))
    frames = [make_detections((10 + i, 10, 40, 80), scores=[score]) for i in range(25)]
    counts = track_counts(run_tracker(tracker, frames))
    assert counts == [0] * 25 if first is None else [0] * first + [1] * (25 - first)


def test_single_false_detections_below_start_score_start_no_track():
    present = [i % 9 < 3 for i in range(90)]
    frames = [make_detections(BOX, scores=[0.75]) if each else NO_DETECTIONS for each in present]
    assert not any(track_counts(run_tracker(DeepSort(TrackerConfig()), frames)))
    frames = [make_detections(BOX, scores=[0.55])] * 90  # as likely false as true
    assert not any(track_counts(run_tracker(DeepSort(TrackerConfig()), frames)))


def test_a_track_of_detections_below_start_score_is_one_track_with_those_above():
    weak, strong = make_detections(BOX, scores=[0.6]), make_detections(BOX, scores=[0.9])
    tracks = run_tracker(DeepSort(TrackerConfig()), [weak] * 5 + [strong] * 5 + [weak] * 5)
    assert track_counts(tracks) == [0] * 6 + [1] * 9 and all_ids(tracks) == {1}


def test_a_box_that_is_half_covered_is_confirmed_by_its_evidence():
    pair = make_detections((10, 10, 40, 80), (30, 20, 40, 80))
    tracks = run_tracker(DeepSort(TrackerConfig()), [make_detections((10, 10, 40, 80))] * 3 + [pair] * 20)
    counts = track_counts(tracks[3:])
    assert counts[:4] == [1] * 4 and counts[-1] == 2


def test_detections_below_high_score_continue_recent_tracks_and_start_none():
    low, high = make_detections(BOX, scores=[0.3]), make_detections(BOX, scores=[0.9])
    assert not any(track_counts(run_tracker(make_tracker(high_score=0.5), [low] * 5)))
    # After a miss, a track takes no low-score detection.
    assert track_counts(
        run_tracker(make_tracker(high_score=0.5), [high] * 3 + [low] * 3 + [NO_DETECTIONS, low, high])
    ) == [1] * 6 + [0, 0, 1]
    assert track_counts(run_tracker(make_tracker(high_score=0.5), [high] * 3 + [low, high])) == [1] * 5
    # Nor does a tentative track.
    assert not any(
        track_counts(run_tracker(make_tracker(high_score=0.5, n_init=2, tentative_misses=0), [high, low] * 3))
    )


def test_a_high_score_detection_takes_precedence_over_a_nearer_low_score_one():
    tracker = make_tracker(high_score=0.5)
    run_tracker(tracker, [make_detections((100, 100, 60, 120))] * 3)
    both = make_detections((100, 100, 60, 120), (112, 100, 60, 120), scores=[0.4, 0.9])
    tracks = tracker.update(both, no_embeddings(both), 0.1)
    assert (tracks.ids.tolist(), tracks.scores.tolist()) == ([1], [np.float32(0.9)])


def test_a_low_score_detection_must_overlap_by_low_iou():
    for shift, matched in ((20, 1), (24, 0)):  # of 60 px: IoU 0.5 and 0.43
        tracker = make_tracker(high_score=0.5, low_iou=0.48)
        frames = [make_detections((100, 100, 60, 120))] * 5 + [
            make_detections((100 + shift, 100, 60, 120), scores=[0.4])
        ]
        assert track_counts(run_tracker(tracker, frames))[-1] == matched


def test_scores_may_be_those_of_any_detector():
    frames = [make_detections((100 + 3 * i, 100, 60, 120), scores=[40 + i]) for i in range(30)]
    for settings in ({}, {"association": "iou", "score_weight": 1, "direction_weight": 0.5}):
        tracks = run_tracker(DeepSort(TrackerConfig(**settings)), frames)
        assert all_ids(tracks) == {1} and track_counts(tracks[5:]) == [1] * 25
        np.testing.assert_allclose(tracks[-1].boxes, frames[-1].boxes, atol=1)
        assert tracks[-1].scores.tolist() == [69]


# --- time ---


@pytest.mark.smoke
def test_motion_is_predicted_over_real_intervals():
    rng, time, tracker = np.random.default_rng(5), 0.0, DeepSort(TrackerConfig(max_coast=1.0))
    for _ in range(60):
        box = make_detections((200 * time, 50, 60, 100))
        tracker.update(box, no_embeddings(box), time)
        time += rng.choice([1 / 60, 1 / 30, 1 / 10])
    tracks = tracker.update(NO_DETECTIONS, no_embeddings(NO_DETECTIONS), time + 0.5)
    assert tracks.boxes[0, 0] == pytest.approx(200 * (time + 0.5), abs=4)


@pytest.mark.parametrize("time", [0.5, 1.0, float("nan"), float("inf")])
def test_time_must_ascend(time):
    tracker, reference = (DeepSort(TrackerConfig()) for _ in range(2))
    box = make_detections(BOX)
    for each in (tracker, reference):
        for earlier in (0.9, 1.0):
            each.update(box, no_embeddings(box), earlier)
    with pytest.raises(InputError, match="must be after that of the frame before"):
        tracker.update(box, no_embeddings(box), time)
    assert_equal_tracks(tracker.update(box, no_embeddings(box), 1.1), reference.update(box, no_embeddings(box), 1.1))


# --- bad detections ---


def test_a_refused_frame_leaves_the_tracker_as_it_was():
    box, unit = make_detections(BOX), np.eye(1, 4, dtype=np.float32)
    tracker, reference = (DeepSort(TrackerConfig(), {0}) for _ in range(2))
    for t in range(3):
        assert_equal_tracks(tracker.update(box, unit, t / 30), reference.update(box, unit, t / 30))
    broken = Detections(box.boxes * np.float32("nan"), box.scores, box.labels)
    endless = Detections(box.boxes * np.float32("inf"), box.scores, box.labels)
    for detections, embeddings, camera_motion, message in [
        (broken, unit, np.eye(2, 3), "boxes .* not finite"),
        (endless, unit, np.eye(2, 3), "boxes .* not finite"),
        (make_detections((1, 1, 2, 2), scores=[np.nan]), unit, np.eye(2, 3), "scores .* not finite"),
        (box, unit / np.float32("nan"), np.eye(2, 3), "embeddings .* not finite"),
        (box, np.eye(2, 4, dtype=np.float32), np.eye(2, 3), "as many embeddings"),
        (box, np.eye(1, 8, dtype=np.float32), np.eye(2, 3), "keep their dimension of 4"),
        (box, unit, np.eye(3), "camera"),
        (box, unit, np.full((2, 3), np.nan), "camera"),
    ]:
        with pytest.raises(ValueError, match=message):
            tracker.update(detections, embeddings, 0.15, camera_motion)
    assert_equal_tracks(tracker.update(box, unit, 0.2), reference.update(box, unit, 0.2))


def test_boxes_without_area_never_become_tracks():
    detections = make_detections(
        (10, 10, 0, 50), (50, 50, 20, 0), (90, 90, -5, 30), (140, 90, -5, -30), (200, 200, 20, 40)
    )
    tracks = run_tracker(make_tracker(), [detections] * 3)
    assert all(len(t) == 1 and t.boxes[0, 0] == pytest.approx(200) for t in tracks)


def test_a_box_without_area_is_not_matched_with_a_track():
    tracks = run_tracker(
        make_tracker(max_coast=1.0), [make_detections((100, 100, 40, 80))] * 3 + [make_detections((120, 100, 0, 80))]
    )
    assert tracks[-1].observed.tolist() == [False]


def test_detection_index_refers_to_the_detections_in_their_given_order():
    tracker = make_tracker()
    boxes = make_detections((500, 10, 40, 80), (10, 10, 0, 80), (10, 10, 40, 80), (300, 10, 40, 80))
    run_tracker(tracker, [boxes] * 2)
    index = tracker.table.detection_index
    assert sorted(index.tolist()) == [0, 2, 3]
    np.testing.assert_allclose(tracker.table.last_box, boxes.boxes[index])


def test_a_track_whose_box_vanishes_ends():
    frames = [make_detections((300, 300, 60 - 4 * i, 120 - 8 * i)) for i in range(12)] + [NO_DETECTIONS] * 40
    tracks = run_tracker(DeepSort(TrackerConfig(max_coast=2.0)), frames)
    assert len(tracks[12]) == 1 and len(tracks[-1]) == 0
    assert all((t.boxes[:, 2:] > t.boxes[:, :2]).all() for t in tracks)


# --- the border of the image ---


@pytest.mark.parametrize(("size", "remaining"), [((640, 480), 0), ((float("inf"), float("inf")), 1)])
@pytest.mark.parametrize("velocity", [(12, 0), (-12, 0), (0, 9), (0, -9)])
def test_a_track_that_leaves_the_image_ends(size, remaining, velocity):
    x, y = np.array([[320], [240]]) + np.outer(velocity, np.arange(-25, 55))
    inside = (x > 0) & (x < 640) & (y > 0) & (y < 480)  # with at least half of its box
    boxes = [(left, top, 40, 80) for left, top in zip(x - 20, y - 40, strict=True)]
    frames = [make_detections(box) if present else NO_DETECTIONS for box, present in zip(boxes, inside, strict=True)]
    assert inside[0] and not inside[-1]
    tracker = DeepSort(TrackerConfig(min_visible=0.7, max_coast=5.0, max_age=5.0), size=size)
    assert track_counts(run_tracker(tracker, frames))[-1] == remaining


def test_a_track_that_is_detected_at_the_border_stays():
    # Boxes that reach beyond the image: some detectors estimate the part outside of it.
    frames = [make_detections((610, 200, 60, 120))] * 30
    tracker = DeepSort(TrackerConfig(min_visible=0.7), size=(640, 480))
    assert all_ids(run_tracker(tracker, frames)) == {1}


@pytest.mark.parametrize(("left", "count"), [(615, 1), (570, 2)])
def test_a_gap_ends_a_track_at_the_border_only_if_it_moves_out(left, count):
    # Given boxes that reach out of the image by half stay where they are; the others vanish where they were whole.
    speed = 0 if left == 615 else 6
    boxes = [(left + speed * min(n, 5), 200, 50, 120) for n in range(16)]
    frames = [NO_DETECTIONS if 6 <= n < 12 else make_detections(box) for n, box in enumerate(boxes)]
    tracker = DeepSort(TrackerConfig(min_visible=0.7), size=(640, 480))
    assert len(all_ids(run_tracker(tracker, frames))) == count


# --- objects that are partly outside of the image ---

SIZE = (640, 480)
ENTERING = [(300, 480 - 8 * n, 60, 8 * n) for n in range(3, 26)]  # from below, 8 more pixels in each frame


def with_labels(boxes, misclassified):
    """Returns a detection for each frame; in the frames `misclassified` it has another label."""
    return [make_detections(box, labels=[int(n in misclassified)]) for n, box in enumerate(boxes)]


@pytest.mark.parametrize(("border_overlap", "count"), [(0.7, 1), (0, 2)])
def test_an_object_that_is_misclassified_as_it_enters_stays_one_track(border_overlap, count):
    tracker = DeepSort(TrackerConfig(border_overlap=border_overlap), size=SIZE)
    tracks = run_tracker(tracker, with_labels(ENTERING, range(4)))
    assert all_ids(tracks) == set(range(1, count + 1))
    assert tracks[-1].labels.tolist() == [0]


def test_two_classes_away_from_the_border_stay_two_tracks():
    boxes = [(300, 380 - 8 * n, 60, 8 * n) for n in range(3, 26)]
    assert all_ids(run_tracker(DeepSort(TrackerConfig(), size=SIZE), with_labels(boxes, range(4)))) == {1, 2}


def test_without_a_size_there_is_no_border():
    assert all_ids(run_tracker(DeepSort(TrackerConfig()), with_labels(ENTERING, range(4)))) == {1, 2}


@pytest.mark.parametrize(("border_overlap", "count"), [(0.7, 1), (0, 2)])
def test_the_visible_part_of_a_person_who_leaves_is_no_new_track(border_overlap, count):
    boxes = [(500 + 6 * n, 100, min(120, 140 - 6 * n), 300) for n in range(16)]
    boxes += [(596 + 4 * n, 250, 44 - 4 * n, 150) for n in range(4)]  # only the legs are detected
    tracker = DeepSort(TrackerConfig(border_overlap=border_overlap, recover_iou=0), size=SIZE)
    assert all_ids(run_tracker(tracker, [make_detections(box) for box in boxes])) == set(range(1, count + 1))


def test_a_person_in_front_of_another_at_the_border_is_a_new_track():
    """A small person hides a tall one, who did not move out of the image."""
    frames = [make_detections((100, 180, 120, 300))] * 10 + [make_detections((130, 330, 60, 150))] * 10
    assert all_ids(run_tracker(DeepSort(TrackerConfig(), size=SIZE), frames)) == {1, 2}


# --- duplicates ---


@pytest.mark.parametrize(
    ("duplicate_iou", "shift", "label", "remaining"),
    [(0.85, 2, 0, 1), (0.85, 2, 1, 2), (0.85, 12, 0, 2), (0.0, 2, 0, 2)],
)
def test_a_missed_track_on_top_of_a_detected_one_of_its_class_is_a_duplicate(duplicate_iou, shift, label, remaining):
    boxes = (200, 200, 80, 160), (200 + shift, 200, 80, 160)  # IoU 0.95 or 0.74
    frames = [make_detections(*boxes, labels=[0, label])] * 5 + [make_detections(boxes[0])] * 3
    tracker = make_tracker(duplicate_iou=duplicate_iou, max_coast=1.0)
    assert track_counts(run_tracker(tracker, frames)) == [2] * 5 + [remaining] * 3


# --- memory ---


def test_the_memory_of_a_tracker_does_not_grow_with_time():
    tracker = DeepSort(TrackerConfig(max_age=0.1, appearance_momentum=0), {0})
    memory = []
    for start in range(0, 50, 10):
        rng = np.random.default_rng(1)  # the same five seconds each time
        for i in range(150):
            corners = rng.uniform(0, 900, (3, 2)) if i % 50 < 20 else np.zeros((0, 2))
            detections = make_detections(*np.repeat(np.c_[corners, corners * 0 + 50], 1 + i % 2, axis=0))
            tracker.update(detections, np.tile(RED, (len(detections), 1)), start + i / 30)
        memory.append(len(pickle.dumps(tracker)))
    # 260 tracks end in each round; four numbers of a track take 32 bytes, and its gallery 3,200.
    assert len(tracker.table) == 0
    assert max(memory) - min(memory) < 100, memory


@pytest.mark.slow
def test_an_hour_without_detections_takes_no_memory_and_tracking_continues():
    tracker, box, none = DeepSort(TrackerConfig(), {0}, (640, 480)), make_detections(BOX), np.zeros((0, 8), np.float32)
    run_tracker(tracker, [(box, RED[None])] * 5)
    memory = []
    for i in range(36_000):
        assert len(tracker.update(NO_DETECTIONS, none, 1 + i / 10)) == 0
        if i % 9_000 == 8_999:
            memory.append(sys.getallocatedblocks())
    # One number for each frame would take 9,000 more blocks each time.
    assert max(memory) - min(memory) < 500, memory
    tracks = [tracker.update(box, RED[None], 4000 + i / 30) for i in range(5)]
    assert tracks[-1].ids.tolist() == [2]
    np.testing.assert_allclose(tracks[-1].velocities, 0, atol=1e-3)
