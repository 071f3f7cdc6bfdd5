"""Files of tracks and of truth: MOTChallenge text or our CSV, one for each sequence, alone or in folders."""

import csv
import re
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.structures.boxes import xyxy_to_xywh

Rows = NDArray[np.float64]
"""(N, 7): frame from 1, id, x, y, w, h in pixels, confidence; one row for each box."""

Pairs = dict[str, tuple[Rows, Rows]]
"""For each sequence its found rows and its true rows."""

CSV_FIELDS = ("frame", "track_id", "x1", "y1", "x2", "y2", "score")
SUFFIXES = (".txt", ".csv")
_NAMED = 5  # how many names an error lists


def read_mot(path: Path) -> Rows:
    """Rows of a MOTChallenge file; columns after the seventh are not read. A file without rows is one without boxes.

    Raises:
        InputError: The file is missing or is no such table.
    """
    return _checked(_numbers(path, tuple(range(7)), 0, "MOTChallenge file"), path)


def read_tracks(path: Path) -> Rows:
    """Rows of a MOTChallenge file or of the CSV that `track` writes, whose frames count from 0; content tells which.

    Raises:
        InputError: The file is missing or is neither.
    """
    header = _first_line(path)
    if not header.startswith("frame,"):
        return read_mot(path)
    names = next(csv.reader([header]))
    if missing := [name for name in CSV_FIELDS if name not in names]:
        raise InputError(f"{path} is not a CSV of tracks: it has no column {missing[0]!r}")
    rows = _numbers(path, tuple(names.index(name) for name in CSV_FIELDS), 1, "CSV of tracks")
    rows[:, 0] += 1
    rows[:, 2:6] = xyxy_to_xywh(rows[:, 2:6])
    return _checked(rows, path)


def read_sequences(results: Path, truth: Path) -> Pairs:
    """Reads results and their truth, sequence by sequence.

    Results are a file, or a folder of NAME.txt, NAME.csv or NAME/tracks.csv. The truth is a file, a folder of
    NAME/gt/gt.txt (the layout of the MOTChallenge), NAME.txt or NAME.csv, or the folder of a single sequence. A file
    and what holds a single sequence belong together whatever their names; otherwise the names must be the same.

    Returns:
        For each sequence, by name, in order, (found rows, true rows).

    Raises:
        InputError: A file is missing or damaged, or has no partner.
    """
    found, true = _result_files(results), _truth_files(truth)
    if results.is_file() or truth.is_file():  # a file chooses its sequence out of a folder
        if len(found) == len(true) == 1:
            found = dict(zip(true, found.values(), strict=True))
        common = found.keys() & true.keys()
        found = {name: path for name, path in found.items() if name in common or results.is_file()}
        true = {name: path for name, path in true.items() if name in common or truth.is_file()}
    if lonely := sorted(true.keys() - found.keys()):
        raise InputError(f"{results} holds no result for {_list(lonely)}, of which {truth} holds the truth")
    if lonely := sorted(found.keys() - true.keys()):
        raise InputError(f"{truth} holds no truth for {_list(lonely)}, for which {results} holds a result")
    return {name: (read_tracks(found[name]), read_tracks(true[name])) for name in sorted(true)}


def _result_files(place: Path) -> dict[str, Path]:
    if place.is_file():
        return {_name(place): place}
    inside = _listing(place)
    files = [path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file()]
    return _by_name([*files, *(path / "tracks.csv" for path in inside if (path / "tracks.csv").is_file())], place)


def _truth_files(place: Path) -> dict[str, Path]:
    if place.is_file():
        return {_name(place): place}
    inside = [place, *_listing(place)]
    layout = [path / "gt" / "gt.txt" for path in inside if (path / "gt" / "gt.txt").is_file()]
    return _by_name(layout or [path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file()], place)


def _listing(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror} - give a file or a folder of tracks") from None


def _by_name(files: Iterable[Path], place: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in files:
        if (other := named.setdefault(_name(path), path)) is not path:
            raise InputError(f"{path} and {other} are both of the sequence {_name(path)}: keep one of them")
    if not named:
        raise InputError(
            f"the folder {place} holds no tracks: looked for .txt, .csv, and gt/gt.txt or tracks.csv in it"
        )
    return named


def _name(path: Path) -> str:
    """The sequence that a file is of."""
    path = path.absolute()
    if path.parts[-2:] == ("gt", "gt.txt"):
        return path.parents[1].name
    return path.parent.name if path.name in ("gt.txt", "tracks.csv", "tracks.txt") else path.stem


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(4096).strip()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _numbers(path: Path, columns: tuple[int, ...], header: int, kind: str) -> Rows:
    """Some columns of a table of comma separated values; a table without rows is not an error."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = (line for line in islice(file, header, None) if line.strip())
            for first in lines:  # loadtxt would warn of an empty table
                every = chain((first,), lines)
                return np.loadtxt(every, delimiter=",", ndmin=2, usecols=columns, quotechar='"', dtype=np.float64)
        return np.zeros((0, len(columns)))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a {kind}: it is not text") from None
    except ValueError as error:
        reason = re.sub(r"(?<=at row )\d+", lambda row: str(int(row[0]) + 1), str(error))  # numpy counts from 0
        raise InputError(f"{path} is not a {kind}: {reason}") from None


def _checked(rows: Rows, path: Path) -> Rows:
    """The rows, if all numbers are finite, frames count from 1 and ids are whole numbers."""
    wrong = ~np.isfinite(rows).all(1) | (rows[:, 0] < 1) | (rows[:, :2] % 1 != 0).any(1)
    if wrong.any():
        row = int(np.argmax(wrong))
        values = ", ".join(f"{value:g}" for value in rows[row])
        raise InputError(f"row {row + 1} of {path} is no box of a track in a frame from 1 on: {values}")
    return rows
