"""Tables of ours: the tracks of a run, and the detections that a run stored."""

import csv
from dataclasses import replace
from math import isfinite, nan
from pathlib import Path
from typing import TextIO

import numpy as np

from tracker.data.detections.rows import RowReader, TableInfo, stored_from
from tracker.data.detections.seqinfo import sequence_of, unknown_sequence
from tracker.data.detections.stored_detections import StoredDetections
from tracker.errors import InputError

NEEDED = ("frame", "class", "score", "x1", "y1", "x2", "y2")
MOST_CLASSES = 100_000
"""Labels from here on are taken for mistakes, as there is a name for each label below them."""

NO_BOX = (0.0, 0.0, 0.0, 0.0)


def read_table(file: TextIO, path: Path, fps: float) -> StoredDetections:
    """Reads a CSV with a header; columns may stand in any order, and further ones are not looked at.

    frame (from 0), class, score, x1, y1, x2, y2 (pixels) are needed. With time_s frames have the times that the table
    states. Rows whose `observed` is 0 are no detections, nor are those without a class: they only name a frame. A table
    with width and height, such as a run stores, names all its frames; of any other, such as the tracks of a run, the
    frames between those that it names hold nothing, and where all are multiples of a number apart (a run with
    --every), so are they.

    Args:
        file: The opened file.
        path: Its name.
        fps: Frame rate where there is no time_s, frames per second.

    Raises:
        InputError: A column is missing or a row is broken; says which line.
    """
    table = csv.reader(file)
    header = [name.strip() for name in next(table)]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}: detections need {', '.join(NEEDED)}, and best time_s")
    sequence = sequence_of(path, fps) if "time_s" not in header else unknown_sequence(path, fps)
    complete = {"width", "height"} <= set(header)
    rows = _Table(
        header, TableInfo(path, sequence.name, (), sequence.frame_rate, complete=complete, sparse=not complete)
    )
    for row in table:
        if row:
            rows.add(table.line_num, row)
    return rows.stored()


class _Table:
    """Reads the rows of one table."""

    def __init__(self, header: list[str], about: TableInfo) -> None:
        self._header = header
        self._column = {name: n for n, name in enumerate(header)}
        self._about = about
        self._place = 1
        self._size: list[tuple[int, int]] = []
        self._labels: dict[str, int] = {}
        self._reader = RowReader()

    def stored(self) -> StoredDetections:
        """What was added. Raises as `stored_from`."""
        rows = self._reader.rows()
        names = tuple(self._labels)
        if "label" in self._column:
            names = self._numbered()
        else:
            # By name, since their order in the file must not matter.
            ranks = np.argsort(np.argsort(names)) if names else np.zeros(0, np.int64)
            rows.labels[rows.labels >= 0] = ranks[rows.labels[rows.labels >= 0]]
            names = tuple(sorted(names))
        width, height = self._size[0] if self._size else (0, 0)
        return stored_from(rows, replace(self._about, categories=names, width=width, height=height))

    def add(self, place: int, row: list[str]) -> None:
        """Takes the row of a line. Raises as `read_table`."""
        self._place = place
        if len(row) != len(self._header):
            raise self._error(f"{len(row)} columns, where the header has {len(self._header)}")
        frame = self._whole(row, "frame")
        time = nan
        if "time_s" in self._column and not isfinite(time := self._real(row, "time_s")):
            raise self._error("the time must be a finite number")
        self._note_size(row)
        name = row[self._column["class"]]
        if not name or ("observed" in self._column and row[self._column["observed"]].strip() == "0"):
            self._reader.add(self._place, frame, time, NO_BOX, 0.0, -1)
            return
        box = [self._real(row, corner) for corner in ("x1", "y1", "x2", "y2")]
        self._reader.add(self._place, frame, time, box, self._real(row, "score"), self._label(row, name))

    def _label(self, row: list[str], name: str) -> int:
        if "label" not in self._column:
            return self._labels.setdefault(name, len(self._labels))
        label = self._whole(row, "label")
        if not 0 <= label < MOST_CLASSES or self._labels.setdefault(name, label) != label:
            raise self._error(f"the class {name!r} cannot have the label {label}")
        return label

    def _numbered(self) -> tuple[str, ...]:
        """The names by the labels that the table states; labels that it does not use have their number for a name."""
        names = [f"class {n}" for n in range(max(self._labels.values(), default=-1) + 1)]
        for name, label in self._labels.items():
            names[label] = name
        if not set(self._labels) <= set(names):
            raise InputError(f"{self._about.path}: two classes have the same label; mend it")
        return tuple(names)

    def _note_size(self, row: list[str]) -> None:
        if not self._about.complete:
            return
        size = self._whole(row, "width"), self._whole(row, "height")
        if not self._size:
            self._size.append(size)
        if size != self._size[0] or min(size) < 0:
            raise self._error(f"pictures of {size[0]}x{size[1]} pixels, where others are of another size")

    def _whole(self, row: list[str], name: str) -> int:
        text = row[self._column[name]]
        try:
            return int(text)
        except ValueError:
            raise self._error(f"{name} is {text!r} and no whole number") from None

    def _real(self, row: list[str], name: str) -> float:
        text = row[self._column[name]]
        try:
            return float(text)
        except ValueError:
            raise self._error(f"{name} is {text!r} and no number") from None

    def _error(self, why: str) -> InputError:
        return InputError(f"{self._about.path}, line {self._place}: {why}; mend or remove it")
