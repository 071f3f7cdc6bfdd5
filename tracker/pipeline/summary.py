"""Who was seen for how long: a run's tracks in a space that does not grow with their number."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.structures.types import Tracks

LONGEST = 20  # finished tracks that are remembered, the longest ones


@dataclass
class TrackSummary:
    """One track: its class, the first and last time that it was reported, in seconds, and in how many frames."""

    track_id: int
    category: str
    first: float
    last: float
    frames: int

    @property
    def duration(self) -> float:
        """Seconds from the first to the last report."""
        return self.last - self.first


class Summary:
    """Counts tracks by class and remembers the longest ones.

    Attributes:
        counts: Tracks by class name.
    """

    def __init__(self, categories: Sequence[str], max_age: float) -> None:
        """Takes class names by label, and the seconds after which a track that is not seen cannot come back."""
        self.categories = categories
        self.max_age = max_age
        self.counts: Counter[str] = Counter()
        self._live: dict[int, TrackSummary] = {}
        self._finished: list[tuple[float, int, TrackSummary]] = []

    def add(self, time: float, tracks: Tracks) -> None:
        """Takes the tracks of one frame, `time` seconds into the source."""
        for track_id, label in zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True):
            category = self.categories[label]
            seen = self._live.get(track_id)
            if seen is None:
                seen = self._live[track_id] = TrackSummary(track_id, category, time, time, 0)
                self.counts[category] += 1
            elif seen.category != category:
                self.counts[seen.category] -= 1
                self.counts[category] += 1
                seen.category = category
            seen.last = time
            seen.frames += 1
        for track_id in [key for key, seen in self._live.items() if time - seen.last > self.max_age]:
            self._finish(self._live.pop(track_id))

    def longest(self) -> list[TrackSummary]:
        """The tracks that were seen for longest, longest first; at most `LONGEST`."""
        everyone = [seen for _, _, seen in self._finished] + list(self._live.values())
        return sorted(everyone, key=lambda seen: (-seen.duration, seen.track_id))[:LONGEST]

    def _finish(self, seen: TrackSummary) -> None:
        heapq.heappush(self._finished, (seen.duration, -seen.track_id, seen))
        if len(self._finished) > LONGEST:
            heapq.heappop(self._finished)
