"""MOTChallenge text files: ground truth, detections, and results of trackers.

A row is `frame,id,left,top,width,height,score` and up to three more columns: class and visibility in ground truth since
MOT16, otherwise world coordinates, which are -1 where they are unknown. In the file frames count from 1, and so do
pixels: the left edge of the image is at 1. In memory both count from 0.

Source: Milan et al. 2016, MOT16: A Benchmark for Multi-Object Tracking, arXiv 1603.00831, section 3.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.parsing import iter_lines

MIN_COLUMNS, MAX_COLUMNS = 7, 10
_MAX_INTEGER = 2**53  # of a float, and far beyond any frame
_CSV_COLUMNS = {"time_s", "track_id", "class", "x1"}  # by which a header is that of a CSV of ours


@dataclass(frozen=True, eq=False)
class MotRows:
    """The R rows of a file, in its order."""

    frames: NDArray[np.int64]  # (R,), from 0
    ids: NDArray[np.int64]  # (R,); -1 in detections, which have no identity
    boxes: NDArray[np.float64]  # (R, 4), xywh, pixels from 0 at the left and top edge of the image
    scores: NDArray[np.float64]  # (R,); in ground truth 0 for boxes that do not count
    extras: NDArray[np.float64]  # (R, 3), the columns 8 to 10; NaN where a row has fewer
    lines: NDArray[np.int64]  # (R,), line numbers from 1

    @property
    def has_class(self) -> NDArray[np.bool_]:
        """Bool (R,): rows of 8 or 9 columns whose 8th is a class; with 10 columns it is a coordinate (MOT15)."""
        class_ids, _, third = self.extras.T
        return np.asarray(np.isnan(third) & ~np.isnan(class_ids) & (class_ids != -1), np.bool_)


def read_mot_file(path: Path, problems: list[tuple[int, str]] | None = None) -> MotRows:
    """Reads a MOTChallenge file, with the arguments and errors of `parse_mot_lines`."""
    return parse_mot_lines(iter_lines(path, "a MOTChallenge file"), path, problems)


def parse_mot_lines(lines: Iterable[str], path: Path, problems: list[tuple[int, str]] | None = None) -> MotRows:
    """Parses the lines of a MOTChallenge file.

    Columns are separated by commas, semicolons, tabs or spaces. Blank lines, comments (from # on), a header before the
    first row, quotes, and separators at the end of a line are skipped.

    Args:
        lines: The lines; with or without line breaks.
        path: The file, for errors.
        problems: Gets the line number and a description of each malformed row. Without it, the first one raises.

    Raises:
        InputError: A row is malformed; says which line.

    Example:
        >>> rows = parse_mot_lines(["1,7,11,21,30,40,1,-1,-1,-1"], Path("gt.txt"))
        >>> rows.frames.tolist(), rows.ids.tolist(), rows.boxes.tolist()
        ([0], [7], [[10.0, 20.0, 30.0, 40.0]])
    """
    integers, reals = array("q"), array("d")  # numbers instead of objects, since files can have millions of rows
    for number, line in enumerate(lines, 1):
        fields = _split(line)
        if not fields or (not integers and _is_header(fields)):
            continue
        try:
            frame, identity, *values = _parse_row(fields)
        except ValueError as error:
            if problems is None:
                raise InputError(f"{path}, line {number}: {error}; mend or remove it") from None
            problems.append((number, str(error)))
        else:
            integers.extend((int(min(frame, _MAX_INTEGER)) - 1, int(identity), number))
            reals.extend(values)
    frames, ids, numbers = np.array(integers, np.int64).reshape(-1, 3).T.copy()
    columns = np.array(reals, np.float64).reshape(-1, MAX_COLUMNS - 2)
    boxes = columns[:, :4] - (1, 1, 0, 0)
    return MotRows(frames, ids, boxes, columns[:, 4].copy(), columns[:, 5:].copy(), numbers)


def is_mot_text(text: str) -> bool:
    """Checks whether the beginning of a file may be that of a MOTChallenge file: a header, or a row of numbers."""
    fields = next(filter(None, map(_split, text.splitlines())), [])
    return _is_header(fields) or (len(fields) > 1 and _is_number(fields[0]))


def format_mot_row(frame: int, identity: int, box: Iterable[float], score: float) -> str:
    """Formats a row of a tracker's result, with its line break.

    Here, as in `MotRows`, frames and pixels count from 0, and the box is xywh.

    Example:
        >>> format_mot_row(0, 7, (10, 20, 30, 40), 0.5).strip()
        '1,7,11.00,21.00,30.00,40.00,0.5000,-1,-1,-1'
    """
    left, top, width, height = box
    return f"{frame + 1},{identity},{left + 1:.2f},{top + 1:.2f},{width:.2f},{height:.2f},{score:.4f},-1,-1,-1\n"


def _split(line: str) -> list[str]:
    text = line.partition("#")[0].replace('"', "").strip(" \t\r\n,;")
    # Several spaces are one separator, but between two tabs a value is missing.
    separator = next((separator for separator in (",", ";", "\t\t") if separator in text), None)
    return text.split(separator and separator[0]) if text else []


def _is_header(fields: Sequence[str]) -> bool:
    names = [field.strip().lower() for field in fields]
    return len(names) >= MIN_COLUMNS and "frame" in names[0] and not _CSV_COLUMNS.intersection(names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_row(fields: list[str]) -> list[float]:
    """Returns `MAX_COLUMNS` numbers, NaN for missing ones; raises a ValueError that says what is wrong."""
    if not MIN_COLUMNS <= len(fields) <= MAX_COLUMNS:
        raise ValueError(
            f"{len(fields)} columns, where a row has {MIN_COLUMNS} to {MAX_COLUMNS}: frame,id,x,y,w,h,score and others"
        )
    try:
        values = list(map(float, fields))
    except ValueError:
        wrong = next(field for field in fields if not _is_number(field))
        raise ValueError(f"{wrong.strip()!r} is not a number") from None
    frame, identity, *box_and_score = values[:MIN_COLUMNS]
    if not frame.is_integer() or frame < 1:
        raise ValueError(f"{fields[0].strip()!r} is no number of a frame, which count from 1")
    if not identity.is_integer() or abs(identity) > _MAX_INTEGER:
        raise ValueError(f"the id {fields[1].strip()!r} is not a whole number")
    if not all(map(isfinite, box_and_score)):
        raise ValueError("the box and its score must be finite numbers")
    return values + [nan] * (MAX_COLUMNS - len(values))
