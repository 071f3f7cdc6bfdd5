"""A summary of the tracks of a run, in memory that does not grow with their number."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.structures.types import Tracks

LONGEST = 20  # finished tracks that are kept, the longest ones


@dataclass
class TrackSummary:
    """One track: its class, the first and last time at which it was reported, in seconds, and in how many frames."""

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
    """Counts tracks by class and keeps the longest ones.

    Attributes:
        counts: Number of tracks by class name.
    """

    def __init__(self, categories: Sequence[str], max_age: float) -> None:
        """Takes class names by label, and the seconds after which a track that is not reported cannot come back."""
        self.categories = categories
        self.max_age = max_age
        self.counts: Counter[str] = Counter()
        self._live: dict[int, TrackSummary] = {}
        self._finished: list[tuple[float, int, TrackSummary]] = []

    def add(self, time: float, tracks: Tracks) -> None:
        """Adds the tracks of one frame, `time` seconds into the source."""
        for track_id, label in zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True):
            category = self.categories[label]
            track = self._live.get(track_id)
            if track is None:
                track = self._live[track_id] = TrackSummary(track_id, category, time, time, 0)
                self.counts[category] += 1
            elif track.category != category:
                self.counts[track.category] -= 1
                self.counts[category] += 1
                track.category = category
            track.last = time
            track.frames += 1
        for track_id in [key for key, track in self._live.items() if time - track.last > self.max_age]:
            self._finish(self._live.pop(track_id))

    def longest(self) -> list[TrackSummary]:
        """Returns the tracks of the longest duration, longest first; at most `LONGEST`."""
        tracks = [track for _, _, track in self._finished] + list(self._live.values())
        return sorted(tracks, key=lambda track: (-track.duration, track.track_id))[:LONGEST]

    def _finish(self, track: TrackSummary) -> None:
        heapq.heappush(self._finished, (track.duration, -track.track_id, track))
        if len(self._finished) > LONGEST:
            heapq.heappop(self._finished)
