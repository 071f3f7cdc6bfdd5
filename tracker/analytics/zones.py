"""Visits to zones: dwell times, occupancy over time, and flows from zone to zone."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.analytics.counts import count_interval
from tracker.analytics.trajectories import Floats, Link, Trajectory
from tracker.config import AnalyticsConfig
from tracker.config.zones import Point
from tracker.errors import InputError


@dataclass(frozen=True)
class Visit:
    """A stay of a track in a zone.

    Attributes:
        zone: Name of the zone.
        category: Class of the track.
        track_id: The track.
        enter_s: When it came in, seconds; the beginning of the track if it began inside.
        leave_s: When it went out, or was seen last.
        dwell_s: Seconds between both.
        complete: True if the track came from outside and went there again.
    """

    zone: str
    category: str
    track_id: int
    enter_s: float
    leave_s: float
    dwell_s: float
    complete: bool


@dataclass(frozen=True)
class OccupancyRow:
    """The number of tracks in a zone during some time.

    Attributes:
        zone: Name of the zone.
        start_s: Of the time, seconds.
        end_s: As `start_s`.
        mean: Tracks in the zone, averaged over the time.
        most: Most tracks in it at once.
    """

    zone: str
    start_s: float
    end_s: float
    mean: float
    most: int


@dataclass(frozen=True)
class Flow:
    """The tracks that began in one zone and ended in another one: a cell of the origin-destination matrix.

    Attributes:
        origin: The first zone that the tracks visited.
        destination: The last one.
        category: Class of the tracks.
        count: Tracks.
        low: Least count that the doubtful identities leave possible at the level of the interval.
        high: Largest one.
        mean_s: From leaving the first zone to entering the last one, on average.
    """

    origin: str
    destination: str
    category: str
    count: int
    low: int
    high: int
    mean_s: float


def find_visits(
    paths: Sequence[Trajectory],
    zones: Mapping[str, Sequence[Point]],
    size: tuple[int, int],
    config: AnalyticsConfig | None = None,
) -> list[Visit]:
    """Returns the visits of all tracks to all zones, in order of time.

    Absences of less than `min_visit` seconds do not end a visit, and shorter visits are none, so that a box that
    trembles at the border of a zone does not enter it again and again.

    Args:
        paths: The paths of all tracks.
        zones: Corners of the zones by name.
        size: Width and height of the image, pixels.
        config: The least duration.

    Raises:
        InputError: The sides of a zone cross each other.
    """
    config = config or AnalyticsConfig()
    visits = []
    for name, corners in zones.items():
        contains = _polygon(name, corners, size)
        for path in paths:
            visits += _visits(name, path, contains(path.points), config.min_visit)
    return sorted(visits, key=lambda visit: (visit.enter_s, visit.track_id, visit.zone))


def _polygon(name: str, corners: Sequence[Point], size: tuple[int, int]) -> Callable[[Floats], NDArray[np.bool_]]:
    """Returns a function that tells which of (T, 2) points are inside of a zone, its border included."""
    import shapely  # of an extra, which lines and speeds need not have

    polygon = shapely.Polygon(np.array(corners) * size)
    if not polygon.is_valid:
        raise InputError(f"the zone {name}: its sides cross each other; give its corners in their order around it")
    shapely.prepare(polygon)
    return lambda points: np.asarray(shapely.intersects_xy(polygon, points[:, 0], points[:, 1]), np.bool_)


def _visits(zone: str, path: Trajectory, inside: NDArray[np.bool_], min_visit: float) -> list[Visit]:
    changes = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=0, append=0))
    # Between two points, one inside and one outside, the border is crossed halfway.
    middles = np.concatenate([path.times[:1], (path.times[1:] + path.times[:-1]) / 2, path.times[-1:]])
    spans: list[list[int]] = []
    for begin, end in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
        if spans and middles[begin] - middles[spans[-1][1]] < min_visit:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    visits = []
    for begin, end in spans:
        enter, leave = float(middles[begin]), float(middles[end])
        if leave - enter >= min_visit:
            complete = begin > 0 and end < len(inside)
            visits.append(Visit(zone, path.category, path.track_id, enter, leave, leave - enter, complete))
    return visits


def measure_occupancy(
    visits: Sequence[Visit], zones: Sequence[str], duration: float, interval: float = 0.0
) -> list[OccupancyRow]:
    """Returns how many tracks were in each zone, for each interval of so many seconds (0: the whole video)."""
    length = interval or duration
    rows = []
    for zone in zones:
        inside = [visit for visit in visits if visit.zone == zone]
        for number in range(max(1, int(np.ceil(duration / length))) if length else 1):
            start, end = number * length, min((number + 1) * length, duration)
            mean, most = _occupancy(inside, start, end)
            rows.append(OccupancyRow(zone, start, end, mean, most))
    return rows


def _occupancy(visits: Sequence[Visit], start: float, end: float) -> tuple[float, int]:
    spans = [(max(visit.enter_s, start), min(visit.leave_s, end)) for visit in visits]
    spans = [(enter, leave) for enter, leave in spans if leave > enter]
    if not spans:
        return 0.0, 0
    # Who leaves does so before another one enters at the same time.
    events = sorted([(enter, 1) for enter, _ in spans] + [(leave, -1) for _, leave in spans])
    most = int(np.cumsum([change for _, change in events]).max())
    return sum(leave - enter for enter, leave in spans) / (end - start), most


def count_flows(
    visits: Sequence[Visit], paths: Sequence[Trajectory], links: Sequence[Link], config: AnalyticsConfig | None = None
) -> list[Flow]:
    """Returns the origin-destination matrix: tracks by the first and the last zone that they visited.

    Tracks that visited a single zone are not in it. A track that was not seen for a while between both zones may have
    continued with another object, and a track that ended between the zones may be one with another that began there:
    both widen the interval.

    Args:
        visits: All visits.
        paths: The paths of all tracks.
        links: The paths that may be of one object.
        config: The level of the intervals.
    """
    config = config or AnalyticsConfig()
    by_track: dict[int, list[Visit]] = defaultdict(list)
    for visit in visits:
        by_track[visit.track_id].append(visit)
    by_id = {path.track_id: path for path in paths}
    trips: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for track_id, stays in by_track.items():
        first, last = stays[0], stays[-1]
        if first.zone != last.zone:
            probability = _kept(by_id[track_id], first.leave_s, last.enter_s)
            trips[first.zone, last.zone, first.category].append((probability, last.enter_s - first.leave_s))
    for link in links:
        before, after = by_track.get(link.before.track_id), by_track.get(link.after.track_id)
        if before and after and before[0].zone != after[-1].zone:
            key = before[0].zone, after[-1].zone, before[0].category
            trips[key].append((link.probability, after[-1].enter_s - before[0].leave_s))
    flows = []
    for (origin, destination, category), found in sorted(trips.items()):
        interval = count_interval([probability for probability, _ in found], config.level)
        seconds = [max(0.0, seconds) for probability, seconds in found if probability >= 0.5]
        mean = sum(seconds) / len(seconds) if seconds else 0.0
        flows.append(Flow(origin, destination, category, *interval, mean))
    return flows


def _kept(path: Trajectory, start: float, end: float) -> float:
    """Returns the probability that a path is of one object from one time to another, given when it was not seen."""
    times = path.times[path.observed & (path.times >= start - 1) & (path.times <= end + 1)]
    gaps = np.diff(times) - 3 * path.interval if len(times) > 1 else np.zeros(0)
    return float(np.prod(1 - 0.5 * (1 - np.exp(-np.maximum(gaps, 0.0)))))
