"""Reads files of tracks and ground truth: MOTChallenge text or the CSV of `track`, one file for each sequence."""

import csv
import re
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.mot_file import is_mot_text, read_mot_file
from tracker.data.source_column import SOURCE_COLUMN, sequence_of, source_of
from tracker.errors import InputError
from tracker.parsing import iter_csv_rows, iter_lines, read_head
from tracker.structures.boxes import xyxy_to_xywh

MotTable = NDArray[np.float64]
"""(N, 7): frame from 1, id, x, y, w, h in pixels from 0, confidence; one row for each box."""

SequencePairs = dict[str, tuple[MotTable, MotTable]]
"""The tables of tracks and of ground truth of each sequence, by name."""

CSV_FIELDS = ("frame", "track_id", "x1", "y1", "x2", "y2", "score")
SUFFIXES = (".txt", ".csv")
_MAX_NAMES = 5  # in an error message


def read_mot(path: Path) -> MotTable:
    """Reads the first seven columns of a MOTChallenge file. An empty file is one without boxes.

    Raises:
        InputError: The file is missing or is no such table.
    """
    rows = read_mot_file(path)
    return np.column_stack([rows.frames + 1, rows.ids, rows.boxes, rows.scores])


def read_tracks(path: Path, source: str = "") -> MotTable:
    """Reads a MOTChallenge file or the CSV that `track` writes (frames from 0), whichever its content is.

    Args:
        path: The file.
        source: The source whose rows to read, of a table of several; empty for all rows.

    Raises:
        InputError: The file is missing or is neither.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "street.txt").write_text("1,7,11,21,20,40,0.9")
        ...     read_tracks(Path(folder, "street.txt")).tolist()
        [[1.0, 7.0, 10.0, 20.0, 20.0, 40.0, 0.9]]
    """
    names = _csv_header(path)
    if not names:
        return read_mot(path)
    if missing := [name for name in CSV_FIELDS if name not in names]:
        raise InputError(f"{path} is not a CSV of tracks: it has no column {missing[0]!r}")
    columns = tuple(names.index(name) for name in CSV_FIELDS)
    table = _read_rows_of(path, names, columns, source) if source else _read_columns(path, columns)
    table[:, 0] += 1
    table[:, 2:6] = xyxy_to_xywh(table[:, 2:6])
    return _validated(table, path)


def _csv_header(path: Path) -> list[str]:
    """Returns the names of the columns of a CSV that `track` wrote; none for a MOTChallenge file."""
    header = _first_line(path)
    names: list[str] = next(csv.reader([header]), [])
    return names if names[:1] in (["frame"], [SOURCE_COLUMN]) and not is_mot_text(header) else []


def _sources_in(path: Path) -> dict[str, str]:
    """Returns the sources of a table of several, by the name of their sequence; none for any other file."""
    if SOURCE_COLUMN not in (names := _csv_header(path)):
        return {}
    sources: dict[str, str] = {}
    for _, row in islice(iter_csv_rows(path, "a CSV of tracks"), 1, None):
        source = source_of(row, names)
        if (other := sources.setdefault(sequence_of(source), source)) != source:
            raise InputError(f"{path}: {source} and {other} are both of the sequence {sequence_of(source)}")
    return sources


def read_sequences(results: Path, gt: Path) -> SequencePairs:
    """Reads tracks and ground truth, sequence by sequence.

    Results are a file, a table of several sources, or a folder of NAME.txt, NAME.csv or NAME/tracks.csv. The ground
    truth is a file, a folder of NAME/gt/gt.txt (the layout of the MOTChallenge), NAME.txt or NAME.csv, or the folder of
    a single sequence. A file is paired with a file or a folder of a single sequence whatever their names are; otherwise
    names must be the same.

    Returns:
        The tables of tracks and of ground truth, by name of the sequence, in order.

    Raises:
        InputError: A file is missing or damaged, or has no counterpart.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "street.txt").write_text("1,7,11,21,20,40,0.9")
        ...     list(read_sequences(Path(folder), Path(folder)))
        ['street']
    """
    if results.is_file() and (sources := _sources_in(results)):
        return _read_combined(results, sources, gt)
    track_files, gt_files = _result_files(results), _gt_files(gt)
    if results.is_file() or gt.is_file():  # a file selects its sequence in a folder
        if len(track_files) == len(gt_files) == 1:
            track_files = dict(zip(gt_files, track_files.values(), strict=True))
        common = track_files.keys() & gt_files.keys()
        track_files = {name: path for name, path in track_files.items() if name in common or results.is_file()}
        gt_files = {name: path for name, path in gt_files.items() if name in common or gt.is_file()}
    if unpaired := sorted(gt_files.keys() - track_files.keys()):
        raise InputError(f"{results} holds no tracks of {_join_names(unpaired)}, which {gt} holds")
    if unpaired := sorted(track_files.keys() - gt_files.keys()):
        raise InputError(f"{gt} holds no ground truth of {_join_names(unpaired)}, which {results} holds")
    return {name: (read_tracks(track_files[name]), read_tracks(gt_files[name])) for name in sorted(gt_files)}


