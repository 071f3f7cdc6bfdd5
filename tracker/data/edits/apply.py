"""The effect of edits on rows of a table of tracks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracker.data.edits.edit import Edit

FrameTimes = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Returns the times, seconds, of frames by their indices."""
_BOX = ("x1", "y1", "x2", "y2")
_NO_ROWS = np.zeros(0, np.int64)


def apply_edits(
    table: pa.Table, edits: Iterable[Edit], frame_times: FrameTimes, frames: tuple[float, float] = (0, np.inf)
) -> pa.Table:
    """Returns a table of tracks as edits change it, its rows in order of frames and, within a frame, of ids.

    Each frame changes by itself, so that the rows of some successive frames can be changed without the others.

    Args:
        table: Rows with the columns of `tracks.parquet`: all of the frames from `frames[0]` to before `frames[1]`.
        edits: The edits, in order.
        frame_times: Times of frames in which a track gets a box that it did not have.
        frames: First frame of the rows, and the frame after the last one.

    Example:
        >>> columns = {"frame": [0, 1], "time_s": [0.0, 0.1], "track_id": [1, 2], "class": ["car", "car"]}
        >>> columns |= {name: [1.0, 1.0] for name in ("score", "x1", "y1", "x2", "y2")} | {"observed": [True, True]}
        >>> table = apply_edits(pa.table(columns), [Edit("merge", (1, 2))], lambda frames: frames / 10)
        >>> table["track_id"].to_pylist()
        [1, 1]
    """
    edits = list(edits)
    if not edits:
        return table
    rows = _Rows(table, frame_times, frames)
    for edit in edits:
        rows.apply(edit)
    return rows.to_table()


class _Rows:
    """The columns of a table that edits change, and the rows of the table from which all others come."""

    def __init__(self, table: pa.Table, frame_times: FrameTimes, frames: tuple[float, float]) -> None:
        self._table = table.combine_chunks()
        self._frame_times = frame_times
        self._range = frames
        classes = self._table["class"].combine_chunks() if len(table) else pa.array([], pa.string())
        classes = classes if pa.types.is_dictionary(classes.type) else classes.dictionary_encode()
        self._names = list(classes.dictionary.to_pylist())
        self._labels = classes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        columns = {name: self._table[name].to_numpy() for name in ("frame", "time_s", "track_id", "score", "observed")}
        self._frames, self._times, self._ids, self._scores, self._observed = (np.array(c) for c in columns.values())
        self._boxes = np.stack([self._table[name].to_numpy() for name in _BOX], 1).reshape(-1, 4).astype(np.float32)
        self._origin = np.arange(len(table))  # -1 for rows that the table does not have

    def apply(self, edit: Edit) -> None:
        first, last = edit.ids[0], edit.ids[-1]
        later = self._frames >= edit.frame
        match edit.verb:
            case "merge":
                self._merge(first, last, edit.category)
            case "split":
                self._ids[(self._ids == first) & later] = edit.new_id
            case "swap":
                a, b = (self._ids == first) & later, (self._ids == last) & later
                self._ids[a], self._ids[b] = last, first
            case "rename":
                self._ids[self._ids == first] = edit.new_id
            case "class":
                self._labels[self._ids == first] = self._label(edit.category)
            case "delete":
                self._keep(self._ids != first)
            case "box":
                self._set_boxes(edit)

    def _merge(self, kept: int, other: int, category: str) -> None:
        """Gives both tracks one id; where both have a box, the observed one stays, or that of the first track."""
        a, b = (np.flatnonzero(self._ids == one) for one in (kept, other))
        _, of_a, of_b = np.intersect1d(self._frames[a], self._frames[b], return_indices=True)
        both_a, both_b = a[of_a], b[of_b]
        better = self._observed[both_b] & ~self._observed[both_a]
        self._ids[b] = kept
        if category:
            self._labels[b] = self._label(category)
        keep = np.ones(len(self._ids), np.bool_)
        keep[both_a[better]] = keep[both_b[~better]] = False
        self._keep(keep)

    def _set_boxes(self, edit: Edit) -> None:
        keys = np.array(edit.keys, np.float64)
        start, stop = max(keys[0, 0], self._range[0]), min(keys[-1, 0] + 1, self._range[1])
        frames = np.arange(int(start), int(stop)) if start < stop else _NO_ROWS
        if not len(frames):
            return
        boxes = np.stack([np.interp(frames, keys[:, 0], keys[:, n]) for n in range(1, 5)], 1)
        boxes = np.round(boxes, 2).astype(np.float32)
        is_key = np.isin(frames, keys[:, 0])
        present = np.flatnonzero(self._ids == edit.ids[0])
        _, known, rows = np.intersect1d(frames, self._frames[present], return_indices=True)
        rows = present[rows]
        self._boxes[rows], self._observed[rows] = boxes[known], is_key[known]
        new = np.setdiff1d(np.arange(len(frames)), known)
        self._append(edit, frames[new], boxes[new], is_key[new])

    def _append(self, edit: Edit, frames: NDArray[np.int64], boxes: Any, is_key: Any) -> None:
        count = len(frames)
        self._frames = np.append(self._frames, frames)
        self._times = np.append(self._times, self._frame_times(frames))
        self._ids = np.append(self._ids, np.full(count, edit.ids[0]))
        self._labels = np.append(self._labels, np.full(count, self._label(edit.category)))
        self._scores = np.append(self._scores, np.ones(count, self._scores.dtype))
        self._observed = np.append(self._observed, is_key)
        self._boxes = np.concatenate([self._boxes, boxes])
        self._origin = np.append(self._origin, np.full(count, -1))

    def _label(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        for name in ("_frames", "_times", "_ids", "_labels", "_scores", "_observed", "_boxes", "_origin"):
            setattr(self, name, getattr(self, name)[keep])

    def to_table(self) -> pa.Table:
        """Returns the rows as a table with the columns of the original one."""
        order = np.lexsort((self._ids, self._frames))
        names = pa.array(self._names, pa.string())
        columns: dict[str, Any] = {
            "frame": self._frames[order],
            "time_s": self._times[order],
            "track_id": self._ids[order],
            "class": pa.DictionaryArray.from_arrays(pa.array(self._labels[order], pa.int32()), names),
            "score": self._scores[order],
            **{name: np.ascontiguousarray(self._boxes[order, n]) for n, name in enumerate(_BOX)},
            "observed": self._observed[order],
        }
        origin = self._origin[order]
        taken = pa.array(origin, mask=origin < 0)
        for name in self._table.column_names:
            if name not in columns:
                columns[name] = self._table[name].take(taken)
        return pa.table({name: columns[name] for name in self._table.column_names})
