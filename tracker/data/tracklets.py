"""The table of a video's tracks that `track crops` writes beside their crops: when each track was visible."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.reid_crops import TRACKS_CSV, ReIDDataset
from tracker.data.text_cells import from_cell
from tracker.errors import InputError
from tracker.parsing import iter_csv_rows

COLUMNS = ("folder", "category", "first", "last", "frames", "score")
"""Columns of the table. A row is an interval in which a track was visible without a break: its folder and class, the
first and last second, the number and mean score of its detections."""

Interval = tuple[float, float]
"""First and last second."""


def read_track_intervals(root: Path, dataset: ReIDDataset) -> NDArray[np.float64]:
    """Reads when the tracks were visible whose crops `track crops` wrote.

    Tracks whose folder was deleted do not count, and those that were moved into another's folder belong to it. The
    dataset holds crops that `read_reid_dataset` returned for the folder `root`.

    Returns:
        float64 (S, 4), for each interval in which one of `dataset.identities` was visible without a break: its id,
        the number of the video, first and last second in that video.
    """
    folders = [root / name for name in dataset.identities]
    tables = {path: _read(path) for path in dict.fromkeys(folder.parent / TRACKS_CSV for folder in folders)}
    videos = list(tables)
    intervals: list[tuple[float, ...]] = []
    for identity, folder in enumerate(folders):
        path = folder.parent / TRACKS_CSV
        if folder.name not in tables[path]:
            raise InputError(
                f"{path} does not name {folder.name}: folders that were made by hand are known identities, so train "
                "without tracklets"
            )
        intervals += [(identity, videos.index(path), *interval) for interval in tables[path][folder.name]]
    return np.array(intervals, np.float64).reshape(-1, 4)


def read_track_categories(root: Path) -> tuple[str, ...]:
    """Returns the classes of all tracks below a folder in which `track crops` wrote, sorted."""
    return tuple(sorted({row["category"] for path in sorted(root.rglob(TRACKS_CSV)) for row in _rows(path)}))


def _read(path: Path) -> dict[str, list[Interval]]:
    """Returns the intervals of a table's tracks by folder."""
    intervals: dict[str, list[Interval]] = {}
    rows = _rows(path)
    try:
        for row in rows:
            intervals.setdefault(row["folder"], []).append((float(row["first"]), float(row["last"])))
    except ValueError:
        raise _malformed(path) from None
    return intervals


def _rows(path: Path) -> list[dict[str, str]]:
    if not os.path.exists(path):
        raise InputError(
            f"there is no {path} to tell which tracks were visible at the same time: let `track crops` write it, or "
            "train without tracklets"
        )
    table = [row for _, row in iter_csv_rows(path, "a table of tracks")]
    header = table[0] if table else []
    if not set(COLUMNS) <= set(header) or any(len(row) != len(header) for row in table):
        raise _malformed(path)
    return [dict(zip(header, map(from_cell, row), strict=True)) for row in table[1:]]


def _malformed(path: Path) -> InputError:
    return InputError(f"{path} is no table of tracks: let `track crops` write it again, or train without tracklets")
