"""Reading of the detections that a run has stored."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracker.data.store.schema import StoreInfo
from tracker.data.store.stored_frame import StoredFrame
from tracker.errors import InputError
from tracker.parsing import read_json
from tracker.structures.fit import Fit
from tracker.structures.types import Detections

FOLDER = "detections"
RECORD = "run.json"
_NAME = re.compile(r"part-\d{8,}\.parquet")


def find_stored_run(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """Returns the folder with the stored detections of a run: its own, or that of the run that it tracked again.

    Args:
        folder: The folder of the run.
        record: The content of its run.json, which names the other folder; that is also looked for beside this one.
    """
    if has_parts(folder):
        return folder
    described = record.get("detections")
    named = described.get("folder") if isinstance(described, dict) else None
    places = (Path(str(named)), folder.parent / Path(str(named)).name) if named else ()
    return next(filter(has_parts, places), None)


def read_source_run(folder: Path, record: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Returns folder and record of the run that read the source: this one, or the one whose detections it tracked.

    Args:
        folder: The folder of the run.
        record: The content of its run.json.

    Raises:
        InputError: The record of the run that it tracked again cannot be read.
    """
    if (record.get("source") or {}).get("path"):
        return folder, record
    origin = find_stored_run(folder, record)
    if origin is None or not (origin / RECORD).is_file():
        return folder, record
    return origin, dict(read_json(origin / RECORD, "the record of a run"))


def has_parts(folder: Path) -> bool:
    """Checks whether a folder is that of a run with stored detections."""
    return bool(part_paths(folder))


def part_paths(folder: Path) -> list[Path]:
    """Returns the files of the stored detections of the run in a folder, in order of time."""
    try:
        return sorted(path for path in (folder / FOLDER).iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


class PartReader:
    """Reads stored frames in order, one part in memory at a time.

    Attributes:
        paths: The parts.
        info: Properties of the run.
        complete_until: Index of the last frame in the parts that need not be written again; -1 without any.
    """

    def __init__(self, folder: Path) -> None:
        """Looks at the parts of the run in a folder.

        Raises:
            InputError: There are none, or one cannot be read.
        """
        self.paths = part_paths(folder)
        if not self.paths:
            raise InputError(f"{folder} has no stored detections: give the folder of a run that stored them")
        self.info, last = _read_info(self.paths[-1])
        self.last_frame = int(last["last_frame"])
        self.complete_until = self.last_frame if last["complete"] else int(last["first_frame"]) - 1
        self._frames = self.frames()
        self._next: StoredFrame | None = next(self._frames, None)

    def frames(self) -> Iterator[StoredFrame]:
        """Yields all stored frames.

        Raises:
            InputError: A part cannot be read, or is of another run than the last one.
        """
        for path in self.paths:
            yield from _read_part(path, self.info)

    def frames_backward(self) -> Iterator[StoredFrame]:
        """Yields all stored frames from the last to the first; errors are those of `frames`."""
        for path in reversed(self.paths):
            yield from reversed(list(_read_part(path, self.info)))

    def read_columns(self, names: list[str]) -> pa.Table:
        """Returns some columns of all parts.

        Raises:
            InputError: See `frames`.
        """
        return pa.concat_tables([_read_table(path, self.info, names)[0] for path in self.paths])

    @property
    def is_at_end(self) -> bool:
        """True if `find` has come to the end of the stored frames."""
        return self._next is None

    def find(self, index: int) -> StoredFrame | None:
        """Returns a frame, None if it is not stored; the indices of successive calls ascend."""
        while self._next is not None and self._next.index < index:
            self._next = next(self._frames, None)
        return self._next if self._next is not None and self._next.index == index else None


def _read_info(path: Path) -> tuple[StoreInfo, dict[str, Any]]:
    try:
        return StoreInfo.from_metadata(pq.read_schema(path).metadata, path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _read_table(path: Path, expected: StoreInfo, columns: list[str] | None = None) -> tuple[pa.Table, dict[str, Any]]:
    try:
        table = pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    info, more = StoreInfo.from_metadata(table.schema.metadata, path)
    if info != expected:
        raise InputError(f"{path} is of another run than the other parts in its folder: remove the folder")
    return table, more


def _read_part(path: Path, info: StoreInfo) -> Iterator[StoredFrame]:
    table, more = _read_table(path, info)
    frames: NDArray[np.int64] = table["frame"].to_numpy()
    starts = np.flatnonzero(np.diff(frames, prepend=frames[0] - 1))
    columns = _Columns(table, info)
    pts, times, ran = (table[name].to_numpy() for name in ("pts", "time_s", "detector_ran"))
    for start, end in zip(starts, np.append(starts[1:], len(frames)), strict=True):
        index = int(frames[start])
        fit = more["fits"].get(str(index))
        yield StoredFrame(
            index,
            int(pts[start]),
            float(times[start]),
            *columns.rows(int(start), int(end)),
            detector_ran=bool(ran[start]),
            fit=None if fit is None else Fit(*fit),
        )


class _Columns:
    """The columns of the detections of a part as arrays."""

    def __init__(self, table: pa.Table, info: StoreInfo) -> None:
        self._is_box = table["label"].is_valid().to_numpy()
        self._labels = table["label"].fill_null(0).to_numpy().astype(np.int64)
        self._scores = table["score"].fill_null(0).to_numpy().astype(np.float32)
        self._boxes = np.stack([table[name].fill_null(0).to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
        size = info.mask_size
        self._embeddings = _matrix(table, "embedding", info.embedding_size).astype(np.float32)
        self._class_probs = _matrix(table, "class_probs", len(info.fine_categories)).astype(np.float32)
        self._masks = _matrix(table, "mask", size**2).astype(np.uint8).reshape(-1, size, size) if size else None

    def rows(self, start: int, end: int) -> tuple[Detections, NDArray[np.float32], NDArray[np.float32]]:
        """Returns the detections in some rows, their embeddings and their class probabilities."""
        end = end if self._is_box[start] else start
        data = {} if self._masks is None else {"masks": self._masks[start:end]}
        detections = Detections(self._boxes[start:end], self._scores[start:end], self._labels[start:end], data)
        return detections, self._embeddings[start:end], self._class_probs[start:end]


def _matrix(table: pa.Table, name: str, width: int) -> NDArray[Any]:
    """Returns a column of lists as (rows, width); zeros where it is null."""
    if name not in table.column_names:
        return np.zeros((len(table), 0), np.float32)
    column = table[name].combine_chunks()
    values = column.values  # null in the rows that are null
    if not pa.types.is_float16(values.type):  # which Arrow cannot fill, and has NaN
        values = values.fill_null(0)
    matrix: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(table), width)
    return matrix


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return InputError(f"{path} cannot be read ({reason}): remove it, and the run is resumed from before it")
