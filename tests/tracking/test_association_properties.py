"""What must hold of the tracker whatever it sees, with every switch of its engine."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from detection_streams import SIDE, VARIANTS, all_ids, bare, follow, same, seen, settings_of, tracker_of, world
from tracker.structures.types import Detections
from tracker.tracking import DeepSort
from tracker.tracking.image_border import cut

SEED = st.integers(0, 10**6)
# A smaller seed is no simpler example.
FEW = settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
variants = pytest.mark.parametrize("name", VARIANTS)


def silent(video):
    """The same stream without embeddings."""
    return [detections for detections, _ in video]


@variants
@given(SEED)
@FEW
def test_the_order_of_detections_does_not_matter(name, seed):
    video, draw = world(seed, doubled=True), np.random.default_rng(seed)
    orders = [draw.permutation(len(d)) for d, _ in video]
    shuffled = [(d[order], e[order]) for (d, e), order in zip(video, orders, strict=True)]
    for given_order, other in ((video, shuffled), (silent(video), silent(shuffled))):
        pairs = zip(follow(tracker_of(name), given_order), follow(tracker_of(name), other), strict=True)
        for a, b in pairs:
            same(a, b)


@variants
@given(SEED, st.integers(-500, 500), st.integers(-500, 500))
@FEW
def test_a_shifted_picture_gives_shifted_tracks(name, seed, dx, dy):
    video, shift = world(seed), np.array([dx, dy, dx, dy], np.float32)
    moved = [(Detections(d.boxes + shift, d.scores, d.labels), e) for d, e in video]
    # Without a size: the border of the picture does not move with it.
    here, there = (follow(DeepSort(settings_of(name), {0}), frames) for frames in (video, moved))
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        # Both are rounded to float32, to 6e-5 px below 1024 and 1.2e-4 below 2048.
        np.testing.assert_allclose(a.boxes + shift, b.boxes, rtol=0, atol=3e-4)
        np.testing.assert_allclose(a.velocities, b.velocities, rtol=1e-6, atol=1e-6)


@variants
@given(SEED, st.sampled_from([0.125, 0.5, 4.0]))
@FEW
def test_a_scaled_picture_gives_scaled_tracks(name, seed, factor):
    video, factor = world(seed), np.float32(factor)
    scaled = [(Detections(d.boxes * factor, d.scores, d.labels), e) for d, e in video]
    here, there = follow(tracker_of(name), video), follow(tracker_of(name, SIDE * factor), scaled)
    # Powers of two change no digit, so that a tracker which knows no pixels has nothing to round differently.
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.boxes * factor, b.boxes)
        np.testing.assert_array_equal(a.velocities * factor, b.velocities)


@variants
@given(SEED, st.sampled_from([-64.0, 4096.0]))
@FEW
def test_only_intervals_count_not_the_hour(name, seed, start):
    video = world(seed)
    # At 32 frames per second all moments are exact.
    early, late = (follow(tracker_of(name), video, 32, begin) for begin in (0.0, start))
    for a, b in zip(early, late, strict=True):
        same(a, b)


@variants
@given(SEED, SEED)
@FEW
def test_trackers_do_not_disturb_each_other(name, one, other):
    videos = world(one), world(other)
    alone = [follow(tracker_of(name), video) for video in videos]
    pair = [tracker_of(name) for _ in videos]
    for i, frames in enumerate(zip(*videos, strict=True)):
        for tracker, (detections, embeddings), expected in zip(pair, frames, alone, strict=True):
            same(tracker.update(detections, embeddings, i / 30), expected[i])


@variants
@given(SEED)
@FEW
def test_ids_count_up_as_tracks_are_confirmed_and_never_come_twice(name, seed):
    highest, last_seen = 0, {}
    frames = follow(tracker_of(name), world(seed, frames=40))
    for number, tracks in enumerate(frames):
        assert (np.diff(tracks.ids) > 0).all()
        new = tracks.ids[tracks.ids > highest]
        assert new.tolist() == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
        longest = settings_of(name).max_age * 30
        assert all(number - last_seen.get(i, number) <= longest + 1 for i in tracks.ids.tolist())
        last_seen |= dict.fromkeys(tracks.ids[tracks.observed].tolist(), number)
    assert highest > 2  # otherwise this would prove nothing


@variants
@given(SEED)
@FEW
def test_each_track_takes_one_detection_that_no_other_takes(name, seed):
    tracker, started = tracker_of(name), 0
    for i, (detections, embeddings) in enumerate(world(seed, doubled=True)):
        tracker.update(detections, embeddings, i / 30)
        table = tracker.table
        taken = table.found[table.misses == 0]
        assert len(set(taken.tolist())) == len(taken) == (table.found >= 0).sum()
        np.testing.assert_array_equal(table.last[table.misses == 0], detections.boxes[taken])
        assert table.serials.tolist() == sorted(set(table.serials.tolist()))
        new = table.serials[table.first_time == i / 30]
        assert new.tolist() == list(range(started, started + len(new)))
        started += len(new)
        if not settings_of(name).match_across_classes:  # then only what the picture's edge cuts may be mistaken
            mixed = (table.votes > 0).sum(1) > 1
            assert not mixed.any() or cut(table.last, (SIDE, SIDE)).any()
            known = (table.misses == 0) & ~mixed
            np.testing.assert_array_equal(table.labels[known], detections.labels[table.found[known]])


@variants
@given(SEED, st.lists(st.floats(1e-3, 4), min_size=30, max_size=30), st.booleans())
@FEW
def test_whatever_comes_the_answer_is_finite(name, seed, intervals, wild):
    draw, tracker = np.random.default_rng(seed), tracker_of(name)
    for time in np.cumsum(intervals):
        count = draw.integers(0, 12)
        low = draw.uniform(-200, 1000, (count, 2)) * 10 ** draw.uniform(-2, 2 * wild, (count, 1))
        # Some have no area, and some are inside out.
        high = low + draw.choice([0, -1, 1], (count, 2), p=[0.05, 0.05, 0.9]) * draw.lognormal(
            3.5, 1 + wild, (count, 2)
        )
        detections = Detections(
            np.c_[low, high].astype(np.float32), draw.random(count).astype(np.float32), draw.integers(0, 3, count)
        )
        embeddings = draw.normal(size=(count, 8)).astype(np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        tracks = tracker.update(detections, embeddings, float(time))
        for values in (tracks.boxes, tracks.velocities, tracks.ages, tracks.scores):
            assert np.isfinite(values).all()
        assert (tracks.boxes[:, 2:] >= tracks.boxes[:, :2]).all()


@given(
    st.floats(-90, 90),
    st.floats(-90, 90),
    st.floats(-0.1, 0.1),
    st.sampled_from([5, 10, 30, 60]),
    st.sampled_from([*VARIANTS]),
)
@settings(max_examples=40, deadline=None)
def test_constant_velocity_is_followed_at_any_frame_rate(vx, vy, growth, fps, name):
    def box(time):
        width, height = 60 * (1 + growth * time), 120 * (1 + growth * time)
        return (500 + vx * time - width / 2, 500 + vy * time - height / 2, width, height)

    tracker = DeepSort(settings_of(name).model_copy(update={"max_coast": 1.0}))
    times = np.arange(0, 4, 1 / fps).tolist()
    frames = [tracker.update(seen(box(t), scores=[0.95]), bare(seen(box(t))), t) for t in times]
    assert all_ids(frames) == {1}
    assert [len(t) for t in frames[3:]] == [1] * len(frames[3:])
    np.testing.assert_allclose(frames[-1].velocities, [[vx, vy]], atol=4)
    later = tracker.update(seen(), bare(seen()), times[-1] + 0.4)
    centre = (later.boxes[0, :2] + later.boxes[0, 2:]) / 2
    np.testing.assert_allclose(centre, np.array([500 + vx * (times[-1] + 0.4), 500 + vy * (times[-1] + 0.4)]), atol=4)
