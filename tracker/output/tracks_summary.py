"""A row for each track: its class, its first and last frame and time, and sums over its boxes."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.data.text_cells import to_cell
from tracker.output.base import VideoInfo, clip_tracks
from tracker.output.tables import TableWriter
from tracker.structures.types import Frame, Tracks

SUMMARY_COLUMNS = (
    *("source", "track_id", "class", "first_frame", "last_frame", "first_s", "last_s", "seconds"),
    *("frames", "observed", "mean_score", "path_px"),
)
"""Columns of the tables that have a row for each track."""


@dataclass
class TrackTotals:
    """A track so far.

    Attributes:
        track_id: Its id.
        first_frame: Index of the first frame with a box of it.
        first_s: Time of that frame, seconds since the source's first one.
        label: Its class in the latest frame.
        last_frame: Index of the latest frame with a box of it.
        last_s: Time of that frame.
        frames: Number of frames with a box of it.
        observed: Number of those in which it was detected.
        scores: Sum of the scores.
        path_px: Sum of the distances between the centers of boxes that follow each other, pixels.
        center: Center (x, y) of the latest box, pixels.
    """

    track_id: int
    first_frame: int
    first_s: float
    label: int = 0
    last_frame: int = 0
    last_s: float = 0.0
    frames: int = 0
    observed: int = 0
    scores: float = 0.0
    path_px: float = 0.0
    center: tuple[float, float] | None = None


class TracksSummary:
    """Sums up the tracks of successive frames, as tables state them (see `clip_tracks`); memory holds live ones only.

    Attributes:
        source: Name of the source, as the tables state it.
    """

    def __init__(self, info: VideoInfo, categories: Sequence[str]) -> None:
        """Takes the source's properties, of which `max_age` tells when a track has ended, and class names by label."""
        self.source = info.name
        self._info = info
        self._categories = tuple(categories)
        self._live: dict[int, TrackTotals] = {}  # the latest ones last

    def add(self, frame: Frame, tracks: Tracks) -> list[TrackTotals]:
        """Adds the tracks of a frame, and returns those that have ended before it, in the order of their ends."""
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height, frame.fit, self._info.clip)
        centers = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
        columns = (tracks.ids, tracks.labels, tracks.scores, tracks.observed)
        for track_id, label, score, observed, (x, y) in zip(*(c.tolist() for c in columns), centers, strict=True):
            track = self._live.pop(track_id, None) or TrackTotals(track_id, frame.index, frame.time)
            self._live[track_id] = track
            track.label, track.last_frame, track.last_s = label, frame.index, frame.time
            track.frames += 1
            track.observed += observed
            track.scores += score
            if track.center is not None:
                track.path_px += math.hypot(x - track.center[0], y - track.center[1])
            track.center = x, y
        ended = []
        while self._live:
            track = next(iter(self._live.values()))
            if frame.time - track.last_s <= self._info.max_age:
                break
            ended.append(self._live.pop(track.track_id))
        return ended

    def finish(self) -> list[TrackTotals]:
        """Returns the tracks that have not ended before the last frame."""
        ended, self._live = [*self._live.values()], {}
        return ended

    def cells(self, track: TrackTotals) -> tuple[Any, ...]:
        """Returns the values of a track in the order of `SUMMARY_COLUMNS`."""
        return (
            *(self.source, track.track_id, self._categories[track.label], track.first_frame, track.last_frame),
            *(track.first_s, track.last_s, track.last_s - track.first_s, track.frames, track.observed),
            *(track.scores / track.frames, track.path_px),
        )


class SummaryCsvWriter(TableWriter):
    """Writes one row for each track as CSV, with the columns of `SUMMARY_COLUMNS`.

    A row is written once the track has not come for `max_age` seconds; the rows are in the order in which tracks end.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        super().__init__(path, info, ",".join(SUMMARY_COLUMNS) + "\n", overwrite)
        self._summary = TracksSummary(info, categories)

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        return self._format(self._summary.add(frame, tracks))

    def close(self) -> None:
        """Writes the tracks that have not ended, and closes the file."""
        if rows := self._format(self._summary.finish()):
            self._file.append(rows)
        super().close()

    def _format(self, tracks: Sequence[TrackTotals]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for track in tracks:
            cells = zip(SUMMARY_COLUMNS, self._summary.cells(track), strict=True)
            writer.writerow(_FORMATS.get(name, "{}").format(_to_text(cell)) for name, cell in cells)
        return text.getvalue()


_SECONDS = "{:.6f}"
_FORMATS = {"first_s": _SECONDS, "last_s": _SECONDS, "seconds": _SECONDS, "mean_score": "{:.4f}", "path_px": "{:.2f}"}


def _to_text(cell: Any) -> Any:
    return to_cell(cell) if isinstance(cell, str) else cell
