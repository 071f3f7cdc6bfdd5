"""The table of a run's tracks, read a part at a time, with the edits of its journal applied."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracker.data.edits.apply import apply_edits
from tracker.data.edits.columns import numbers, rows_between
from tracker.data.edits.edit import Edit
from tracker.data.edits.frame_times import FrameTable
from tracker.data.edits.journal import Journal
from tracker.errors import InputError

TRACKS = "tracks.parquet"
SUMMARY = "tracks_summary.parquet"
SEARCH_S = 60.0
"""Seconds in which the next stored frame is searched."""
ANCHORS = 8
"""Boxes of a track that an edit keeps to find it again after tracking anew."""


@dataclass(frozen=True)
class TrackRow:
    """A track of a run.

    Attributes:
        id: Its id.
        category: Name of its class, that of its last box.
        first_frame: Index of the first frame with a box of it.
        last_frame: Index of the last one.
        first_s: Time of the first one, seconds.
        last_s: Time of the last one.
        frames: Number of frames with a box of it.
        observed: Number of those in which it was detected.
        mean_score: Mean of the scores.
    """

    id: int
    category: str
    first_frame: int
    last_frame: int
    first_s: float
    last_s: float
    frames: int
    observed: int
    mean_score: float


class RunTable:
    """Reads the tracks of a run as its journal has repaired them, a part of the file at a time.

    Attributes:
        folder: The folder of the run.
        journal: Its journal.
        frame_table: The times of its frames.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the table.

        Raises:
            InputError: There is none, or it cannot be read.
        """
        self.folder = folder
        self.journal = Journal(folder)
        self._path = folder / TRACKS
        if not self._path.is_file():
            raise InputError(
                f"{folder} has no {TRACKS}: give the folder of a run that has ended, such as tracked/video"
            )
        try:
            self._metadata = pq.read_metadata(self._path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self._path, error) from None
        groups = [self._metadata.row_group(number) for number in range(self._metadata.num_row_groups)]
        statistics = [_statistics(group, self._path) for group in groups]
        self._bounds = np.array(statistics, np.float64).reshape(-1, 4)  # first and last frame, first and last time
        self.frame_table = FrameTable(folder, self._known_times)

    def window(self, first: int, stop: int, edits: Sequence[Edit] | None = None) -> pa.Table:
        """Returns the rows of the frames from `first` to before `stop`; without `edits`, those of the journal count."""
        edits = self.journal.edits() if edits is None else edits
        table = self._read(first, stop)
        return apply_edits(rows_between(table, "frame", first, stop), edits, self.frame_table.times, (first, stop))

    def parts(self, edits: Sequence[Edit] | None = None, begin: int = 0) -> Iterator[pa.Table]:
        """Yields all rows from the frame `begin` on, in order of frames, a part of the file at a time."""
        edits = self.journal.edits() if edits is None else edits
        starts = [0, *(int(first) for first in self._bounds[1:, 0])]
        end = max([int(self._bounds[-1, 1]) if len(self._bounds) else -1, *(key[0] for key in _keys(edits))]) + 1
        for first, stop in pairwise([*dict.fromkeys(starts), max(end, starts[-1] + 1)]):
            if stop > begin:
                yield self.window(max(first, begin), stop, edits)

    def frames_between(self, start: float, end: float) -> tuple[int, int]:
        """Returns the first frame of the parts of the file between two times, seconds, and the one after the last."""
        near = self._bounds[(self._bounds[:, 3] >= start) & (self._bounds[:, 2] <= end)]
        return (int(near[0, 0]), int(near[-1, 1]) + 1) if len(near) else (0, 0)

    def frame_at(self, time: float) -> int:
        """Returns the first frame that is shown at a time, seconds, or later.

        Raises:
            InputError: The run has none.
        """
        frames, times = self.frame_table.between(time, time + SEARCH_S)
        if not len(frames):
            first, stop = self.frames_between(time, np.inf)
            frames, times = self._known_times(first, min(stop, first + 100_000))
            frames, times = frames[times >= time], times[times >= time]
        if not len(frames):
            raise InputError(f"{self.folder} has no frame at {time:g} s or later")
        return int(frames[0])

    def tracks(self, edits: Sequence[Edit] | None = None) -> list[TrackRow]:
        """Returns all tracks in order of ids. Only the parts that edits touch are read, where the run has a summary."""
        edits = self.journal.edits() if edits is None else edits
        base = self._base_tracks()
        edited = set().union(*(edit.known_ids for edit in edits))
        touched = [track for track in base if track.id in edited]
        keys = _keys(edits)
        if not edits:
            return base
        first = min([track.first_frame for track in touched] + [key[0] for key in keys], default=0)
        stop = max([track.last_frame for track in touched] + [key[0] for key in keys], default=-1) + 1
        found = _Summary()
        for begin, end in self._pieces(first, stop):
            table = self._read(begin, end)
            inside = pc.and_(pc.greater_equal(table["frame"], begin), pc.less(table["frame"], end))
            chosen = pc.and_(inside, pc.is_in(table["track_id"], pa.array(sorted(edited), pa.int64())))
            found.add(apply_edits(table.filter(chosen), edits, self.frame_table.times, (begin, end)))
        rest = [track for track in base if track.id not in edited]
        return sorted([*rest, *found.rows()], key=lambda track: track.id)

    def track(self, track_id: int, edits: Sequence[Edit] | None = None) -> TrackRow:
        """Returns a track.

        Raises:
            InputError: There is none of that id.
        """
        for track in self.tracks(edits):
            if track.id == track_id:
                return track
        raise InputError(f"{self.folder} has no track {track_id}")

    def observed_frames(self, track_id: int) -> list[int]:
        """Returns the frames in which the run, before any edit, detected a track."""
        chosen = [("track_id", "==", track_id), ("observed", "==", True)]
        try:
            frames = pq.read_table(self._path, columns=["frame"], filters=chosen, partitioning=None)["frame"]
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self._path, error) from None
        return frames.to_pylist()  # type: ignore[no-any-return]

    def complete(self, edit: Edit, edits: list[Edit]) -> Edit:
        """Returns an edit with what follows from the tracks: the new id, the class, and the anchors.

        Args:
            edit: The edit as the user gave it.
            edits: Those before it that count.

        Raises:
            InputError: It does not fit the tracks.
        """
        tracks = {track.id: track for track in self.tracks(edits)}
        for one in edit.ids:
            if one not in tracks:
                raise InputError(f"there is no track {one}")
        own = tracks[edit.ids[0]]
        if edit.verb == "split" and not own.first_frame < edit.frame <= own.last_frame:
            raise InputError(
                f"track {own.id} has no frame {edit.frame} to be split at: give one from {own.first_frame + 1} to "
                f"{own.last_frame}"
            )
        if edit.verb == "swap" and edit.frame > max(tracks[one].last_frame for one in edit.ids):
            raise InputError(f"tracks {edit.ids[0]} and {edit.ids[1]} have ended before frame {edit.frame}")
        if edit.verb == "rename" and (edit.new_id < 1 or edit.new_id in self._used_ids(tracks)):
            raise InputError(f"the id {edit.new_id} is taken, or not above 0: give another one, or merge the tracks")
        changes: dict[str, Any] = {}
        if edit.verb == "split":
            changes["new_id"] = max(self._used_ids(tracks)) + 1
        if edit.verb in ("box", "merge"):
            changes["category"] = own.category
        if edit.verb == "merge":
            changes["shared"] = self._count_shared(own, tracks[edit.ids[1]], edits)
        changes["anchors"] = {str(one): self._anchors(tracks[one], edit, edits) for one in edit.ids}
        return Edit.from_json({**edit.to_json(), **changes})

    def _count_shared(self, one: TrackRow, other: TrackRow, edits: list[Edit]) -> int:
        """Returns the number of frames in which both tracks have a box."""
        first = max(one.first_frame, other.first_frame)
        stop = min(one.last_frame, other.last_frame) + 1
        count = 0
        for begin, end in self._pieces(first, stop):
            rows = self.window(begin, end, edits)
            ids, frames = rows["track_id"].to_numpy(), rows["frame"].to_numpy()
            count += len(np.intersect1d(frames[ids == one.id], frames[ids == other.id]))
        return count

    def _used_ids(self, tracks: Iterable[int]) -> set[int]:
        """Returns all ids that were ever used, also by edits that were undone."""
        ever = [entry.edit.known_ids for entry in self.journal.entries() if entry.edit]
        return {*tracks, *(track.id for track in self._base_tracks())}.union(*ever)

    def _anchors(self, track: TrackRow, edit: Edit, edits: list[Edit]) -> tuple[Any, ...]:
        """Returns some boxes of a track, spread over its life; before and after the frame of an edit that has one."""
        sides = [(track.first_frame, track.last_frame + 1)]
        if track.first_frame < edit.frame <= track.last_frame:
            sides = [(track.first_frame, edit.frame), (edit.frame, track.last_frame + 1)]
        found: list[Any] = []
        for first, stop in sides:
            count = ANCHORS // len(sides)
            for frame in np.unique(np.linspace(first, stop - 1, count).astype(int)).tolist():
                rows = self.window(frame, frame + 1, edits)
                rows = rows.filter(pc.equal(rows["track_id"], track.id)).to_pylist()
                found += [(frame, *(round(row[name], 1) for name in ("x1", "y1", "x2", "y2"))) for row in rows]
        return tuple(found)

    def _base_tracks(self) -> list[TrackRow]:
        """Returns the tracks without edits."""
        path = self.folder / SUMMARY
        if not path.is_file():
            found = _Summary()
            for table in self.parts([]):
                found.add(table)
            return found.rows()
        try:
            with pq.ParquetFile(path) as file:
                columns = file.read().to_pydict()
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from None
        names = [
            "track_id",
            "class",
            "first_frame",
            "last_frame",
            "first_s",
            "last_s",
            "frames",
            "observed",
            "mean_score",
        ]
        rows = zip(*(columns[name] for name in names), strict=True)
        return sorted((TrackRow(*row) for row in rows), key=lambda track: track.id)

    def _pieces(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yields the ranges of frames of the parts of the file in a range of frames."""
        inside = [int(start) for start in self._bounds[:, 0] if first < start < stop]
        yield from pairwise([first, *inside, stop]) if first < stop else ()

    def _read(self, first: int, stop: int) -> pa.Table:
        near = np.flatnonzero((self._bounds[:, 1] >= first) & (self._bounds[:, 0] < stop))
        try:
            with pq.ParquetFile(self._path, metadata=self._metadata) as file:
                return file.read_row_groups(near.tolist())
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self._path, error) from None

    def _known_times(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the frames with boxes that are near a range of frames, and their times."""
        table = self._read(max(0, first - 1), stop + 1) if len(self._bounds) else None
        if table is None or not len(table):
            return np.zeros(0, np.int64), np.zeros(0)
        frames, rows = np.unique(numbers(table["frame"]), return_index=True)
        return frames, numbers(table["time_s"])[rows]


class _Summary:
    """The tracks in some tables, one after the other."""

    def __init__(self) -> None:
        self._tracks: dict[int, list[Any]] = {}

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        table = table.set_column(table.column_names.index("class"), "class", table["class"].cast(pa.string()))
        table = table.append_column("seen", table["observed"].cast(pa.int64()))
        groups = table.group_by("track_id", use_threads=False).aggregate(
            [tuple(name.rsplit("_", 1)) for name in _GROUPED[1:]]
        )
        for track_id, *new in zip(*(groups[name].to_pylist() for name in _GROUPED), strict=True):
            if track_id in self._tracks:  # this table is later
                old = self._tracks[track_id]
                new[1], new[3] = old[1], old[3]
                new[5:] = [a + b for a, b in zip(old[5:], new[5:], strict=True)]
            self._tracks[track_id] = new

    def rows(self) -> list[TrackRow]:
        rows = ((one, *row[:-1], row[-1] / row[-3]) for one, row in sorted(self._tracks.items()))
        return [TrackRow(*row) for row in rows]


_GROUPED = ["track_id", "class_last", "frame_min", "frame_max", "time_s_min", "time_s_max"]
_GROUPED += ["frame_count", "seen_sum", "score_sum"]


def _keys(edits: Iterable[Edit]) -> list[Any]:
    return [key for edit in edits for key in edit.keys]


def _statistics(group: Any, path: Path) -> tuple[float, ...]:
    found: dict[str, Any] = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema in ("frame", "time_s") and column.is_stats_set:
            found[column.path_in_schema] = (column.statistics.min, column.statistics.max)
    if len(found) < 2:
        raise InputError(f"{path} is no table of tracks that this program wrote")
    return (*found["frame"], *found["time_s"])


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read: {str(error).splitlines()[0]}")
