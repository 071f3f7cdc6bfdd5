"""Crossings that are found while the tracks go on."""

import numpy as np

from analytics_tracks import as_tracks
from tracker.analytics.crossings import find_crossings
from tracker.analytics.live_crossings import LiveCrossings
from tracker.analytics.trajectories import Trajectory, anchor_points
from tracker.config import AnalyticsConfig, ZonesConfig
from tracker.structures.types import Frame

SIZE = (200, 100)
ZONES = ZonesConfig.model_validate({"lines": {"gate": [[0.5, 0], [0.5, 0.8]], "road": [[0, 0.5], [1, 0.5]]}})
IMAGE = np.zeros((1, 1, 3), np.uint8)


def walks(count: int, frames: int) -> dict[int, np.ndarray]:
    """Returns the boxes (T, 4) of tracks that wander about, many of them to and fro over the lines, by id."""
    half = np.array([5, 15])
    chance = np.random.default_rng(3)
    centers = np.cumsum(chance.normal(0, 4, (count, frames, 2)), 1) + chance.uniform(0, 1, (count, 1, 2)) * SIZE
    return {number + 1: np.concatenate([c - half, c + half], 1) for number, c in enumerate(centers)}


def test_they_are_those_of_the_whole_tracks() -> None:
    boxes, frames = walks(40, 120), 120
    config = AnalyticsConfig()
    paths = [
        Trajectory(
            number, "person", np.arange(frames), np.arange(frames) / 10, anchor_points(rows.astype(np.float32), config),
            rows.astype(np.float32).astype(float), np.ones(frames, np.bool_),
        )
        for number, rows in boxes.items()
    ]  # fmt: skip
    expected = {
        (found.line, found.track_id, found.direction, found.frame, round(found.time_s, 6), found.x, found.y)
        for name, line in ZONES.lines.items()
        for found in find_crossings(paths, [], name, line, SIZE)
        if found.counts
    }
    crossings = LiveCrossings(ZONES, SIZE)
    found = []
    for number in range(frames):
        tracks = as_tracks({track_id: rows[number] for track_id, rows in boxes.items()})
        new = crossings.update(Frame(number, number / 10, number, IMAGE), tracks)
        assert all(crossing.frame <= number for crossing in new)
        found += new
    assert len(found) > 20
    found += crossings.end(boxes)
    keys = [(one.line, one.track_id, one.direction, one.frame, round(one.time_s, 6), one.x, one.y) for one in found]
    assert set(keys) == expected and len(keys) == len(expected)


def test_memory_of_a_track_on_the_line_is_bounded() -> None:
    crossings = LiveCrossings(ZONES, SIZE)
    box = np.array([95, 20, 105, 60.0])  # its foot is on the gate
    for number in range(5000):
        assert not crossings.update(Frame(number, number / 10, number, IMAGE), as_tracks({1: box}))
    assert max(len(path.rows) for path in crossings._paths.values()) <= 2001
    moved = crossings.update(Frame(5000, 500.0, 5000, IMAGE), as_tracks({1: box + np.array([30, 0, 30, 0])}))
    assert len(moved) <= 1
    crossings.end([1])
    assert not crossings._paths
