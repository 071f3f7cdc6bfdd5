"""Crops of tracks on disk: a folder for each track, and the table that says when it was seen."""

import csv
import io
import os
import re
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from tracker.data.reid_crops import TABLE
from tracker.data.tracklets import COLUMNS
from tracker.errors import InputError
from tracker.output import numbered
from tracker.output.text_file import AppendOnlyFile
from tracker.pipeline.crops.selection import CropCandidate

TimeInterval = tuple[float, float, int, float]
"""First and last second of a time that a track was seen without a break, number and mean score of the detections."""

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class TrackFolders:
    """Writes the crops of one source's tracks into FOLDER/CATEGORY-ID/ORDER_CHECKSUM_FRAME.jpg, and FOLDER/tracks.csv.

    With the checksum of their bytes only equal pictures have one name, so that nothing is lost where a person puts
    tracks of several videos together. A picture gets its name when it is whole, and a track its rows when all of its
    pictures are there.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder, in place of the one that is there.

        Raises:
            InputError: It cannot be made.
        """
        self.folder = folder
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder} for the crops: {error.strerror}") from None
        self._table = AppendOnlyFile(folder / TABLE, ",".join(COLUMNS) + "\n")

    def write(
        self, number: int, category: str, views: Sequence[CropCandidate], visible_intervals: Sequence[TimeInterval]
    ) -> None:
        """Writes a track.

        Args:
            number: Its id.
            category: Its class.
            views: Its crops, the best first.
            visible_intervals: When it was seen.

        Raises:
            InputError: The disk takes no more. The tracks before are kept.
        """
        folder = self.folder / f"{_NOT_IN_NAMES.sub('_', category)}-{number:04}"
        try:
            folder.mkdir()
            for order, view in enumerate(views):
                _write_whole(folder / f"{order:02}_{zlib.crc32(view.jpeg):08X}_{view.frame:08}.jpg", view.jpeg)
        except OSError as error:
            raise InputError(
                f"cannot write on to {folder}: {error.strerror}; what was written so far is kept - free some space"
            ) from None
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for first, last, frames, score in visible_intervals:
            rows.writerow((folder.name, category, f"{first:.6f}", f"{last:.6f}", frames, f"{score:.4f}"))
        self._table.append(text.getvalue())

    def close(self) -> None:
        """Closes the table."""
        self._table.close()


def _write_whole(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def place_for(root: Path, name: str, taken: Sequence[Path], overwrite: bool) -> Path:
    """The folder for the crops of a source, which does not exist, or is an earlier run's that may be replaced.

    Args:
        root: Where the folders of all sources are.
        name: The source's.
        taken: Folders of other sources of this run, which may have the same name.
        overwrite: Whether crops of an earlier run may be replaced.

    Raises:
        InputError: There is something already, or nothing can be made there.
    """
    folder = next(folder for folder in map(root.joinpath, numbered(name)) if folder not in taken)
    if folder.exists() and not overwrite:
        raise InputError(f"{folder} exists, and may have been sorted by hand: give --overwrite or another --folder")
    if folder.exists() and not (folder / TABLE).is_file():
        raise InputError(f"{folder} holds no {TABLE}, so `track crops` did not write it: give another --folder")
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"cannot make the folder {folder} for the crops: {there} is no folder to write to")
    return folder
