"""The events that are seen in a live source: tracks that begin, cross lines, and end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tracker.analytics.crossings import Crossing
from tracker.analytics.live_crossings import LiveCrossings
from tracker.config import ZonesConfig
from tracker.structures.dates import format_utc
from tracker.structures.types import Frame, Tracks

TRACK_BEGAN, TRACK_ENDED, LINE_CROSSED = "track_began", "track_ended", "line_crossed"


@dataclass(frozen=True)
class TrackEvent:
    """Something that a track did.

    Attributes:
        kind: One of `TRACK_BEGAN`, `TRACK_ENDED` and `LINE_CROSSED`.
        time: When, seconds since 1970.
        text: A sentence about it.
        details: `track`, its id, and `class`; of the beginning its `box` (xyxy, pixels); of the end the `seconds` for
            which it was seen, and the date `began`; of a crossing `line`, `direction`, and the place `x`, `y` (pixels).
    """

    kind: str
    time: float
    text: str
    details: dict[str, Any]


@dataclass
class _Seen:
    category: str
    first: float  # seconds since 1970, like the next one
    last: float
    last_time: float  # seconds of the stream


class TrackEvents:
    """Follows the tracks of one source, and tells what they do.

    A track has ended when it was not seen for `max_age` seconds, after which the tracker gives its id to nothing again.

    Args:
        max_age: Seconds after which a track cannot come back, see `TrackerConfig.longest_absence`.
        zones: The lines; None for none.
        size: Width and height of the images, pixels.
    """

    def __init__(self, max_age: float, zones: ZonesConfig | None, size: tuple[int, int]) -> None:
        self._max_age = max_age
        self._crossings = LiveCrossings(zones, size) if zones else None
        self._seen: dict[int, _Seen] = {}

    def update(self, frame: Frame, tracks: Tracks, now: float) -> Iterator[TrackEvent]:
        """Yields what happened with a frame, whose moment is `now` (seconds since 1970)."""
        yield from self._end(lambda seen: frame.time - seen.last_time > self._max_age)
        for row, track_id in enumerate(tracks.ids.tolist()):
            category = tracks.categories[tracks.labels[row]]
            seen = self._seen.get(track_id)
            if seen is None:
                self._seen[track_id] = _Seen(category, now, now, frame.time)
                box = [round(float(value), 1) for value in tracks.boxes[row]]
                details = {"track": track_id, "class": category, "box": box}
                yield TrackEvent(TRACK_BEGAN, now, f"track {track_id} ({category}) began", details)
            elif tracks.observed[row]:
                seen.category, seen.last, seen.last_time = category, now, frame.time
        if self._crossings is not None:
            yield from (_crossed(found, now - frame.time) for found in self._crossings.update(frame, tracks))

    def finish(self) -> Iterator[TrackEvent]:
        """Yields the ends of all tracks, when the run has ended."""
        yield from self._end(lambda _: True)

    def _end(self, has_ended: Callable[[_Seen], bool]) -> Iterator[TrackEvent]:
        for track_id in [track_id for track_id, seen in self._seen.items() if has_ended(seen)]:
            seen = self._seen.pop(track_id)
            if self._crossings is not None:
                yield from (_crossed(found, seen.last - seen.last_time) for found in self._crossings.end([track_id]))
            seconds = round(seen.last - seen.first, 2)
            details = {"track": track_id, "class": seen.category, "seconds": seconds, "began": format_utc(seen.first)}
            text = f"track {track_id} ({seen.category}) ended after {seconds:.1f} s"
            yield TrackEvent(TRACK_ENDED, seen.last, text, details)


def _crossed(found: Crossing, start: float) -> TrackEvent:
    """Returns the event of a crossing in a stream that began at `start`, seconds since 1970."""
    details = {"track": found.track_id, "class": found.category, "line": found.line, "direction": found.direction}
    text = f"track {found.track_id} ({found.category}) crossed {found.line} ({found.direction})"
    return TrackEvent(LINE_CROSSED, start + found.time_s, text, details | {"x": found.x, "y": found.y})
