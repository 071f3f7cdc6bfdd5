"""The stored detections of a run, as one of its outputs."""

import shutil
from pathlib import Path

from tracker.data.files import sync
from tracker.data.store import PartWriter, StoredFrame, StoreInfo
from tracker.data.store.part_reader import FOLDER
from tracker.output.base import OutputFile, open_error, write_error


class DetectionStore(OutputFile):
    """Writes the detections of a run to the folder `detections` in that of its results.

    Attributes:
        is_complete: False if the source has further frames than those that come.
    """

    def __init__(self, folder: Path, info: StoreInfo, kept: int = -1) -> None:
        """Creates the folder; without `kept` (see `PartWriter`), what is in it is removed.

        Raises:
            InputError: It cannot be created.
        """
        self.path = folder / FOLDER
        self.is_complete = False
        try:
            if kept < 0:
                remove_store(folder)
            self.path.mkdir(exist_ok=True)
            sync(folder)  # so that a power cut takes no part that the disk has
        except OSError as error:
            raise open_error(self.path, error) from None
        self._writer = PartWriter(self.path, info, kept)

    def write(self, frame: StoredFrame) -> None:
        """Adds a frame.

        Raises:
            InputError: A part cannot be written; those before it are kept.
        """
        try:
            self._writer.write(frame)
        except OSError as error:
            raise write_error(self.path, error) from None

    def close(self) -> None:
        """Writes the last part."""
        try:
            self._writer.finish(self.is_complete)
        except OSError as error:
            raise write_error(self.path, error) from None


def remove_store(folder: Path) -> None:
    """Removes the stored detections from a run's folder.

    Raises:
        OSError: They cannot be removed.
    """
    path = folder / FOLDER
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
