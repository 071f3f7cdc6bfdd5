"""Crops of tracks, whose individuals are tracklets: when each of them was seen."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.reid_crops import TABLE, ReIDDataset
from tracker.errors import InputError

COLUMNS = ("folder", "category", "first", "last", "frames", "score")
"""Of the table beside the folders of the tracks. A row is about a time that a track was seen without a break: the
track's folder and class, the first and last second, and the number and mean score of the detections."""

Span = tuple[float, float]


def read_spans(root: Path, crops: ReIDDataset) -> NDArray[np.float64]:
    """When the tracks were seen whose crops `track crops` wrote.

    Tracks that were deleted since do not count, and those that were moved into another's folder belong to it.

    Args:
        root: The folder that `read_crops` was given.
        crops: What it found there, or a part of it.

    Returns:
        float64 (S, 4), for each time that one of `crops.identities` was seen without a break: its number, number of
        the video, first and last second in that.

    Raises:
        InputError: There is no table beside a track's folder, it does not name the folder, or it is broken.
    """
    folders = [root / name for name in crops.identities]
    tables = {path: _read(path) for path in dict.fromkeys(folder.parent / TABLE for folder in folders)}
    videos = list(tables)
    spans: list[tuple[float, ...]] = []
    for number, folder in enumerate(folders):
        path = folder.parent / TABLE
        if folder.name not in tables[path]:
            raise InputError(
                f"{path} does not name {folder.name}: folders that were made by hand are known individuals, so train "
                "without tracklets"
            )
        spans += [(number, videos.index(path), *span) for span in tables[path][folder.name]]
    return np.array(spans, np.float64).reshape(-1, 4)


def read_categories(root: Path) -> tuple[str, ...]:
    """The classes of all tracks below a folder in which `track crops` wrote, sorted.

    Raises:
        InputError: A table is broken.
    """
    return tuple(sorted({row["category"] for path in sorted(root.rglob(TABLE)) for row in _rows(path)}))


def _read(path: Path) -> dict[str, list[Span]]:
    """First and last second of each time that a track of a table was seen, by folder."""
    spans: dict[str, list[Span]] = {}
    rows = _rows(path)
    try:
        for row in rows:
            spans.setdefault(row["folder"], []).append((float(row["first"]), float(row["last"])))
    except ValueError:
        raise _broken(path) from None
    return spans


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(
            f"there is no {path} to tell which tracks were seen at one moment: let `track crops` write it, or train "
            "without tracklets"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise _broken(path) from None
    if any(row.get(column) is None for row in rows for column in COLUMNS):
        raise _broken(path)
    return rows


def _broken(path: Path) -> InputError:
    return InputError(f"{path} is no table of tracks: let `track crops` write it again, or train without tracklets")
