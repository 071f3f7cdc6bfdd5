"""A text file that grows by whole pieces."""

import contextlib
from pathlib import Path

from tracker.output.base import cannot_open, cannot_write


class AppendOnlyFile:
    """Hands each piece to the system in one unbuffered write, so that a killed process leaves whole pieces only."""

    def __init__(self, path: Path, head: str = "") -> None:
        """Creates the file and writes its head.

        Raises:
            InputError: It cannot be created; nothing of it is left.
        """
        self.path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise cannot_open(path, error) from None
        self._size = 0
        try:
            self.append(head)
        except BaseException:
            self._file.close()
            if path.is_file():  # not a device
                path.unlink()
            raise

    def append(self, text: str) -> None:
        """Adds a piece.

        Raises:
            InputError: The file cannot be written, say because the disk is full. The pieces before are kept.
        """
        data = text.encode()
        try:
            if self._file.write(data) != len(data):
                # Only a full disk (or quota) takes a part; asking once more gives the system's own reason.
                self._file.write(data)
                raise OSError("the file system took only a part of the rows")
        except OSError as error:
            with contextlib.suppress(OSError):  # a device cannot be cut; the write's own error is the one to tell
                self._file.truncate(self._size)
            raise cannot_write(self.path, error) from None
        self._size += len(data)

    def close(self) -> None:
        """Closes the file; further calls do nothing."""
        self._file.close()