def _read_combined(results: Path, sources: dict[str, str], gt: Path) -> SequencePairs:
    """Reads the sequences of a table of several sources; one of a single source fits to any ground truth of one."""
    gt_files = _gt_files(gt)
    if len(sources) == len(gt_files) == 1:
        sources = dict(zip(gt_files, sources.values(), strict=True))
    common = sorted(sources.keys() & gt_files.keys())
    if unpaired := sorted(sources.keys() - gt_files.keys()):
        raise InputError(f"{gt} holds no ground truth of {_join_names(unpaired)}, which {results} holds")
    return {name: (read_tracks(results, sources[name]), read_tracks(gt_files[name])) for name in common}


def _result_files(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        return {_sequence_name(folder): folder}
    entries = _list_entries(folder)
    files = [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
    return _by_name([*files, *(path / "tracks.csv" for path in entries if (path / "tracks.csv").is_file())], folder)


def _gt_files(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        return {_sequence_name(folder): folder}
    entries = [folder, *_list_entries(folder)]
    mot_files = [path / "gt" / "gt.txt" for path in entries if (path / "gt" / "gt.txt").is_file()]
    files = [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
    return _by_name(mot_files or files, folder)


def _list_entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror} - give a file or a folder of tracks") from None


def _by_name(files: Iterable[Path], folder: Path) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in files:
        if (other := by_name.setdefault(_sequence_name(path), path)) is not path:
            raise InputError(f"{path} and {other} are both of the sequence {_sequence_name(path)}: keep one of them")
    if not by_name:
        raise InputError(
            f"the folder {folder} holds no tracks: looked for .txt, .csv, and gt/gt.txt or tracks.csv in it"
        )
    return by_name


def _sequence_name(path: Path) -> str:
    """Returns the name of the sequence of a file."""
    path = path.absolute()
    if path.parts[-2:] == ("gt", "gt.txt"):
        return path.parents[1].name
    return path.parent.name if path.name in ("gt.txt", "tracks.csv", "tracks.txt") else path.stem


def _join_names(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _first_line(path: Path) -> str:
    return read_head(path, "a file of tracks").lstrip("\r\n").partition("\n")[0].strip()


def _read_columns(path: Path, columns: tuple[int, ...]) -> MotTable:
    """Reads some columns of a CSV with a header; a table without rows is not an error."""
    lines = (line for line in islice(iter_lines(path, "a CSV of tracks"), 1, None) if line.strip())
    first = next(lines, "")
    if not first:  # of which loadtxt would warn
        return np.zeros((0, len(columns)))
    try:
        all_lines = chain((first,), lines)
        return np.loadtxt(all_lines, delimiter=",", ndmin=2, usecols=columns, quotechar='"', dtype=np.float64)
    except InputError:
        raise
    except ValueError as error:
        reason = re.sub(r"(?<=at row )\d+", lambda match: str(int(match[0]) + 1), str(error))  # numpy counts from 0
        raise InputError(f"{path} is not a CSV of tracks: {reason}") from None


def _read_rows_of(path: Path, names: list[str], columns: tuple[int, ...], source: str) -> MotTable:
    """Reads some columns of the rows of one source."""
    table: list[list[float]] = []
    for line, row in islice(iter_csv_rows(path, "a CSV of tracks"), 1, None):
        if source_of(row, names) == source:
            try:
                table.append([float(row[column]) for column in columns])
            except (ValueError, IndexError):
                raise InputError(f"{path}, line {line}: this is no row of a CSV of tracks; mend or remove it") from None
    return np.array(table, np.float64).reshape(-1, len(columns))


def _validated(table: MotTable, path: Path) -> MotTable:
    """Returns the table if all numbers are finite, frames count from 1 and ids are integers."""
    invalid = ~np.isfinite(table).all(1) | (table[:, 0] < 1) | (table[:, :2] % 1 != 0).any(1)
    if invalid.any():
        row = int(np.argmax(invalid))
        values = ", ".join(f"{value:g}" for value in table[row])
        raise InputError(f"row {row + 1} of {path} is not a box with an integer id in a frame from 1 on: {values}")
    return table
