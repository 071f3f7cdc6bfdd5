"""Properties of the tracker that hold for all inputs, with all of its options."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from detection_streams import (
    IMAGE_SIDE,
    VARIANTS,
    all_ids,
    assert_equal_tracks,
    make_detections,
    no_embeddings,
    random_stream,
    run_tracker,
    variant_config,
    variant_tracker,
)
from tracker.structures.types import Detections
from tracker.tracking import DeepSort
from tracker.tracking.image_border import touches_border

SEED = st.integers(0, 10**6)
# Shrinking is off: a smaller seed is no simpler example.
FEW = settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
variants = pytest.mark.parametrize("name", VARIANTS)


def without_embeddings(stream):
    """Returns the stream without embeddings."""
    return [detections for detections, _ in stream]


@variants
@given(SEED)
@FEW
def test_the_order_of_detections_does_not_matter(name, seed):
    stream, rng = random_stream(seed, doubled=True), np.random.default_rng(seed)
    orders = [rng.permutation(len(d)) for d, _ in stream]
    shuffled = [(d[order], e[order]) for (d, e), order in zip(stream, orders, strict=True)]
    for streams in ((stream, shuffled), (without_embeddings(stream), without_embeddings(shuffled))):
        for a, b in zip(*(run_tracker(variant_tracker(name), frames) for frames in streams), strict=True):
            assert_equal_tracks(a, b)


@variants
@given(SEED, st.integers(-500, 500), st.integers(-500, 500))
@FEW
def test_a_shifted_image_gives_shifted_tracks(name, seed, dx, dy):
    stream, shift = random_stream(seed), np.array([dx, dy, dx, dy], np.float32)
    shifted = [(Detections(d.boxes + shift, d.scores, d.labels), e) for d, e in stream]
    # Without a size: the border of the image does not move with it.
    original, result = (run_tracker(DeepSort(variant_config(name), {0}), frames) for frames in (stream, shifted))
    for a, b in zip(original, result, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        # Both are rounded to float32, to 6e-5 px below 1024 and 1.2e-4 below 2048.
        np.testing.assert_allclose(a.boxes + shift, b.boxes, rtol=0, atol=3e-4)
        np.testing.assert_allclose(a.velocities, b.velocities, rtol=1e-6, atol=1e-6)


@variants
@given(SEED, st.sampled_from([0.125, 0.5, 4.0]))
@FEW
def test_a_scaled_image_gives_scaled_tracks(name, seed, factor):
    stream, factor = random_stream(seed), np.float32(factor)
    scaled = [(Detections(d.boxes * factor, d.scores, d.labels), e) for d, e in stream]
    original = run_tracker(variant_tracker(name), stream)
    result = run_tracker(variant_tracker(name, IMAGE_SIDE * factor), scaled)
    # Powers of two change no digit, so that a tracker without constants in pixels rounds nothing differently.
    for a, b in zip(original, result, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.boxes * factor, b.boxes)
        np.testing.assert_array_equal(a.velocities * factor, b.velocities)


@variants
@given(SEED, st.sampled_from([-64.0, 4096.0]))
@FEW
def test_only_intervals_matter_not_the_start_time(name, seed, start):
    stream = random_stream(seed)
    # At 32 frames per second all times are exact.
    from_zero, shifted_times = (run_tracker(variant_tracker(name), stream, 32, begin) for begin in (0.0, start))
    for a, b in zip(from_zero, shifted_times, strict=True):
        assert_equal_tracks(a, b)


@variants
@given(SEED, SEED)
@FEW
def test_trackers_are_independent(name, first_seed, second_seed):
    streams = random_stream(first_seed), random_stream(second_seed)
    single = [run_tracker(variant_tracker(name), stream) for stream in streams]
    parallel = [variant_tracker(name) for _ in streams]
    for i, frames in enumerate(zip(*streams, strict=True)):
        for tracker, (detections, embeddings), expected in zip(parallel, frames, single, strict=True):
            assert_equal_tracks(tracker.update(detections, embeddings, i / 30), expected[i])


@variants
@given(SEED)
@FEW
def test_ids_count_up_as_tracks_are_confirmed_and_are_never_reused(name, seed):
    highest, last_frame = 0, {}
    frames = run_tracker(variant_tracker(name), random_stream(seed, frames=40))
    for number, tracks in enumerate(frames):
        assert (np.diff(tracks.ids) > 0).all()
        new = tracks.ids[tracks.ids > highest]
        assert new.tolist() == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
        longest = variant_config(name).max_age * 30
        assert all(number - last_frame.get(i, number) <= longest + 1 for i in tracks.ids.tolist())
        last_frame |= dict.fromkeys(tracks.ids[tracks.observed].tolist(), number)
    assert highest > 2  # otherwise nothing was tested


@variants
@given(SEED)
@FEW
def test_each_detection_is_matched_with_one_track_at_most(name, seed):
    tracker, started = variant_tracker(name), 0
    for i, (detections, embeddings) in enumerate(random_stream(seed, doubled=True)):
        tracker.update(detections, embeddings, i / 30)
        table = tracker.table
        index = table.detection_index[table.misses == 0]
        assert len(set(index.tolist())) == len(index) == (table.detection_index >= 0).sum()
        np.testing.assert_array_equal(table.last_box[table.misses == 0], detections.boxes[index])
        assert table.serials.tolist() == sorted(set(table.serials.tolist()))
        new = table.serials[table.first_time == i / 30]
        assert new.tolist() == list(range(started, started + len(new)))
        started += len(new)
        if not variant_config(name).match_across_classes:  # then only objects at the border may get two labels
            mixed = (table.votes > 0).sum(1) > 1
            assert not mixed.any() or touches_border(table.last_box, (IMAGE_SIDE, IMAGE_SIDE)).any()
            known = (table.misses == 0) & ~mixed
            np.testing.assert_array_equal(table.labels[known], detections.labels[table.detection_index[known]])


@variants
@given(SEED, st.lists(st.floats(1e-3, 4), min_size=30, max_size=30), st.booleans())
@FEW
def test_tracks_are_finite_for_any_input(name, seed, intervals, wild):
    rng, tracker = np.random.default_rng(seed), variant_tracker(name)
    for time in np.cumsum(intervals):
        count = rng.integers(0, 12)
        low = rng.uniform(-200, 1000, (count, 2)) * 10 ** rng.uniform(-2, 2 * wild, (count, 1))
        # Some have no area, and some have negative width or height.
        high = low + rng.choice([0, -1, 1], (count, 2), p=[0.05, 0.05, 0.9]) * rng.lognormal(3.5, 1 + wild, (count, 2))
        detections = Detections(
            np.c_[low, high].astype(np.float32), rng.random(count).astype(np.float32), rng.integers(0, 3, count)
        )
        embeddings = rng.normal(size=(count, 8)).astype(np.float32)
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

    tracker = DeepSort(variant_config(name).model_copy(update={"max_coast": 1.0}))
    times = np.arange(0, 4, 1 / fps).tolist()
    frames = [
        tracker.update(make_detections(box(t), scores=[0.95]), no_embeddings(make_detections(box(t))), t) for t in times
    ]
    assert all_ids(frames) == {1}
    assert [len(t) for t in frames[3:]] == [1] * len(frames[3:])
    np.testing.assert_allclose(frames[-1].velocities, [[vx, vy]], atol=4)
    later = tracker.update(make_detections(), no_embeddings(make_detections()), times[-1] + 0.4)
    center = (later.boxes[0, :2] + later.boxes[0, 2:]) / 2
    np.testing.assert_allclose(center, np.array([500 + vx * (times[-1] + 0.4), 500 + vy * (times[-1] + 0.4)]), atol=4)
