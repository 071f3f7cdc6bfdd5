"""Summaries of tracks: counts, durations, and memory that does not grow with the number of tracks."""

import numpy as np

from tracker.pipeline.summary import LONGEST, Summary
from tracker.structures.types import Tracks


def make_tracks(*rows: tuple[int, int]) -> Tracks:
    """Returns tracks of (id, label)."""
    n = len(rows)
    ids, labels = (np.array([row[k] for row in rows], np.int64) for k in (0, 1))
    zeros = np.zeros(n, np.float32)
    return Tracks(ids, np.zeros((n, 4), np.float32), zeros, labels, np.zeros((n, 2), np.float32), zeros, ids > 0, ids)


def test_counts_and_durations() -> None:
    summary = Summary(("person", "car"), max_age=2.0)
    summary.add(0.0, make_tracks((1, 0)))
    summary.add(0.5, make_tracks((1, 0), (2, 1)))
    summary.add(1.5, make_tracks((1, 0)))
    assert summary.counts == {"person": 1, "car": 1}
    first, second = summary.longest()
    assert (first.track_id, first.category, first.first, first.last, first.frames) == (1, "person", 0.0, 1.5, 3)
    assert (second.track_id, second.duration, second.frames) == (2, 0.0, 1)


def test_a_track_that_comes_back_in_time_is_the_same() -> None:
    summary = Summary(("person",), max_age=2.0)
    for time in (0.0, 1.9, 3.8):
        summary.add(time, make_tracks((1, 0)))
        summary.add(time + 0.1, make_tracks())
    assert summary.counts == {"person": 1}
    assert [(track.frames, track.duration) for track in summary.longest()] == [(3, 3.8)]


def test_a_track_that_changes_its_class_counts_once() -> None:
    summary = Summary(("person", "car"), max_age=2.0)
    summary.add(0.0, make_tracks((1, 0)))
    summary.add(0.1, make_tracks((1, 1)))
    assert {name: n for name, n in summary.counts.items() if n} == {"car": 1}
    assert summary.longest()[0].category == "car"


def test_the_longest_tracks_are_kept_in_any_order() -> None:
    summary = Summary(("person",), max_age=0.5)
    lengths = np.random.default_rng(0).permutation(3 * LONGEST)
    time = 0.0
    for track_id, length in enumerate(lengths.tolist(), 1):
        for _ in range(length + 1):
            summary.add(time, make_tracks((track_id, 0)))
            time += 0.1
        time += 1.0
    expected = sorted(range(1, len(lengths) + 1), key=lambda track_id: -lengths[track_id - 1])[:LONGEST]
    assert [track.track_id for track in summary.longest()] == expected
    assert summary.counts == {"person": 3 * LONGEST}


def test_memory_does_not_grow_with_the_number_of_tracks() -> None:
    summary = Summary(("person",), max_age=1.0)
    for n in range(5000):
        summary.add(n * 0.5, make_tracks((n + 1, 0)))
    assert len(summary._live) <= 4 and len(summary._finished) <= LONGEST
    assert summary.counts == {"person": 5000}
