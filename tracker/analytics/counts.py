"""Counts with intervals, from events each of which has a probability."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.analytics.crossings import Crossing
from tracker.analytics.trajectories import Floats


@dataclass(frozen=True)
class CountRow:
    """The count of a line in one direction.

    Attributes:
        line: Name of the line.
        direction: Name of the direction.
        category: Class of the tracks.
        start_s: Of the time that is counted, seconds.
        end_s: As `start_s`.
        count: Tracks that crossed.
        low: Least count that the doubtful identities leave possible at the level of the interval.
        high: Largest one.
    """

    line: str
    direction: str
    category: str
    start_s: float
    end_s: float
    count: int
    low: int
    high: int


def count_interval(probabilities: Iterable[float], level: float = 0.95) -> tuple[int, int, int]:
    """Returns the number of events that are more probable than not, and an interval of the number that happened.

    The events are taken as independent, so that their number has a Poisson binomial distribution; the interval is
    between its quantiles, and holds the number itself.

    Source: Hong 2013, On computing the distribution function for the Poisson binomial distribution.

    Example:
        >>> count_interval([1, 1, 0.9, 0.2])
        (3, 2, 4)
    """
    events = np.fromiter(probabilities, np.float64)
    count = int((events >= 0.5).sum())
    certain = int((events >= 1).sum())
    distribution: Floats = np.ones(1)
    for probability in events[(events > 0) & (events < 1)]:
        distribution = np.convolve(distribution, (1 - probability, probability))
    total = np.cumsum(distribution)
    tail = (1 - level) / 2
    low = certain + int(np.searchsorted(total, tail, side="right"))
    high = certain + int(np.searchsorted(total, 1 - tail, side="left"))
    return count, min(count, low), max(count, min(high, certain + len(distribution) - 1))


def count_crossings(
    crossings: Sequence[Crossing],
    directions: Sequence[tuple[str, str]],
    categories: Sequence[str],
    duration: float,
    interval: float = 0.0,
    level: float = 0.95,
) -> list[CountRow]:
    """Returns the counts by line, direction, class and time.

    Args:
        crossings: All crossings of all lines.
        directions: Lines and their directions; each has a row for each class and time, also where nothing crossed.
        categories: The classes.
        duration: Of the video, seconds.
        interval: Seconds that are counted together; 0 for the whole video.
        level: Probability of the intervals.
    """
    groups: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    for crossing in crossings:
        bucket = int(crossing.time_s // interval) if interval else 0
        groups[crossing.line, crossing.direction, crossing.category, bucket].append(crossing.probability)
    buckets = range(int(np.ceil(duration / interval)) or 1) if interval else range(1)
    rows = []
    for line, direction in directions:
        for category in categories:
            for bucket in buckets:
                found = groups[line, direction, category, bucket]
                start = bucket * interval
                end = min(start + interval, duration) if interval else duration
                rows.append(CountRow(line, direction, category, start, end, *count_interval(found, level)))
    return rows
