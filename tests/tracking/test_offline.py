"""Offline tracking: linked, smoothed and interpolated tracks of a whole file."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from detection_scenes import SCENES
from detection_streams import (
    BLUE,
    COLUMNS,
    NO_DETECTIONS,
    RED,
    VARIANTS,
    all_ids,
    assert_equal_tracks,
    make_detections,
    no_embeddings,
    random_stream,
    run_tracker,
)
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.boxes import warp_boxes
from tracker.structures.types import Detections
from tracker.tracking import DeepSort
from tracker.tracking.offline import OfflineTracker

SEED = st.integers(0, 10**6)
FEW = settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
ANY_DETECTION = {"n_init": 1, "start_score": 0, "high_score": 0, "min_detections": 1, "fill_support": 0}
"""Settings with which any detection starts a confirmed track, no track is too short, and gaps are filled by length."""
SHORT = {"relink_gap": 0.15, "link_gap": 1.0, "min_detections": 3, "max_gap": 0.5}
"""Settings with which much of a stream of a few seconds is split, linked, dropped and interpolated."""

ONE = make_detections((100, 100, 50, 120))


def track_offline(frames, fps=25.0, labels=(), camera_motions=None, **config):
    """Returns the final tracks of every frame, for Detections without embeddings, or pairs with embeddings."""
    tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION | config), labels)
    for n, frame in enumerate(frames):
        detections, embeddings = (frame, no_embeddings(frame)) if isinstance(frame, Detections) else frame
        options = {} if camera_motions is None else {"camera_motion": camera_motions[n]}
        tracker.update(detections, embeddings, n / fps, **options)
    return list(tracker.finish())


def frames_with_track(frames, fps=25.0, **config):
    """Returns the frames with a track, and the number of ids, for one object that stands still."""
    tracks = track_offline([ONE if detected else NO_DETECTIONS for detected in frames], fps, **config)
    return [n for n, frame_tracks in enumerate(tracks) if len(frame_tracks)], len(all_ids(tracks))


# --- every frame has tracks ---


@pytest.mark.parametrize(
    "frames", [[], [NO_DETECTIONS], [ONE], [NO_DETECTIONS] * 5, [NO_DETECTIONS, ONE, NO_DETECTIONS, NO_DETECTIONS]]
)
def test_tracks_are_returned_for_every_frame_also_without_detections(frames):
    tracks = track_offline(frames)
    assert [len(t) for t in tracks] == [len(d) for d in frames]
    for frame_tracks in tracks:  # Tracks checks the types of its columns
        assert all(len(getattr(frame_tracks, name)) == len(frame_tracks) for name in COLUMNS)


def test_skipped_frames_are_filled():
    """Like frames without detections, but none counts as a miss."""
    tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION))
    for n in range(60):
        if n % 5 == 0:
            detections = make_detections((10 + 4 * n, 100, 50, 120))
            tracker.update(detections, no_embeddings(detections), n / 25)
        else:
            tracker.skip(n / 25)
    tracks = list(tracker.finish())
    assert all_ids(tracks) == {1} and [len(t) for t in tracks] == [1] * 56 + [0] * 4
    assert [n for n, t in enumerate(tracks[:56]) if t.observed[0]] == list(range(0, 56, 5))
    for n, frame_tracks in enumerate(tracks[:56]):
        assert frame_tracks.boxes[0, 0] == pytest.approx(10 + 4 * n, abs=1)


def test_with_a_single_detection_the_track_is_that_detection():
    tracks = track_offline(
        [NO_DETECTIONS, make_detections((100, 100, 50, 120), labels=[3], scores=[0.75]), NO_DETECTIONS]
    )[1]
    assert (tracks.ids.tolist(), tracks.labels.tolist(), tracks.scores.tolist()) == ([1], [3], [0.75])
    assert (tracks.ages.tolist(), tracks.observed.tolist()) == ([0], [True])
    np.testing.assert_allclose(tracks.boxes, [[100, 100, 150, 220]], atol=1e-4)
    np.testing.assert_allclose(tracks.velocities, 0, atol=1e-4)


def test_a_frame_with_an_error_changes_nothing():
    tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION))
    for time in (0, 1, 2):
        tracker.update(ONE, no_embeddings(ONE), time / 25)
        with pytest.raises(InputError, match="must be after"):
            tracker.update(make_detections((0, 0, 9, 9)), no_embeddings(ONE), time / 25)
        with pytest.raises(ValueError, match="as many embeddings"):
            tracker.update(ONE, no_embeddings(NO_DETECTIONS), time / 25 + 0.01)
    for a, b in zip(tracker.finish(), track_offline([ONE] * 3), strict=True):
        assert_equal_tracks(a, b)


# --- the rows of a track ---


def test_a_track_begins_with_its_first_detection_not_with_its_confirmation():
    frames = [NO_DETECTIONS, *[ONE] * 6]
    online = run_tracker(DeepSort(TrackerConfig(n_init=4)), frames, 25)
    assert [len(t) for t in online] == [0, 0, 0, 0, 1, 1, 1]
    tracks = track_offline(frames, n_init=4, min_detections=5)
    assert [len(t) for t in tracks] == [0, 1, 1, 1, 1, 1, 1]
    assert [t.ages[0] for t in tracks[1:]] == pytest.approx([n / 25 for n in range(6)])


def test_tracks_that_are_never_confirmed_are_dropped():
    frames = [
        NO_DETECTIONS,
        ONE,
        ONE,
        NO_DETECTIONS,
        NO_DETECTIONS,
        NO_DETECTIONS,
        NO_DETECTIONS,
        ONE,
        ONE,
        ONE,
        NO_DETECTIONS,
    ]
    assert frames_with_track([len(d) for d in frames], n_init=3, tentative_misses=1, link_gap=0) == ([7, 8, 9], 1)


@pytest.mark.parametrize(("count", "tracks"), [(4, 0), (5, 1)])
def test_a_track_needs_enough_detections(count, tracks):
    detected = [True] * count + [False] * 80
    assert frames_with_track(detected, min_detections=5) == (list(range(count * tracks)), tracks)


def test_min_detections_counts_the_detections_of_all_linked_tracklets():
    detected = [True] * 3 + [False] * 20 + [True] * 2
    assert frames_with_track(detected, min_detections=5, max_age=0.2)[1] == 1
    assert frames_with_track(detected, min_detections=6, max_age=0.2)[1] == 0


@pytest.mark.parametrize("name", ["occlusion", "crowd"])
def test_observed_is_true_for_rows_with_a_detection(name):
    scene, predicted = list(SCENES[name](25, 0)), 0
    frames = track_offline([frame.detections for frame in scene], max_gap=2.0, detection_weight=1, max_occlusion=0)
    for frame, tracks in zip(scene, frames, strict=True):
        # Each detection continues or starts a track, and each track is confirmed at once.
        detected, boxes = frame.detections.boxes, tracks.boxes[tracks.observed]
        np.testing.assert_allclose(boxes[boxes[:, 0].argsort()], detected[detected[:, 0].argsort()], atol=1e-3)
        distance = np.abs(tracks.boxes[~tracks.observed][:, None] - detected).max(2)
        assert (distance > 0.1).all()
        predicted += len(distance)
    assert predicted > 40


def test_a_gap_is_interpolated_with_the_score_and_the_class_of_the_last_detection():
    def at(n):
        return make_detections((100 + 4 * n, 100 + 2 * n, 50, 120), scores=[0.5 + n / 100])

    tracks = track_offline([at(n) if n < 20 or n >= 40 else NO_DETECTIONS for n in range(60)], max_gap=2.0)
    assert [bool(t.observed[0]) for t in tracks] == [n < 20 or n >= 40 for n in range(60)]
    for n in range(20, 40):
        x, y = 100 + 4 * n, 100 + 2 * n
        np.testing.assert_allclose(tracks[n].boxes, [[x, y, x + 50, y + 120]], atol=2)
        np.testing.assert_allclose(tracks[n].velocities, [[100, 50]], atol=5)
        assert tracks[n].scores[0] == np.float32(0.69)


def test_the_class_is_that_of_most_detections_from_the_first_frame_on():
    def label_of(*labels):
        frames = [make_detections((100, 100, 50, 120), labels=[label]) for label in labels]
        tracks = track_offline(frames, match_across_classes=True)
        assert all_ids(tracks) == {1}
        return {int(t.labels[0]) for t in tracks}

    assert label_of(5, 5, 2, 2, 2) == {2}
    assert label_of(5, 5, 2, 2) == {2}
    assert label_of(2, 5, 5, 2) == {2}  # the least of them in a tie


def test_the_class_is_that_of_most_detections_of_all_linked_tracklets():
    frames = (
        [make_detections((100, 100, 50, 120), labels=[2])] * 5
        + [NO_DETECTIONS] * 10
        + [make_detections((100, 100, 50, 120), labels=[1])] * 6
    )
    tracks = track_offline(frames, match_across_classes=True, max_age=0.2)
    assert {(int(t.ids[0]), int(t.labels[0])) for t in tracks} == {(1, 1)}
    apart = track_offline(frames, max_age=0.2)
    assert {(int(t.ids[0]), int(t.labels[0])) for t in apart if len(t)} == {(1, 2), (2, 1)}


def test_rescored_boxes_belong_to_the_track():
    def rescore(boxes, labels):
        return Detections(boxes, np.full(len(boxes), 0.6, np.float32), labels)

    tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION, rescore=0.5))
    for n in range(90):
        # A gap longer than any that is filled, in which another object is detected once.
        detections = ONE if not 30 <= n < 75 else make_detections((600, 100, 50, 120)) if n == 50 else NO_DETECTIONS
        tracker.update(detections, no_embeddings(detections), n / 25, rescore=rescore)
    tracks = list(tracker.finish())
    rows = [t[t.ids == 1] for t in tracks]
    assert [t.observed.tolist() for t in rows] == [[True]] * 90
    assert [round(float(t.scores[0]), 2) for t in rows] == [0.9] * 30 + [0.6] * 45 + [0.9] * 15


# --- gaps ---


@pytest.mark.parametrize("fps", [10, 25])
@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize(
    ("config", "within", "beyond"),
    [
        # A gap that the first pass bridges is filled up to max_gap,
        ({"max_gap": 1.0, "relink_gap": 9, "max_age": 9}, (1, True), (1, False)),
        # is split from relink_gap on, which without links makes two tracks,
        ({"max_gap": 9, "relink_gap": 1.0, "link_gap": 0, "max_age": 9}, (1, True), (2, False)),
        # and one at which the first pass ended the track is linked up to link_gap.
        ({"max_gap": 9, "link_gap": 1.0, "max_age": 0.2}, (1, True), (2, False)),
    ],
)
def test_gaps_at_their_limit_and_one_frame_longer(config, within, beyond, fps, more):
    gap = fps + more
    for first in range(1, 20):  # some gaps of 1 s exceed 1.0 by rounding
        detected = [False] * first + [True] * 4 + [False] * (gap - 1) + [True] * 4
        frames, ids = frames_with_track(detected, fps, **config)
        expected, is_filled = beyond if more else within
        assert ids == expected, first
        assert len(frames) == (7 + gap if is_filled else 8), first


def test_no_link_costs_more_than_max_nll():
    distant = make_detections((600, 100, 50, 120))
    frames = [ONE] * 5 + [NO_DETECTIONS] * 20 + [distant] * 5
    assert len(all_ids(track_offline(frames, max_age=0.2))) == 2
    assert len(all_ids(track_offline(frames, max_age=0.2, max_nll=1000.0))) == 1


# --- ids ---


@pytest.mark.parametrize("seed", range(5))
def test_ids_count_from_1_by_first_appearance_and_ascend_within_a_frame(seed):
    tracks = track_offline(random_stream(seed, frames=60, objects=14), 8, [0], **SHORT)
    highest = 0
    for frame_tracks in tracks:
        assert (np.diff(frame_tracks.ids) > 0).all()
        new = frame_tracks.ids[frame_tracks.ids > highest].tolist()
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
    assert highest > 5


# --- independence ---


@pytest.mark.parametrize("name", VARIANTS)
@given(SEED)
@FEW
def test_the_order_of_detections_other_runs_and_other_trackers_do_not_matter(name, seed):
    config = TrackerConfig(**VARIANTS[name] | SHORT)
    rng, stream = np.random.default_rng(seed), random_stream(seed, frames=40, doubled=True)
    streams = [stream, stream, [(d[order], e[order]) for d, e in stream for order in [rng.permutation(len(d))]]]
    streams.append(random_stream(seed + 1, frames=40))
    camera_motions = [
        np.c_[np.eye(2) * zoom, shift]
        for zoom, shift in zip(rng.uniform(0.98, 1.02, 40), rng.normal(0, 3, (40, 2)), strict=True)
    ]
    single = OfflineTracker(config, {0})
    for n, (detections, embeddings) in enumerate(stream):
        single.update(detections, embeddings, n / 8, camera_motions[n])
    expected = list(single.finish())
    parallel = [OfflineTracker(config, {0}) for _ in streams]
    for n in range(40):
        for tracker, frames in zip(parallel, streams, strict=True):
            tracker.update(*frames[n], n / 8, camera_motions[n])
    for frames in zip(expected, *[tracker.finish() for tracker in parallel[:3]], strict=True):
        for other in frames[1:]:
            assert_equal_tracks(frames[0], other)


@pytest.mark.parametrize("fps", [10, 25])
def test_a_camera_that_pans_and_zooms_changes_nothing_if_its_motion_is_compensated(fps):
    rng = np.random.default_rng(0)
    for name, config in (("occlusion", {"max_age": 0.5, "max_gap": 2}), ("crowd", {"n_init": 2})):
        frames = list(SCENES[name](fps, 0))
        camera_motions, from_first = [], [np.eye(3)]
        for zoom, shift in zip(
            np.exp(rng.normal(0, 0.05, len(frames))), rng.normal(0, 20, (len(frames), 2)), strict=True
        ):
            camera_motions.append(np.c_[np.eye(2) * zoom, shift])
            from_first.append(np.vstack([camera_motions[-1], [0, 0, 1]]) @ from_first[-1])
        from_first = [motion[:2] for motion in from_first[1:]]
        warped = [
            Detections(
                warp_boxes(m.detections.boxes.astype(float), motion).astype(np.float32),
                m.detections.scores,
                m.detections.labels,
            )
            for m, motion in zip(frames, from_first, strict=True)
        ]
        expected = track_offline([m.detections for m in frames], fps, **config)
        compensated = track_offline(warped, fps, camera_motions=camera_motions, **config)
        for a, b, motion in zip(expected, compensated, from_first, strict=True):
            for field in ("ids", "labels", "scores", "ages", "observed"):
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            # Detections are rounded to float32 at other positions, and the smallest image is 3 times smaller.
            np.testing.assert_allclose(b.boxes, warp_boxes(a.boxes.astype(float), motion), rtol=1e-5, atol=1e-2)
            np.testing.assert_allclose(b.velocities, a.velocities @ motion[:, :2].T, rtol=1e-4, atol=5e-2)
        assert sum(len(a) > a.observed.sum() for a in expected) > 5


@pytest.mark.parametrize("zoom", [1.5, 1 / 1.5])
def test_scene_coordinates_start_anew_after_a_zoom_by_a_million(zoom):
    camera_motion, frames, count = np.c_[np.eye(2) * zoom, [0, 0]], [], 80
    boxes = np.array([[100.0, 100, 150, 220], [400, 100, 450, 220]])
    for n in range(count):
        scaled = (boxes * zoom**n).astype(np.float32)
        frames.append(Detections(scaled, np.full(2, 0.9, np.float32), np.zeros(2, np.int64)))
    camera_motions = [np.eye(2, 3), *[camera_motion] * (count - 1)]
    tracks = track_offline(frames, camera_motions=camera_motions)
    resets = [n for n in range(1, count) if tracks[n].ids[0] != tracks[n - 1].ids[0]]
    assert resets == [n for n in range(1, count) if n % 35 == 0]  # 1.5 ** 35 is the first power above a million
    assert [t.ids.tolist() for t in tracks] == [[1 + n // 35 * 2, 2 + n // 35 * 2] for n in range(count)]
    for detections, frame_tracks in zip(frames, tracks, strict=True):
        height = detections.boxes[:, 3] - detections.boxes[:, 1]
        assert (np.abs(frame_tracks.boxes - detections.boxes) < 0.05 * height[:, None]).all()


# --- appearance ---


def test_two_people_who_exchange_their_positions_keep_their_ids_by_appearance():
    left, right = (100, 100, 50, 120), (170, 100, 50, 120)
    before, after = (
        (make_detections(left, right), np.array([RED, BLUE])),
        (make_detections(left, right), np.array([BLUE, RED])),
    )
    frames = [before] * 10 + [(NO_DETECTIONS, np.zeros((0, 8), np.float32))] * 35 + [after] * 10
    by_appearance, by_motion = track_offline(frames, labels=[0]), track_offline(frames)
    assert [by_appearance[n].boxes[0, 0] < 135 for n in (0, -1)] == [True, False]
    assert [by_motion[n].boxes[0, 0] < 135 for n in (0, -1)] == [True, True]
    assert all_ids(by_appearance) == all_ids(by_motion) == {1, 2}


def test_embeddings_of_classes_without_embeddings_are_not_read():
    def frame(vector):
        return make_detections((100, 100, 50, 120), (170, 100, 50, 120), labels=[0, 1]), np.array(
            [RED, vector], np.float32
        )

    none = (NO_DETECTIONS, np.zeros((0, 8), np.float32))
    streams = [[frame(vector)] * 10 + [none] * 35 + [frame(-vector)] * 10 for vector in (BLUE, np.full(8, np.nan))]
    for a, b in zip(*(track_offline(frames, labels=[0]) for frames in streams), strict=True):
        assert_equal_tracks(a, b)
        assert len(a) in (0, 2)
    assert all_ids(track_offline(streams[0], labels=[0])) == {1, 2}


# --- memory ---


def crowd(frames, people):
    """Yields detections of people who stand in a row, of whom one in ten is missed."""
    rng = np.random.default_rng(0)
    boxes = np.c_[80 * np.arange(people), np.zeros(people), 80 * np.arange(people) + 50, np.full(people, 120)]
    for _ in range(frames):
        rows = rng.random(people) > 0.1
        noisy = boxes[rows] + rng.normal(0, 2, (rows.sum(), 4))
        count = len(noisy)
        yield Detections(noisy.astype(np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64))


@pytest.mark.parametrize(("frames", "people"), [(200, 60), (1024, 1)])
def test_memory_is_as_documented(frames, people):
    stream = list(crowd(frames, people))
    detections = sum(len(d) for d in stream)
    track_offline(stream[:9])  # so that caches do not count
    gc.collect()
    tracemalloc.start()
    try:
        tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION))
        for n, frame in enumerate(stream):
            tracker.update(frame, no_embeddings(frame), n / 25)
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        next(tracker.finish())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    state = 70_000 + 800 * (frames % 1024)  # of the tracker, and of the frames that are not merged yet
    assert memory < 1.1 * (83 * detections + 40 * frames) + state
    assert peak < 1000 * detections + state


@pytest.mark.parametrize(
    ("before", "gap", "after", "growth", "is_filled"),
    [
        (20, 10, 20, 1.0, True),
        (3, 10, 20, 1.0, False),  # seldom detected beside the gap
        (20, 10, 20, 1.4, False),  # another height at its other end
        (8, 10, 8, 1.0, True),
    ],
)
def test_a_gap_is_filled_where_the_object_is_likelier_there_than_not(before, gap, after, growth, is_filled):
    boxes = [(100, 100, 50, 120)] * before + [None] * gap + [(100, 100, 50, 120 * growth)] * after
    frames = [make_detections(box) if box else NO_DETECTIONS for box in boxes]
    tracks = track_offline(frames, fill_support=0.75)
    assert all_ids(tracks) == {1}
    assert [len(t) for t in tracks] == [1] * before + [int(is_filled)] * gap + [1] * after
    assert not any(t.observed.any() for t in tracks[before : before + gap])


def test_skipped_frames_are_filled_whatever_the_support():
    tracker = OfflineTracker(TrackerConfig(**ANY_DETECTION | {"fill_support": 1}))
    for n in range(31):
        if n % 5:
            tracker.skip(n / 25)
        else:
            tracker.update(ONE, no_embeddings(ONE), n / 25)
    assert [len(t) for t in tracker.finish()] == [1] * 31
