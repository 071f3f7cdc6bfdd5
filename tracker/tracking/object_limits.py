"""Known numbers of objects: which new tracks are too many, and which lost ones they continue."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.config import TrackerConfig
from tracker.config.limits import ALL, parse_object_counts
from tracker.errors import InputError, did_you_mean
from tracker.structures.boxes import Floats
from tracker.tracking.candidate_pairs import Mask
from tracker.tracking.gallery import Gallery
from tracker.tracking.track_table import TIME_TOLERANCE, Indices, TrackTable

log = logging.getLogger(__name__)

_SPREAD, _SPEED = 0.25, 1.0
"""Where an object may be that was lost: its deviation at once, and what each second adds, in sides of its box."""
_SPAN_GAP = 1.0
"""Seconds between two times of too many objects that are told as one span."""
_MOST_SPANS = 5
"""Spans that a warning tells."""


@dataclass(frozen=True)
class ObjectLimit:
    """A number of objects: of the class `name`, or of all (`ALL`); at most so many at a time or, if `exact`, always."""

    name: str
    number: int
    exact: bool

    def covers(self, labels: Indices, categories: Sequence[str]) -> Mask:
        """Returns True for labels, int64 (N,), of the class; `categories` are the names of all classes by label."""
        if self.name == ALL:
            return np.ones(len(labels), np.bool_)
        same_class: Mask = labels == (categories.index(self.name) if self.name in categories else -1)
        return same_class


def read_limits(config: TrackerConfig) -> tuple[ObjectLimit, ...]:
    """Returns the limits of `max_objects` and `exactly`.

    Raises:
        InputError: Both are about the same objects.

    Example:
        >>> read_limits(TrackerConfig(exactly="dog=2"))
        (ObjectLimit(name='dog', number=2, exact=True),)
    """
    most, exact = parse_object_counts(config.max_objects), parse_object_counts(config.exactly)
    if most and exact and (ALL in {*most, *exact} or most.keys() & exact.keys()):
        raise InputError("max_objects and exactly are about the same objects: give one of them")
    limits = [ObjectLimit(name, number, exact=False) for name, number in most.items()]
    return (*limits, *(ObjectLimit(name, number, exact=True) for name, number in exact.items()))


def check_limits(config: TrackerConfig, categories: Sequence[str]) -> None:
    """Checks that the classes of `max_objects` and `exactly` are among those of the detections.

    Raises:
        InputError: One is not.
    """
    for limit in read_limits(config):
        if limit.name != ALL and limit.name not in categories:
            setting = "exactly" if limit.exact else "max_objects"
            raise InputError(f"{setting}: unknown class {limit.name!r}{did_you_mean(limit.name, list(categories))}")


def distance_cost(distance: Floats, size: Floats, seconds: Floats, measurement_noise: float) -> Floats:
    """Returns how unlikely an object of a size is at a distance from where it was lost, so many seconds later, in nats.

    The density is a Cauchy distribution, whose tails are long: an object that nobody sees may turn, stop or run. As in
    `negative_log_likelihood`, it is relative to that of a place that is exactly known, so that both can be compared.

    Args:
        distance: Pixels, (N,).
        size: Longer side of its box, pixels, (N,).
        seconds: Since it was lost, (N,).
        measurement_noise: See `TrackerConfig`.
    """
    spread = np.hypot(_SPREAD, _SPEED * seconds)
    cost: Floats = 1.5 * np.log1p((distance / (spread * size)) ** 2) + 2 * np.log(spread / measurement_noise)
    return cost


class TimeSpans:
    """Times, seconds, that are told as spans."""

    def __init__(self) -> None:
        """Starts without times."""
        self._spans: list[list[float]] = []

    def add(self, time: float) -> None:
        """Adds a time, which is not before those so far."""
        if self._spans and time - self._spans[-1][1] <= _SPAN_GAP:
            self._spans[-1][1] = time
        else:
            self._spans.append([time, time])

    def __str__(self) -> str:
        texts = [f"{a:.1f} s" if b - a < 0.05 else f"{a:.1f} to {b:.1f} s" for a, b in self._spans[:_MOST_SPANS]]
        more = len(self._spans) - _MOST_SPANS
        return ", ".join(texts) + (f" and {more} times more" if more > 0 else "")

    def __bool__(self) -> bool:
        return bool(self._spans)


def warn_of_too_many(limit: ObjectLimit, spans: TimeSpans) -> None:
    """Logs when more objects were seen at once than there can be, if there are such times."""
    if spans:
        what = f"more than {limit.number} {limit.name}".rstrip() + (" at once" if limit.name else " objects at once")
        log.warning("there are detections of %s at %s: some of these get no track", what, spans)


class ObjectLimits:
    """The limits of a `DeepSort`.

    Attributes:
        categories: Names of the classes by label.
    """

    def __init__(self, config: TrackerConfig) -> None:
        """Takes the limits of the settings."""
        self.categories: Sequence[str] = ()
        self._config = config
        self._limits = read_limits(config)
        self._exceeded = {limit: TimeSpans() for limit in self._limits}

    def __bool__(self) -> bool:
        """Checks whether any number is known."""
        return bool(self._limits)

    def held(self, table: TrackTable) -> Mask:
        """Returns True for tracks that never end, bool (T,): those of which there are exactly so many."""
        held = np.zeros(len(table), np.bool_)
        for limit in self._limits:
            if limit.exact:
                held |= (table.ids > 0) & limit.covers(table.labels, self.categories)
        return held

    def admit(self, table: TrackTable, due: Indices, gallery: Gallery | None, time: float) -> tuple[Indices, Indices]:
        """Decides about the tracks that are due to get an id.

        While there are fewer tracks with an id than there can be objects, such a track gets one of its own. Beyond
        that it takes the id of a track that was lost before it started, by the least total cost of place, time and
        appearance, or it gets none yet.

        Args:
            table: The tracks; those that take an id have it afterwards.
            due: The rows that are due, int64 (N,), the oldest first.
            gallery: The embeddings of the tracks.
            time: Of this frame, seconds.

        Returns:
            The rows that get an id of their own, and those whose id went to another row, int64.
        """
        admitted, replaced = [due], [np.zeros(0, np.int64)]
        for limit in self._limits:
            with_id = (table.ids > 0) & limit.covers(table.labels, self.categories)
            own = due[limit.covers(table.labels[due], self.categories)]
            free = max(0, limit.number - int(with_id.sum()))
            late = own[free:]
            if not len(late):
                continue
            admitted[0] = np.setdiff1d(admitted[0], late)
            lost = np.flatnonzero(with_id & (table.misses > 0))
            new, old = self._pair(table, late, lost, gallery)
            self._hand_over(table, new, old)
            replaced.append(old)
            if int(with_id.sum()) - len(lost) + len(own) > limit.number:
                self._exceeded[limit].add(time)
        return admitted[0], np.concatenate(replaced)

    def warn(self) -> None:
        """Logs the times at which more objects were seen than there can be."""
        for limit, spans in self._exceeded.items():
            warn_of_too_many(limit, spans)

    def _pair(
        self, table: TrackTable, late: Indices, lost: Indices, gallery: Gallery | None
    ) -> tuple[Indices, Indices]:
        """Returns the new rows and the lost ones that they continue."""
        from scipy.optimize import linear_sum_assignment  # slow to import, and most runs know no number

        seconds = table.first_time[late][:, None] - table.last_time[lost]
        possible = seconds > TIME_TOLERANCE
        before, after = table.last_box[lost], table.last_box[late]
        distance = np.linalg.norm(_centers(after)[:, None] - _centers(before), axis=2)
        noise = self._config.measurement_noise
        cost = distance_cost(distance, np.maximum(*_sides(before)), np.maximum(seconds, 0), noise)
        if gallery is not None:
            known = (table.gallery_index[late] >= 0)[:, None] & (table.gallery_index[lost] >= 0)
            a, b = np.nonzero(known)
            vectors = gallery.get(table.gallery_index[late[a]])[0][:, 0]
            cosine = gallery.cosine_distance(table.gallery_index[lost[b]], vectors, np.arange(len(a)))
            cost[a, b] += self._config.appearance_evidence * (cosine - self._config.neutral_distance)
        rows, columns = linear_sum_assignment(np.where(possible, cost, 1e6))
        good = possible[rows, columns]
        return late[rows[good]], lost[columns[good]]

    @staticmethod
    def _hand_over(table: TrackTable, new: Indices, old: Indices) -> None:
        table.ids[new], table.first_time[new] = table.ids[old], table.first_time[old]
        table.hits[new] += table.hits[old]
        table.votes[new] += table.votes[old]
        table.ids[old] = 0


def _centers(boxes: Floats) -> Floats:
    centers: Floats = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centers


def _sides(boxes: Floats) -> tuple[Floats, Floats]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
