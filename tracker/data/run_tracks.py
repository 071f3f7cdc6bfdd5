"""The final tracks of a run, read from the tables in its folder, as its journal has repaired them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracker.data.edits import RunTable
from tracker.data.store import RECORD
from tracker.errors import InputError
from tracker.parsing import read_json
from tracker.structures.types import Frame, Tracks

TRACKS = "tracks.parquet"
_COLUMNS = ["frame", "time_s", "track_id", "class", "score", "x1", "y1", "x2", "y2", "observed"]


@dataclass(frozen=True, eq=False)
class RunTracks:
    """The boxes of all tracks of a run: R rows in order of frames.

    Attributes:
        folder: The folder of the run.
        frames: int64 (R,), index of the frame in the source.
        times: float64 (R,), seconds since the source's first frame.
        ids: int64 (R,), the tracks.
        labels: int64 (R,), indices into `categories`.
        scores: float32 (R,).
        boxes: float64 (R, 4), xyxy in pixels of the upright image.
        observed: bool (R,), False where the box is predicted.
        categories: Names of classes by label.
        width: Of the images, pixels; 0 where it is unknown.
        height: As `width`.
        record: The content of run.json.
    """

    folder: Path
    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float64]
    observed: NDArray[np.bool_]
    categories: tuple[str, ...]
    width: int
    height: int
    record: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def source(self) -> dict[str, Any]:
        """The entry `source` of the record; empty without one."""
        return dict(self.record.get("source") or {})

    @property
    def frame_rate(self) -> Fraction:
        """Average frames per second of the source; 30 where it is unknown."""
        return _fraction(self.source.get("frame_rate"), Fraction(30))

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "RunTracks":
        """Returns some of the rows."""
        names = ("frames", "times", "ids", "labels", "scores", "boxes", "observed")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def of_classes(self, classes: Sequence[str]) -> "RunTracks":
        """Returns the rows of some classes, all without any.

        Raises:
            InputError: No track is of one of these classes.
        """
        present = [self.categories[label] for label in np.unique(self.labels)]
        if unknown := [name for name in classes if name not in present]:
            raise InputError(f"{self.folder} has no tracks of the class {unknown[0]!r}; it has: {', '.join(present)}")
        wanted = [label for label, name in enumerate(self.categories) if name in classes]
        return self.select(np.isin(self.labels, wanted)) if classes else self

    def by_track(self) -> Iterator["RunTracks"]:
        """Yields the rows of each track, in order of ids; within a track in order of frames."""
        order = np.lexsort((self.frames, self.ids))
        starts = np.flatnonzero(np.diff(self.ids[order], prepend=np.int64(-1)))
        for rows in np.split(order, starts[1:]) if len(order) else ():
            yield self.select(rows)

    def by_frame(self) -> Iterator[tuple[Frame, Tracks]]:
        """Yields each frame that has tracks, without its image, and its tracks, as writers of results take them."""
        starts = np.flatnonzero(np.diff(self.frames, prepend=np.int64(-1)))
        blank = np.zeros((0, 0, 3), np.uint8)
        for begin, end in zip(starts, [*starts[1:], len(self)], strict=True):
            rows = slice(begin, end)
            frame, time = int(self.frames[begin]), float(self.times[begin])
            yield Frame(frame, time, frame, blank), self._tracks(rows)

    def _tracks(self, rows: slice) -> Tracks:
        count = len(self.ids[rows])
        return Tracks(
            ids=self.ids[rows],
            boxes=self.boxes[rows].astype(np.float32),
            scores=self.scores[rows],
            labels=self.labels[rows],
            velocities=np.zeros((count, 2), np.float32),
            ages=np.zeros(count, np.float32),
            observed=self.observed[rows],
            detection_index=np.full(count, -1, np.int64),
        )


def read_run_tracks(folder: str | Path) -> RunTracks:
    """Reads the tracks of the run in a folder, with its repairs (`track edit`).

    Raises:
        InputError: It is not the folder of a run, the run has not finished, or its table cannot be read.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        what = "is no folder of a run" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}: give one that `track VIDEO` wrote, such as tracked/video")
    record = read_json(folder / RECORD, "the record of a run")
    path = folder / TRACKS
    if not path.is_file() and isinstance(record, dict) and (known := record.get("segments")):
        raise InputError(
            f"{folder} is written in segments: give one of its folders, such as {folder / known['latest']}"
        )
    if not path.is_file():
        raise InputError(f"{folder} has no {TRACKS} (the run is not finished): finish it by `track --resume {folder}`")
    table = pa.concat_tables([_with_texts(part.select(_COLUMNS)) for part in RunTable(folder).parts()])
    return _from_table(folder, table, record if isinstance(record, dict) else {})


def _with_texts(part: pa.Table) -> pa.Table:
    """Returns a part of a table whose classes are texts, since each part has a dictionary of its own."""
    return part.set_column(part.column_names.index("class"), "class", part["class"].cast(pa.string()))


def _from_table(folder: Path, table: pa.Table, record: dict[str, Any]) -> RunTracks:
    table = table.combine_chunks()
    classes = pc.dictionary_encode(table["class"].cast(pa.string())).combine_chunks()
    categories = tuple(classes.dictionary.to_pylist()) if len(table) else ()
    labels = classes.indices.to_numpy(zero_copy_only=False) if len(table) else np.zeros(0)
    columns = {name: table[name].to_numpy() for name in _COLUMNS if name != "class"}
    source = record.get("source") or {}
    return RunTracks(
        folder=folder,
        frames=columns["frame"].astype(np.int64),
        times=columns["time_s"].astype(np.float64),
        ids=columns["track_id"].astype(np.int64),
        labels=labels.astype(np.int64),
        scores=columns["score"].astype(np.float32),
        boxes=np.stack([columns[name] for name in ("x1", "y1", "x2", "y2")], 1).astype(np.float64),
        observed=columns["observed"].astype(np.bool_),
        categories=categories,
        width=int(source.get("width") or 0),
        height=int(source.get("height") or 0),
        record=record,
    )


def _fraction(value: Any, default: Fraction) -> Fraction:
    try:
        return Fraction(str(value)) or default
    except (ValueError, ZeroDivisionError):
        return default
