"""Crops of tracks on disk: a folder for each track, and a table of the times at which it was visible."""

import csv
import io
import os
import re
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from tracker.data.files import replace_file
from tracker.data.reid_crops import TRACKS_CSV
from tracker.data.text_cells import to_cell
from tracker.data.tracklets import COLUMNS
from tracker.errors import InputError
from tracker.output import numbered_names
from tracker.output.text_file import AppendOnlyFile
from tracker.pipeline.crops.selection import CropCandidate

TimeInterval = tuple[float, float, int, float]
"""First and last second of an interval in which a track was visible, number and mean score of its detections."""

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class TrackFolders:
    """Writes the crops of one source's tracks to FOLDER/CATEGORY-ID/ORDER_CHECKSUM_FRAME.jpg, and FOLDER/tracks.csv.

    The checksum in their names lets only equal crops share a name, so that nothing is lost when tracks of several
    videos are moved into one folder. A crop gets its name when it is complete, and a track its rows in the table when
    all of its crops are there.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder, and replaces one that exists.

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
        self._table = AppendOnlyFile(folder / TRACKS_CSV, ",".join(COLUMNS) + "\n")

    def write(
        self, track_id: int, category: str, crops: Sequence[CropCandidate], visible_intervals: Sequence[TimeInterval]
    ) -> None:
        """Writes a track.

        Args:
            track_id: Its id.
            category: Its class.
            crops: Its crops, the best first.
            visible_intervals: The intervals in which it was visible.

        Raises:
            InputError: The crops cannot be written, say because the disk is full. Earlier tracks are kept.
        """
        folder = self.folder / f"{_NOT_IN_NAMES.sub('_', category)}-{track_id:04}"
        try:
            folder.mkdir()
            for order, crop in enumerate(crops):
                name = f"{order:02}_{zlib.crc32(crop.jpeg):08X}_{crop.frame:08}.jpg"
                with replace_file(folder / name) as temporary:
                    temporary.write_bytes(crop.jpeg)
        except OSError as error:
            raise InputError(
                f"cannot write on to {folder}: {error.strerror}; what was written so far is kept - free some space"
            ) from None
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for first, last, frames, score in visible_intervals:
            names = to_cell(folder.name), to_cell(category)
            rows.writerow((*names, f"{first:.6f}", f"{last:.6f}", frames, f"{score:.4f}"))
        self._table.append(text.getvalue())

    def close(self) -> None:
        """Closes the table."""
        self._table.close()


def crops_folder(root: Path, name: str, taken: Sequence[Path], overwrite: bool) -> Path:
    """Returns the folder for the crops of a source: one that does not exist, or an earlier run's to be replaced.

    Args:
        root: Folder of the folders of all sources.
        name: Name of the source.
        taken: Folders of other sources of this run, which may have the same name.
        overwrite: True if crops of an earlier run may be replaced.

    Raises:
        InputError: The folder exists, or cannot be made.
    """
    folder = next(folder for folder in map(root.joinpath, numbered_names(name)) if folder not in taken)
    if folder.exists() and not overwrite:
        raise InputError(f"{folder} exists, and may have been sorted by hand: give --overwrite or another --output")
    if folder.exists() and not (folder / TRACKS_CSV).is_file():
        raise InputError(f"{folder} holds no {TRACKS_CSV}, so `track crops` did not write it: give another --output")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"cannot make the folder {folder} for the crops: {existing} is not a writable folder")
    return folder
