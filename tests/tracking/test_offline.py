"""The second look: what becomes of the tracks of a whole file."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from detection_scenes import SCENES
from detection_streams import BLUE, FIELDS, NOBODY, RED, VARIANTS, all_ids, bare, follow, same, seen, world
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.boxes import moved
from tracker.structures.types import Detections
from tracker.tracking import DeepSort
from tracker.tracking.offline import OfflineTracker

SEED = st.integers(0, 10**6)
FEW = settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
PLAIN = {"n_init": 1, "start_score": 0, "high_score": 0, "min_detections": 1}
"""Any detection starts a confirmed track at once, and no track is too short."""
SHORT = {"relink_gap": 0.15, "link_gap": 1.0, "min_detections": 3, "max_gap": 0.5}
"""What makes much of a stream of a few seconds go through all that the second look does."""

ONE = seen((100, 100, 50, 120))


def looked(frames, fps=25.0, labels=(), cameras=None, **config):
    """Final tracks of every frame, for Detections without embeddings, or pairs of Detections and embeddings."""
    tracker = OfflineTracker(TrackerConfig(**PLAIN | config), labels)
    for n, given_ in enumerate(frames):
        detections, embeddings = (given_, bare(given_)) if isinstance(given_, Detections) else given_
        more = {} if cameras is None else {"camera": cameras[n]}
        tracker.update(detections, embeddings, n / fps, **more)
    return list(tracker.finish())


def present(frames, fps=25.0, **config):
    """In which frames there is a track, and how many ids there are, of one thing that stands still."""
    tracks = looked([ONE if there else NOBODY for there in frames], fps, **config)
    return [n for n, of_frame in enumerate(tracks) if len(of_frame)], len(all_ids(tracks))


# --- every frame has its answer ---


@pytest.mark.parametrize("frames", [[], [NOBODY], [ONE], [NOBODY] * 5, [NOBODY, ONE, NOBODY, NOBODY]])
def test_there_are_tracks_for_every_frame_also_where_there_is_nothing(frames):
    tracks = looked(frames)
    assert [len(t) for t in tracks] == [len(d) for d in frames]
    for of_frame in tracks:  # whose types are checked on construction
        assert all(len(getattr(of_frame, name)) == len(of_frame) for name in FIELDS)


def test_frames_in_which_nobody_looked_are_filled():
    """As if they were frames in which nothing was found, but none counts as a miss."""
    tracker = OfflineTracker(TrackerConfig(**PLAIN))
    for n in range(60):
        if n % 5 == 0:
            detections = seen((10 + 4 * n, 100, 50, 120))
            tracker.update(detections, bare(detections), n / 25)
        else:
            tracker.skip(n / 25)
    tracks = list(tracker.finish())
    assert all_ids(tracks) == {1} and [len(t) for t in tracks] == [1] * 56 + [0] * 4
    assert [n for n, t in enumerate(tracks[:56]) if t.observed[0]] == list(range(0, 56, 5))
    for n, of_frame in enumerate(tracks[:56]):
        assert of_frame.boxes[0, 0] == pytest.approx(10 + 4 * n, abs=1)


def test_with_a_single_detection_the_track_is_that_detection():
    tracks = looked([NOBODY, seen((100, 100, 50, 120), labels=[3], scores=[0.75]), NOBODY])[1]
    assert (tracks.ids.tolist(), tracks.labels.tolist(), tracks.scores.tolist()) == ([1], [3], [0.75])
    assert (tracks.ages.tolist(), tracks.observed.tolist()) == ([0], [True])
    np.testing.assert_allclose(tracks.boxes, [[100, 100, 150, 220]], atol=1e-4)
    np.testing.assert_allclose(tracks.velocities, 0, atol=1e-4)


def test_a_frame_that_is_refused_changes_nothing():
    tracker = OfflineTracker(TrackerConfig(**PLAIN))
    for time in (0, 1, 2):
        tracker.update(ONE, bare(ONE), time / 25)
        with pytest.raises(InputError, match="must be after"):
            tracker.update(seen((0, 0, 9, 9)), bare(ONE), time / 25)
        with pytest.raises(ValueError, match="as many embeddings"):
            tracker.update(ONE, bare(NOBODY), time / 25 + 0.01)
    for a, b in zip(tracker.finish(), looked([ONE] * 3), strict=True):
        same(a, b)


# --- what a track consists of ---


def test_a_track_begins_with_its_first_detection_not_with_its_confirmation():
    frames = [NOBODY, *[ONE] * 6]
    online = follow(DeepSort(TrackerConfig(n_init=4)), frames, 25)
    assert [len(t) for t in online] == [0, 0, 0, 0, 1, 1, 1]
    tracks = looked(frames, n_init=4, min_detections=5)
    assert [len(t) for t in tracks] == [0, 1, 1, 1, 1, 1, 1]
    assert [t.ages[0] for t in tracks[1:]] == pytest.approx([n / 25 for n in range(6)])


def test_of_what_is_never_confirmed_nothing_is_left():
    frames = [NOBODY, ONE, ONE, NOBODY, NOBODY, NOBODY, NOBODY, ONE, ONE, ONE, NOBODY]
    assert present([len(d) for d in frames], n_init=3, tentative_misses=1, link_gap=0) == ([7, 8, 9], 1)


@pytest.mark.parametrize(("count", "kept"), [(4, 0), (5, 1)])
def test_a_track_needs_enough_detections(count, kept):
    there = [True] * count + [False] * 80
    assert present(there, min_detections=5) == (list(range(count * kept)), kept)


def test_detections_are_counted_over_all_that_is_linked_and_only_detections():
    apart = [True] * 3 + [False] * 20 + [True] * 2
    assert present(apart, min_detections=5, max_age=0.2)[1] == 1
    assert present(apart, min_detections=6, max_age=0.2)[1] == 0


@pytest.mark.parametrize("name", ["occlusion", "crowd"])
def test_rows_say_whether_there_was_a_detection(name):
    moments, predicted = list(SCENES[name](25, 0)), 0
    frames = looked([m.detections for m in moments], max_gap=2.0, detection_weight=1, max_occlusion=0)
    for moment, tracks in zip(moments, frames, strict=True):
        # Each detection starts a track, if it finds none, and no id is held back.
        there, boxes = moment.detections.boxes, tracks.boxes[tracks.observed]
        np.testing.assert_allclose(boxes[boxes[:, 0].argsort()], there[there[:, 0].argsort()], atol=1e-3)
        distance = np.abs(tracks.boxes[~tracks.observed][:, None] - there).max(2)
        assert (distance > 0.1).all()
        predicted += len(distance)
    assert predicted > 40


def test_between_two_detections_a_track_goes_straight_on_with_the_score_and_the_class_that_it_had():
    def at(n):
        return seen((100 + 4 * n, 100 + 2 * n, 50, 120), scores=[0.5 + n / 100])

    tracks = looked([at(n) if n < 20 or n >= 40 else NOBODY for n in range(60)], max_gap=2.0)
    assert [bool(t.observed[0]) for t in tracks] == [n < 20 or n >= 40 for n in range(60)]
    for n in range(20, 40):
        x, y = 100 + 4 * n, 100 + 2 * n
        np.testing.assert_allclose(tracks[n].boxes, [[x, y, x + 50, y + 120]], atol=2)
        np.testing.assert_allclose(tracks[n].velocities, [[100, 50]], atol=5)
        assert tracks[n].scores[0] == np.float32(0.69)


def test_the_class_is_what_most_detections_say_from_the_first_frame_on():
    def labelled(*labels, **more):
        frames = [seen((100, 100, 50, 120), labels=[label]) for label in labels]
        tracks = looked(frames, match_across_classes=True, **more)
        assert all_ids(tracks) == {1}
        return {int(t.labels[0]) for t in tracks}

    assert labelled(5, 5, 2, 2, 2) == {2}
    assert labelled(5, 5, 2, 2) == {2}
    assert labelled(2, 5, 5, 2) == {2}  # the least of them in a tie


def test_the_class_is_elected_over_all_that_is_linked():
    frames = [seen((100, 100, 50, 120), labels=[2])] * 5 + [NOBODY] * 10 + [seen((100, 100, 50, 120), labels=[1])] * 6
    tracks = looked(frames, match_across_classes=True, max_age=0.2)
    assert {(int(t.ids[0]), int(t.labels[0])) for t in tracks} == {(1, 1)}
    apart = looked(frames, max_age=0.2)
    assert {(int(t.ids[0]), int(t.labels[0])) for t in apart if len(t)} == {(1, 2), (2, 1)}


def test_what_rescoring_finds_belongs_to_the_track():
    def there(boxes, labels):
        return Detections(boxes, np.full(len(boxes), 0.6, np.float32), labels)

    tracker = OfflineTracker(TrackerConfig(**PLAIN, rescore=0.5))
    for n in range(90):
        # Longer than any gap that is filled, and once beside another detection.
        detections = ONE if not 30 <= n < 75 else seen((600, 100, 50, 120)) if n == 50 else NOBODY
        tracker.update(detections, bare(detections), n / 25, rescore=there)
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
        # What is held on to by the first look is filled up to max_gap,
        ({"max_gap": 1.0, "relink_gap": 9, "max_age": 9}, (1, True), (1, False)),
        # is decided anew from relink_gap on, which without links means that it is cut,
        ({"max_gap": 9, "relink_gap": 1.0, "link_gap": 0, "max_age": 9}, (1, True), (2, False)),
        # and what it has lost is linked up to link_gap.
        ({"max_gap": 9, "link_gap": 1.0, "max_age": 0.2}, (1, True), (2, False)),
    ],
)
def test_gaps_of_the_longest_and_one_frame_more(config, within, beyond, fps, more):
    gap = fps + more
    for first in range(1, 20):  # at some of these, the rounding of times makes a second a little longer
        there = [False] * first + [True] * 4 + [False] * (gap - 1) + [True] * 4
        shown, ids = present(there, fps, **config)
        expected, whole = beyond if more else within
        assert ids == expected, first
        assert len(shown) == (7 + gap if whole else 8), first


def test_no_link_is_made_beyond_the_limit_of_what_is_likely():
    away = seen((600, 100, 50, 120))
    frames = [ONE] * 5 + [NOBODY] * 20 + [away] * 5
    assert len(all_ids(looked(frames, max_age=0.2))) == 2
    assert len(all_ids(looked(frames, max_age=0.2, max_nll=1000.0))) == 1


# --- ids ---


@pytest.mark.parametrize("seed", range(5))
def test_ids_count_from_1_by_first_appearance_and_ascend_within_a_frame(seed):
    tracks = looked(world(seed, frames=60, objects=14), 8, [0], **SHORT)
    highest = 0
    for of_frame in tracks:
        assert (np.diff(of_frame.ids) > 0).all()
        new = of_frame.ids[of_frame.ids > highest].tolist()
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
    assert highest > 5


# --- what must not matter ---


@pytest.mark.parametrize("name", VARIANTS)
@given(SEED)
@FEW
def test_the_order_of_detections_does_not_matter_nor_which_run_it_is_nor_who_else_looks(name, seed):
    config = TrackerConfig(**VARIANTS[name] | SHORT)
    draw, video = np.random.default_rng(seed), world(seed, frames=40, doubled=True)
    videos = [video, video, [(d[order], e[order]) for d, e in video for order in [draw.permutation(len(d))]]]
    videos.append(world(seed + 1, frames=40))
    cameras = [
        np.c_[np.eye(2) * zoom, shift]
        for zoom, shift in zip(draw.uniform(0.98, 1.02, 40), draw.normal(0, 3, (40, 2)), strict=True)
    ]
    alone = OfflineTracker(config, {0})
    for n, (detections, embeddings) in enumerate(video):
        alone.update(detections, embeddings, n / 8, cameras[n])
    expected = list(alone.finish())
    together = [OfflineTracker(config, {0}) for _ in videos]
    for n in range(40):
        for tracker, frames in zip(together, videos, strict=True):
            tracker.update(*frames[n], n / 8, cameras[n])
    for frames in zip(expected, *[tracker.finish() for tracker in together[:3]], strict=True):
        for other in frames[1:]:
            same(frames[0], other)


@pytest.mark.parametrize("fps", [10, 25])
def test_a_camera_that_pans_and_zooms_changes_nothing_if_its_motion_is_known(fps):
    draw = np.random.default_rng(0)
    for name, config in (("occlusion", {"max_age": 0.5, "max_gap": 2}), ("crowd", {"n_init": 2})):
        moments = list(SCENES[name](fps, 0))
        cameras, views = [], [np.eye(3)]
        for zoom, shift in zip(
            np.exp(draw.normal(0, 0.05, len(moments))), draw.normal(0, 20, (len(moments), 2)), strict=True
        ):
            cameras.append(np.c_[np.eye(2) * zoom, shift])
            views.append(np.vstack([cameras[-1], [0, 0, 1]]) @ views[-1])
        views = [view[:2] for view in views[1:]]
        filmed = [
            Detections(
                moved(m.detections.boxes.astype(float), view).astype(np.float32),
                m.detections.scores,
                m.detections.labels,
            )
            for m, view in zip(moments, views, strict=True)
        ]
        still = looked([m.detections for m in moments], fps, **config)
        panned = looked(filmed, fps, cameras=cameras, **config)
        for a, b, view in zip(still, panned, views, strict=True):
            for field in ("ids", "labels", "scores", "ages", "observed"):
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            # Detections are rounded to float32 in other places, and the smallest picture is 3 times smaller.
            np.testing.assert_allclose(b.boxes, moved(a.boxes.astype(float), view), rtol=1e-5, atol=1e-2)
            np.testing.assert_allclose(b.velocities, a.velocities @ view[:, :2].T, rtol=1e-4, atol=5e-2)
        assert sum(len(a) > a.observed.sum() for a in still) > 5


@pytest.mark.parametrize("zoom", [1.5, 1 / 1.5])
def test_positions_are_counted_anew_where_the_camera_has_zoomed_a_millionfold(zoom):
    camera, frames, count = np.c_[np.eye(2) * zoom, [0, 0]], [], 80
    boxes = np.array([[100.0, 100, 150, 220], [400, 100, 450, 220]])
    for n in range(count):
        grown = (boxes * zoom**n).astype(np.float32)
        frames.append(Detections(grown, np.full(2, 0.9, np.float32), np.zeros(2, np.int64)))
    cameras = [np.eye(2, 3), *[camera] * (count - 1)]
    tracks = looked(frames, cameras=cameras)
    resets = [n for n in range(1, count) if tracks[n].ids[0] != tracks[n - 1].ids[0]]
    assert resets == [n for n in range(1, count) if n % 35 == 0]  # 1.5 ** 35 is the first power above a million
    assert [t.ids.tolist() for t in tracks] == [[1 + n // 35 * 2, 2 + n // 35 * 2] for n in range(count)]
    for detections, of_frame in zip(frames, tracks, strict=True):
        height = detections.boxes[:, 3] - detections.boxes[:, 1]
        assert (np.abs(of_frame.boxes - detections.boxes) < 0.05 * height[:, None]).all()


# --- looks ---


def test_two_who_exchange_their_places_unseen_keep_their_ids_if_their_looks_are_known():
    left, right = (100, 100, 50, 120), (170, 100, 50, 120)
    before, after = (seen(left, right), np.array([RED, BLUE])), (seen(left, right), np.array([BLUE, RED]))
    frames = [before] * 10 + [(NOBODY, np.zeros((0, 8), np.float32))] * 35 + [after] * 10
    by_looks, by_place = looked(frames, labels=[0]), looked(frames)
    assert [by_looks[n].boxes[0, 0] < 135 for n in (0, -1)] == [True, False]
    assert [by_place[n].boxes[0, 0] < 135 for n in (0, -1)] == [True, True]
    assert all_ids(by_looks) == all_ids(by_place) == {1, 2}


def test_embeddings_of_classes_that_are_not_embedded_are_not_read():
    def frame(vector):
        return seen((100, 100, 50, 120), (170, 100, 50, 120), labels=[0, 1]), np.array([RED, vector], np.float32)

    nothing = (NOBODY, np.zeros((0, 8), np.float32))
    ways = [[frame(vector)] * 10 + [nothing] * 35 + [frame(-vector)] * 10 for vector in (BLUE, np.full(8, np.nan))]
    for a, b in zip(*(looked(frames, labels=[0]) for frames in ways), strict=True):
        same(a, b)
        assert len(a) in (0, 2)
    assert all_ids(looked(ways[0], labels=[0])) == {1, 2}


# --- what it takes ---


def crowd(frames, people):
    """People who stand in a row, of whom one in ten is missed."""
    draw = np.random.default_rng(0)
    boxes = np.c_[80 * np.arange(people), np.zeros(people), 80 * np.arange(people) + 50, np.full(people, 120)]
    for _ in range(frames):
        rows = draw.random(people) > 0.1
        near = boxes[rows] + draw.normal(0, 2, (rows.sum(), 4))
        count = len(near)
        yield Detections(near.astype(np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64))


@pytest.mark.parametrize(("frames", "people"), [(200, 60), (1024, 1)])
def test_memory_is_what_the_docstring_says(frames, people):
    video = list(crowd(frames, people))
    detections = sum(len(d) for d in video)
    looked(video[:9])  # so that what is loaded and cached once does not count
    gc.collect()
    tracemalloc.start()
    try:
        tracker = OfflineTracker(TrackerConfig(**PLAIN))
        for n, found in enumerate(video):
            tracker.update(found, bare(found), n / 25)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        next(tracker.finish())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    state = 70_000 + 800 * (frames % 1024)  # the tracker's own, and the frames that are not yet in one piece
    assert kept < 1.1 * (83 * detections + 40 * frames) + state
    assert most < 1000 * detections + state
