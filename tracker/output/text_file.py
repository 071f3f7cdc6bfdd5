"""A text file to which complete records are appended."""

import contextlib
from pathlib import Path

from tracker.output.base import open_error, write_error


class AppendOnlyFile:
    """Appends each text in one unbuffered write, so that a killed process leaves complete records only."""

    def __init__(self, path: Path, header: str = "") -> None:
        """Creates the file and writes its header; after an `InputError` no part of it is left."""
        self.path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise open_error(path, error) from None
        self._size = 0
        try:
            self.append(header)
        except BaseException:
            self._file.close()
            if path.is_file():  # not a device
                path.unlink()
            raise

    def append(self, text: str) -> None:
        """Appends a text. After an `InputError`, for example because the disk is full, earlier texts are kept."""
        data = text.encode()
        try:
            if self._file.write(data) != len(data):
                # Only a full disk (or quota) takes a part; the next write raises the system's own error.
                self._file.write(data)
                raise OSError("the file system took only a part of the rows")
        except OSError as error:
            with contextlib.suppress(OSError):  # a device cannot be truncated; the write's error is reported
                self._file.truncate(self._size)
            raise write_error(self.path, error) from None
        self._size += len(data)

    def close(self) -> None:
        """Closes the file; further calls do nothing."""
        self._file.close()
