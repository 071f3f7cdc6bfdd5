"""Detections from the CSV tables that `track` writes: the tracks of a run, and its stored detections."""

from dataclasses import replace
from math import isfinite, nan
from pathlib import Path

import numpy as np

from tracker.data.detections.rows import TableBuilder, TableInfo, to_stored_detections
from tracker.data.detections.seqinfo import default_seqinfo, read_seqinfo
from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.source_column import choose_source, sequence_of, source_of
from tracker.data.text_cells import from_cell
from tracker.errors import InputError
from tracker.parsing import iter_csv_rows

REQUIRED_COLUMNS = ("frame", "class", "score", "x1", "y1", "x2", "y2")
MAX_CLASSES = 100_000
"""Labels from here on are refused as mistakes, since every label below them gets a name."""

_DELIMITERS = (",", ";", "\t")
NO_BOX = (0.0, 0.0, 0.0, 0.0)


def find_delimiter(text: str) -> str:
    """Returns what separates the columns of a CSV by its header, a comma, semicolon or tab; "" if it is no such CSV."""
    header = text.splitlines()[0]
    names = {sign: [name.strip(' "') for name in header.split(sign)] for sign in _DELIMITERS}
    return next((sign for sign in _DELIMITERS if "frame" in names[sign] and len(names[sign]) > 1), "")


def read_csv_detections(path: Path, fps: float, delimiter: str = ",", source: str = "") -> StoredDetections:
    """Reads a CSV with a header; columns may stand in any order, and unknown ones are ignored.

    `REQUIRED_COLUMNS` must be there; frames count from 0, boxes are in pixels. With the column time_s, frames have the
    times that it states. Rows whose `observed` is 0 are no detections, nor are those without a class: they only name a
    frame. A table with width and height, such as a run stores, names all its frames. In any other, such as the tracks
    of a run, frames that are not named have no detections; where the named ones are all multiples of a number apart (a
    run with --every), so are the frames of the sequence. Where there is no time_s, there are `fps` frames per second.
    In a file that a spreadsheet wrote with another delimiter, numbers may have a decimal comma. Of a table of several
    sources (with a column source), the rows of one are read.

    Raises:
        InputError: A column is missing, a row is malformed (says which line), or it is not clear which source to read.
    """
    table = iter_csv_rows(path, "a CSV of detections", delimiter)
    header = [name.strip() for name in next(table, (1, []))[1]]
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        columns = ", ".join(REQUIRED_COLUMNS)
        raise InputError(f"{path} lacks the column {missing[0]}: detections need {columns}, and best time_s")
    sequence = read_seqinfo(path, fps) if "time_s" not in header else default_seqinfo(path, fps)
    has_all = {"width", "height"} <= set(header)
    info = TableInfo(path, sequence.name, (), sequence.frame_rate, covers_all_frames=has_all, sparse=not has_all)
    by_source: dict[str, _Rows] = {}
    for line, row in table:
        name = source_of(row, header)
        if name not in by_source:
            by_source[name] = _Rows(header, replace(info, name=sequence_of(name) or info.name), delimiter != ",")
        by_source[name].add(line, row)
    if not by_source:
        raise InputError(f"{path} holds no rows: give a file of detections")
    return by_source[choose_source(list(by_source), source, path)].stored_detections()


class _Rows:
    """Parses the rows of one table."""

    def __init__(self, header: list[str], info: TableInfo, has_decimal_commas: bool) -> None:
        self._header = header
        self._has_decimal_commas = has_decimal_commas
        self._column = {name: n for n, name in enumerate(header)}
        self._info = info
        self._line = 1
        self._size: tuple[int, int] | None = None
        self._labels: dict[str, int] = {}
        self._table = TableBuilder()

    def stored_detections(self) -> StoredDetections:
        table = self._table.build()
        names = tuple(self._labels)
        if "label" in self._column:
            names = self._names_by_label()
        else:
            # By name, since their order in the file must not matter.
            ranks = np.argsort(np.argsort(names)) if names else np.zeros(0, np.int64)
            table.labels[table.labels >= 0] = ranks[table.labels[table.labels >= 0]]
            names = tuple(sorted(names))
        width, height = self._size or (0, 0)
        return to_stored_detections(table, replace(self._info, categories=names, width=width, height=height))

    def add(self, line: int, row: list[str]) -> None:
        self._line = line
        if len(row) != len(self._header):
            raise self._error(f"{len(row)} columns, where the header has {len(self._header)}")
        frame = self._integer(row, "frame")
        time = nan
        if "time_s" in self._column and not isfinite(time := self._number(row, "time_s")):
            raise self._error("the time must be a finite number")
        self._check_size(row)
        name = from_cell(row[self._column["class"]])
        if not name or ("observed" in self._column and row[self._column["observed"]].strip() == "0"):
            self._table.add(line, frame, time, NO_BOX, 0.0, -1)
            return
        box = [self._number(row, corner) for corner in ("x1", "y1", "x2", "y2")]
        self._table.add(line, frame, time, box, self._number(row, "score"), self._label(row, name))

    def _label(self, row: list[str], name: str) -> int:
        if "label" not in self._column:
            return self._labels.setdefault(name, len(self._labels))
        label = self._integer(row, "label")
        if not 0 <= label < MAX_CLASSES or self._labels.setdefault(name, label) != label:
            raise self._error(f"the class {name!r} cannot have the label {label}")
        return label

    def _names_by_label(self) -> tuple[str, ...]:
        """Returns class names by the labels that the table states; a label that it does not use is named by number."""
        names = [f"class {n}" for n in range(max(self._labels.values(), default=-1) + 1)]
        for name, label in self._labels.items():
            names[label] = name
        if not set(self._labels) <= set(names):
            raise InputError(f"{self._info.path}: two classes have the same label; mend it")
        return tuple(names)

    def _check_size(self, row: list[str]) -> None:
        if not self._info.covers_all_frames:
            return
        size = self._integer(row, "width"), self._integer(row, "height")
        self._size = self._size or size
        if size != self._size or min(size) < 0:
            raise self._error(f"an image of {size[0]}x{size[1]} pixels, where others are of another size")

    def _integer(self, row: list[str], name: str) -> int:
        text = row[self._column[name]]
        try:
            return int(text)
        except ValueError:
            raise self._error(f"{name} is {text!r}, not an integer") from None

    def _number(self, row: list[str], name: str) -> float:
        text = row[self._column[name]]
        try:
            return float(text.replace(",", ".") if self._has_decimal_commas else text)
        except ValueError:
            raise self._error(f"{name} is {text!r}, not a number") from None

    def _error(self, reason: str) -> InputError:
        return InputError(f"{self._info.path}, line {self._line}: {reason}; mend or remove it")
