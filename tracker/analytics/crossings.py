"""Crossings of a line by tracks, each with the probability that it is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tracker.analytics.trajectories import Floats, Link, Trajectory
from tracker.config import AnalyticsConfig
from tracker.config.zones import LineConfig

_LATE_FRAMES = 3.0
"""Frames for which a tracker typically has not yet confirmed an object that it sees."""
_GAP_DOUBT = 0.5
"""Probability that a track continues with another object after a very long gap."""


@dataclass(frozen=True)
class Crossing:
    """A crossing of a line.

    Attributes:
        line: Name of the line.
        direction: Name of the direction.
        category: Class of the track.
        track_id: The track; of a crossing between two tracks, the later one.
        time_s: Seconds.
        frame: The first frame behind the line.
        x: Where, pixels.
        y: Where, pixels.
        probability: That an object crossed here, from 0 to 1. It is 1 where a track was seen on both sides.
    """

    line: str
    direction: str
    category: str
    track_id: int
    time_s: float
    frame: int
    x: float
    y: float
    probability: float

    @property
    def counts(self) -> bool:
        """True if it is more probable than not."""
        return self.probability >= 0.5


def find_crossings(
    paths: Sequence[Trajectory],
    links: Sequence[Link],
    name: str,
    line: LineConfig,
    size: tuple[int, int],
    config: AnalyticsConfig | None = None,
) -> list[Crossing]:
    """Returns the crossings of a line in order of time, at most one for each track and direction.

    A point is on a side of the line once it is farther from it than the hysteresis, and a track crosses where it
    changes the side between the ends of the line. Crossings of lower probability are those of a track that begins or
    ends too near to the line to be sure of its side, that was not seen for a while around the line, that begins just
    behind the line or ends just before it, and those between two tracks that may be of one object.

    Args:
        paths: The paths of all tracks.
        links: The paths that may be of one object (`possible_links`).
        name: Name of the line.
        line: The line.
        size: Width and height of the image, pixels.
        config: The hysteresis.
    """
    geometry = Line(name, line, size, config or AnalyticsConfig())
    found = [crossing for path in paths for crossing in geometry.crossings(path)]
    certain = {(crossing.track_id, crossing.direction) for crossing in found if crossing.counts}
    bridged = [crossing for link in links for crossing in geometry.between(link)]
    linked_ends = {link.before.track_id for link in links if link.probability >= 0.5}
    linked_starts = {link.after.track_id for link in links if link.probability >= 0.5}
    near = [
        crossing
        for path in paths
        for crossing in geometry.just_missed(path, path.track_id in linked_starts, path.track_id in linked_ends)
    ]
    extra = [crossing for crossing in (*bridged, *near) if (crossing.track_id, crossing.direction) not in certain]
    best: dict[tuple[int, str], Crossing] = {}
    for crossing in (*found, *extra):
        key = crossing.track_id, crossing.direction
        if key not in best or crossing.probability > best[key].probability:
            best[key] = crossing
    return sorted(best.values(), key=lambda crossing: (crossing.time_s, crossing.track_id))


class Line:
    """A line in pixels."""

    def __init__(self, name: str, line: LineConfig, size: tuple[int, int], config: AnalyticsConfig) -> None:
        """Takes its name, its ends as fractions of the size of the image (pixels), and the hysteresis."""
        self._name = name
        self._directions = {1: line.right, -1: line.left}
        self._start, end = np.array(line.points) * size
        self._along = end - self._start
        self._length = float(np.linalg.norm(self._along))
        self._hysteresis = config.hysteresis

    def crossings(self, path: Trajectory) -> list[Crossing]:
        """Returns the first crossing of a path in each direction."""
        distances = self._distances(path.points)
        margins = self._hysteresis * path.heights
        sides = self.sides(path.points, path.heights)
        weights = np.where(sides != 0, 1.0, norm.cdf(2 * np.abs(distances) / np.maximum(margins, 1e-9)))
        for edge in (0, -1):  # nothing before or after tells the side
            sides[edge] = sides[edge] or int(np.sign(distances[edge]))
        sure = np.flatnonzero(sides)
        found: dict[int, Crossing] = {}
        for before, after in pairwise(sure.tolist()):
            side = int(sides[after])
            if sides[before] != side and side not in found:
                probability = float(weights[before] * weights[after]) * _over_gap(path, before, after)
                crossing = self._crossing(path, distances, before, after, side, probability)
                if crossing is not None:
                    found[side] = crossing
        return list(found.values())

    def sides(self, points: Floats, heights: Floats) -> NDArray[np.int64]:
        """Returns the sides of (N, 2) points, by the heights of their boxes: 1 right, -1 left, 0 too near to tell."""
        distances = self._distances(points)
        return np.where(np.abs(distances) > self._hysteresis * heights, np.sign(distances), 0).astype(np.int64)

    def between(self, link: Link) -> list[Crossing]:
        """Returns the crossing in the gap between two paths that may be of one object."""
        joined = link.gap
        distances = self._distances(joined.points)
        side = int(np.sign(distances[1]))
        if side == 0 or np.sign(distances[0]) == side:
            return []
        crossing = self._crossing(joined, distances, 0, 1, side, link.probability)
        return [crossing] if crossing is not None else []

    def just_missed(self, path: Trajectory, has_before: bool, has_after: bool) -> list[Crossing]:
        """Returns the doubtful crossings before the beginning of a path, and after its end."""
        distances = self._distances(path.points)
        found = []
        for at_end in (False, True):
            edge = -1 if at_end else 0
            speed = float(self._distances(self._start + path.velocity(at_end)))  # pixels per second to the right
            seconds = -distances[edge] / speed if speed else 0.0  # until the line is reached, negative in the past
            frames = (seconds if at_end else -seconds) / path.interval if path.interval else 0.0
            if (has_after if at_end else has_before) or not 0 < frames < 3 * _LATE_FRAMES:
                continue
            point = path.points[edge] + path.velocity(at_end) * seconds
            time, frame = float(path.times[edge]) + seconds, int(path.frames[edge])
            side = 1 if speed > 0 else -1
            if 0 <= self._position(point) <= 1:
                probability = 0.49 * float(np.exp(-frames / _LATE_FRAMES))
                found.append(self._make(path, side, max(0.0, time), frame, point, probability))
        return found

    def _crossing(
        self, path: Trajectory, distances: Floats, before: int, after: int, side: int, probability: float
    ) -> Crossing | None:
        """Returns the crossing between two points of a path, at its last change of the side; None beyond the ends."""
        on_side = np.sign(distances[before : after + 1]) == side
        last = before + int(np.flatnonzero(~on_side[:-1])[-1])
        part = distances[last] / (distances[last] - distances[last + 1])
        point = path.points[last] + part * (path.points[last + 1] - path.points[last])
        if not 0 <= self._position(point) <= 1:
            return None
        time = float(path.times[last] + part * (path.times[last + 1] - path.times[last]))
        return self._make(path, side, time, int(path.frames[last + 1]), point, probability)

    def _make(
        self, path: Trajectory, side: int, time: float, frame: int, point: Floats, probability: float
    ) -> Crossing:
        x, y = (round(float(value), 2) for value in point)
        direction = self._directions[side]
        return Crossing(self._name, direction, path.category, path.track_id, time, frame, x, y, probability)

    def _distances(self, points: Floats) -> Floats:
        """Returns the distances of (..., 2) points from the line, pixels, positive on its right side."""
        offset = points - self._start
        along = self._along / self._length
        return np.asarray(along[0] * offset[..., 1] - along[1] * offset[..., 0])

    def _position(self, point: Floats) -> float:
        """Returns where on the line a point is, from 0 to 1."""
        return float((point - self._start) @ self._along) / self._length**2


def _over_gap(path: Trajectory, before: int, after: int) -> float:
    """Returns the probability that a path is of one object, given for how long it was not seen around the line."""
    # The nearest detections before and after.
    first = np.flatnonzero(path.observed[: before + 1])
    last = np.flatnonzero(path.observed[after:])
    begin = first[-1] if len(first) else before
    end = after + last[0] if len(last) else after
    seen = path.times[begin : end + 1][path.observed[begin : end + 1]]
    gap = float(np.diff(seen).max()) if len(seen) > 1 else 0.0
    gap = max(0.0, gap - _LATE_FRAMES * path.interval)
    return 1 - _GAP_DOUBT * (1 - float(np.exp(-gap)))
