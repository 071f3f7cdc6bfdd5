"""The path of each track: where its anchor point was at which time, and which paths may be one object's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.config import AnalyticsConfig
from tracker.data.run_tracks import RunTracks

Floats = NDArray[np.float64]

_VELOCITY_SECONDS = 1.0
"""Seconds at the beginning or end of a path of which its velocity there is measured."""
_BORDER = 0.01
"""Fraction of the image's size by which a box may be away from the border at which it leaves."""
_LEAST_LINK = 0.02
"""Least probability of a link that is considered."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The path of a track: T points in order of time.

    Attributes:
        track_id: The track.
        category: Name of its class.
        frames: int64 (T,).
        times: float64 (T,), seconds.
        points: float64 (T, 2), the anchor of its boxes, pixels.
        boxes: float64 (T, 4), xyxy, pixels.
        observed: bool (T,), False where the box is predicted.
    """

    track_id: int
    category: str
    frames: NDArray[np.int64]
    times: Floats
    points: Floats
    boxes: Floats
    observed: NDArray[np.bool_]

    @cached_property
    def heights(self) -> Floats:
        """float64 (T,), the heights of its boxes, pixels; at least 1."""
        return np.maximum(self.boxes[:, 3] - self.boxes[:, 1], 1.0)

    @cached_property
    def interval(self) -> float:
        """Its usual time between two points, seconds."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    def velocity(self, at_end: bool) -> Floats:
        """Returns the velocity at its beginning or end, float64 (2,), pixels per second; 0 where it is too short."""
        edge = self.times[-1 if at_end else 0]
        near = np.abs(self.times - edge) <= _VELOCITY_SECONDS
        return slope(self.times[near], self.points[near])


def slope(times: Floats, points: Floats) -> Floats:
    """Returns the velocity of the straight line through points that fits best, float64 (2,); 0 for a single time."""
    centered = times - times.mean()
    spread = float((centered**2).sum())
    return (centered @ points) / spread if spread > 0 else np.zeros(2)


def trajectories(tracks: RunTracks, config: AnalyticsConfig | None = None) -> list[Trajectory]:
    """Returns the path of each track, in order of ids; the anchor is that of the config."""
    config = config or AnalyticsConfig()
    found = []
    for track in tracks.by_track():
        points = anchor_points(track.boxes, config)
        label = int(track.labels[-1])  # by vote over the whole track so far
        found.append(
            Trajectory(
                track_id=int(track.ids[0]),
                category=tracks.categories[label],
                frames=track.frames,
                times=track.times,
                points=points,
                boxes=track.boxes,
                observed=track.observed,
            )
        )
    return found


def anchor_points(boxes: NDArray[np.floating[Any]], config: AnalyticsConfig) -> Floats:
    """Returns the points of (N, 4) boxes (xyxy) that count, float64 (N, 2).

    Example:
        >>> anchor_points(np.array([[0.0, 0.0, 10.0, 20.0]]), AnalyticsConfig()).tolist()
        [[5.0, 20.0]]
    """
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    return np.stack([(x1 + x2) / 2, y2 if config.anchor == "bottom" else (y1 + y2) / 2], 1)


@dataclass(frozen=True, eq=False)
class Link:
    """Two paths that may be of one object: one ends, and another one begins soon after it and near.

    Attributes:
        before: The path that ends.
        after: The path that begins.
        probability: That they are of one object.
    """

    before: Trajectory
    after: Trajectory
    probability: float

    @property
    def gap(self) -> Trajectory:
        """The last point of the path that ends, and the first one of that which begins, as a path."""

        def both(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(self.before, name)[-1:], getattr(self.after, name)[:1]])

        return Trajectory(
            self.after.track_id,
            self.after.category,
            both("frames"),
            both("times"),
            both("points"),
            both("boxes"),
            both("observed"),
        )


def possible_links(paths: Sequence[Trajectory], size: tuple[int, int], config: AnalyticsConfig) -> list[Link]:
    """Returns the ends and beginnings inside of the image that may be of one object, at most one for each of them.

    The probability falls with the distance between where each of both, moving on as it did, would be halfway between
    them, and with the time between them; of all assignments, that of the largest sum is taken.

    Args:
        paths: The paths of all tracks.
        size: Width and height of the image, pixels; 0 where it is unknown.
        config: The longest time between both.
    """
    ending = [path for path in paths if not _at_border(path.boxes[-1], size)]
    starting = [path for path in paths if not _at_border(path.boxes[0], size)]
    starting.sort(key=lambda path: path.times[0])
    if not ending or not starting:
        return []
    first_times = np.array([path.times[0] for path in starting])
    candidates: list[tuple[int, int, float]] = []
    for row, before in enumerate(ending):
        low, high = np.searchsorted(first_times, (before.times[-1], before.times[-1] + config.link_gap), side="right")
        for column in range(int(low), int(high)):
            after = starting[column]
            if after.category == before.category and after.track_id != before.track_id:
                probability = _link_probability(before, after, config.link_gap)
                if probability >= _LEAST_LINK:
                    candidates.append((row, column, probability))
    return [Link(ending[row], starting[column], p) for row, column, p in _assign(candidates)]


def _assign(candidates: Sequence[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Returns the candidates of the best assignment of rows to columns."""
    if not candidates:
        return []
    rows, row_index = np.unique([row for row, _, _ in candidates], return_inverse=True)
    columns, column_index = np.unique([column for _, column, _ in candidates], return_inverse=True)
    gains = np.zeros((len(rows), len(columns)))
    gains[row_index, column_index] = [probability for _, _, probability in candidates]
    chosen = linear_sum_assignment(gains, maximize=True)
    return [
        (int(rows[row]), int(columns[column]), float(gains[row, column]))
        for row, column in zip(*chosen, strict=True)
        if gains[row, column] > 0
    ]


def _link_probability(before: Trajectory, after: Trajectory, link_gap: float) -> float:
    gap = float(after.times[0] - before.times[-1])
    middle = before.points[-1] + before.velocity(at_end=True) * gap / 2
    distance = np.linalg.norm(after.points[0] - after.velocity(at_end=False) * gap / 2 - middle)
    height = (before.heights[-1] + after.heights[0]) / 2
    deviation = (0.15 + 0.5 * gap) * height  # of a detection, and of a change of pace in the time between
    ratio = abs(np.log(before.heights[-1] / after.heights[0])) / 0.3
    return float(np.exp(-0.5 * (distance / deviation) ** 2 - 0.5 * ratio**2) * np.exp(-gap / link_gap))


def _at_border(box: Floats, size: tuple[int, int]) -> bool:
    width, height = size
    if not width or not height:
        return False
    x1, y1, x2, y2 = box
    return bool(
        x1 <= _BORDER * width or y1 <= _BORDER * height or x2 >= (1 - _BORDER) * width or y2 >= (1 - _BORDER) * height
    )
