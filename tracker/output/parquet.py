"""Writers of tracks as Parquet files: a row for each box, and a row for each track."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracker.data.files import create_temporary, move_file, remove_file, sync
from tracker.output.base import ResultWriter, VideoInfo, clip_tracks, open_error, write_error
from tracker.output.tables import DATE_COLUMN
from tracker.output.tracks_summary import SUMMARY_COLUMNS, TracksSummary, TrackTotals
from tracker.structures.types import Frame, Tracks

GROUP_SECONDS = 60
"""Seconds of the source in a row group: a minute is read without the rest of the file."""
_TEXT = pa.dictionary(pa.int32(), pa.string())
_FINE_COLUMNS = [("fine_class", pa.string()), ("fine_score", pa.float32())]
_EMBEDDING_COLUMN = ("embedding", pa.list_(pa.float32()))
_BOX_COLUMNS = [
    ("frame", pa.int64()),
    ("time_s", pa.float64()),
    ("track_id", pa.int64()),
    ("class", _TEXT),
    ("score", pa.float32()),
    *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
    ("observed", pa.bool_()),
]
_DATE_COLUMN = ("datetime", pa.timestamp("us", tz="UTC"))
_TYPES = {  # of the columns of a summary that are numbers
    **dict.fromkeys(("track_id", "first_frame", "last_frame", "frames", "observed"), pa.int64()),
    **dict.fromkeys(("first_s", "last_s", "seconds"), pa.float64()),
    **dict.fromkeys(("mean_score", "path_px"), pa.float32()),
}


class ParquetWriter(ResultWriter):
    """Writes row groups of a minute to a hidden file, which gets its name when it is complete."""

    def __init__(
        self,
        path: Path,
        columns: list[tuple[str, pa.DataType]],
        info: VideoInfo,
        categories: Sequence[str],
        overwrite: bool = True,
    ) -> None:
        """Creates the hidden file.

        Raises:
            InputError: It cannot be created, or `path` exists and may not be replaced.
        """
        self.path = path
        self._overwrite = overwrite
        self._columns = columns
        self._info = info
        self._categories = pa.array(categories, pa.string())
        self._group = 0
        try:
            if os.path.lexists(path) and not overwrite:
                raise FileExistsError
            self._temporary: Path | None = create_temporary(path)
        except OSError as error:
            raise open_error(path, error) from None
        options: dict[str, Any] = {"compression": "zstd", "use_dictionary": True, "write_page_index": True}
        self._writer = pq.ParquetWriter(self._temporary, pa.schema(columns), **options)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        group = int(frame.time // GROUP_SECONDS)
        if group != self._group:
            self._write_group()
        self._group = group
        self._add(frame, tracks)

    def close(self) -> None:
        """Completes the file and gives it its name."""
        if self._temporary is None:
            return
        self._finish()
        self._write_group()
        temporary, self._temporary = self._temporary, None
        try:
            self._writer.close()
            sync(temporary)
            move_file(temporary, self.path, self._overwrite)
        except OSError as error:
            remove_file(temporary)
            raise write_error(self.path, error, "nothing of it is kept") from None

    @abstractmethod
    def _add(self, frame: Frame, tracks: Tracks) -> None:
        """Takes the tracks of a frame."""

    @abstractmethod
    def _take(self) -> dict[str, pa.Array]:
        """Returns the columns of the rows that have come since the last call; none for no rows."""

    def _finish(self) -> None:
        """Called before the last rows are taken."""

    def _write_group(self) -> None:
        if self._temporary is None:
            return
        if columns := self._take():
            try:
                self._writer.write_table(pa.table(columns, pa.schema(self._columns)))
            except OSError as error:
                temporary, self._temporary = self._temporary, None
                with suppress(OSError):
                    self._writer.close()
                remove_file(temporary)
                raise write_error(self.path, error, "nothing of it is kept") from None

    def _class_column(self, labels: Any) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(labels, pa.int32()), self._categories)


class TracksParquetWriter(ParquetWriter):
    """Writes the columns of `CsvWriter` with their types, one row for each track in each frame.

    The rows are in the order of time, and a row group holds a minute, so that a minute of a long file is read alone.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> info = VideoInfo("clip", 64, 48, Fraction(1, 25), Fraction(25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     TracksParquetWriter(Path(folder, "tracks.parquet"), info, ["person"]).close()
        ...     pq.read_table(Path(folder, "tracks.parquet")).column_names[:3]
        ['frame', 'time_s', 'track_id']
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        fine = _FINE_COLUMNS if info.has_fine_classes else []
        dates = [_DATE_COLUMN] if info.has_dates else []
        embedding = [_EMBEDDING_COLUMN] if info.has_embeddings else []
        start = info.start_time
        # With a time zone in UTC, since Parquet keeps no other one.
        self._clock = pa.timestamp("us", "UTC" if start is not None and start.tzinfo is not None else None)
        clock = [] if start is None else [(DATE_COLUMN, self._clock)]
        super().__init__(path, [*_BOX_COLUMNS, *fine, *dates, *embedding, *clock], info, categories, overwrite)
        self._frames: list[tuple[int, float, float, Tracks, Any]] = []

    def _add(self, frame: Frame, tracks: Tracks) -> None:
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height, frame.fit, self._info.clip)
        if len(tracks):
            self._frames.append((frame.index, frame.time, frame.unix_time or 0.0, tracks, boxes))

    def _take(self) -> dict[str, pa.Array]:
        frames, self._frames = self._frames, []
        if not frames:
            return {}
        indices, times, unix_times, tracks, boxes = zip(*frames, strict=True)
        counts = [len(one) for one in tracks]
        corners = np.concatenate(boxes).astype(np.float32)

        def joined(name: str) -> Any:
            return np.concatenate([getattr(one, name) for one in tracks])

        columns = {
            "frame": pa.array(np.repeat(np.array(indices), counts)),
            "time_s": pa.array(np.repeat(np.array(times), counts)),
            "track_id": pa.array(joined("ids")),
            "class": self._class_column(joined("labels")),
            "score": pa.array(joined("scores")),
            **{name: pa.array(np.ascontiguousarray(corners[:, n])) for n, name in enumerate(("x1", "y1", "x2", "y2"))},
            "observed": pa.array(joined("observed")),
        }
        if self._info.has_fine_classes:
            names = [name or None for one in tracks for name in _fine(one, "fine_classes", "")]
            scores = np.concatenate([_fine(one, "fine_scores", 0.0) for one in tracks]).astype(np.float32)
            columns["fine_class"] = pa.array(names, pa.string())
            columns["fine_score"] = pa.array(scores, mask=np.array([name is None for name in names]))
        if self._info.has_embeddings:
            rows = [row for one in tracks for row in _embedding_rows(one)]
            columns["embedding"] = pa.array(rows, _EMBEDDING_COLUMN[1])
        if self._info.has_dates:
            microseconds = np.rint(np.repeat(np.array(unix_times), counts) * 1e6).astype(np.int64)
            columns["datetime"] = pa.array(microseconds).cast(_DATE_COLUMN[1])
        elif self._info.start_time is not None:
            columns[DATE_COLUMN] = self._datetimes(np.repeat(np.array(times), counts))
        return columns

    def _datetimes(self, seconds: Any) -> pa.Array:
        """Returns the date and time of frames, by their times in the source."""
        start = self._info.start_time
        assert start is not None
        first = np.datetime64(start.astimezone(UTC).replace(tzinfo=None) if start.tzinfo else start, "us")
        return pa.array(first + np.rint(seconds * 1e6).astype("timedelta64[us]")).cast(self._clock)


class SummaryParquetWriter(ParquetWriter):
    """Writes one row for each track, with the columns of `SUMMARY_COLUMNS` and their types.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> info = VideoInfo("clip", 64, 48, Fraction(1, 25), Fraction(25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     SummaryParquetWriter(Path(folder, "tracks_summary.parquet"), info, ["person"]).close()
        ...     pq.read_table(Path(folder, "tracks_summary.parquet")).num_rows
        0
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        columns = [(name, _TYPES.get(name, _TEXT)) for name in SUMMARY_COLUMNS]
        super().__init__(path, columns, info, categories, overwrite)
        self._summary = TracksSummary(info, categories)
        self._rows: list[TrackTotals] = []

    def _add(self, frame: Frame, tracks: Tracks) -> None:
        self._rows += self._summary.add(frame, tracks)

    def _finish(self) -> None:
        self._rows += self._summary.finish()

    def _take(self) -> dict[str, pa.Array]:
        rows, self._rows = self._rows, []
        if not rows:
            return {}
        source = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), [self._summary.source])
        columns = dict(zip(SUMMARY_COLUMNS, zip(*(self._summary.cells(row) for row in rows), strict=True), strict=True))
        arrays = {name: pa.array(columns[name], kind) for name, kind in _TYPES.items()}
        return {**arrays, "source": source, "class": self._class_column([row.label for row in rows])}


def _embedding_rows(tracks: Tracks) -> list[Any]:
    """Returns the embedding of each track, None where it has none."""
    embeddings = tracks.data.get("embeddings")
    if embeddings is None:
        return [None] * len(tracks)
    return [row if row.any() else None for row in embeddings]


def _fine(tracks: Tracks, name: str, default: Any) -> Any:
    return tracks.data[name] if name in tracks.data else np.full(len(tracks), default)
