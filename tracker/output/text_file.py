"""A text file to which complete records are appended."""

import os
from contextlib import suppress
from pathlib import Path

from tracker.data.files import is_still_at, open_new_file, remove_file
from tracker.output.base import open_error, write_error


class AppendOnlyFile:
    """Appends each text in one unbuffered write, so that a killed process leaves complete records only."""

    def __init__(self, path: Path, header: str = "", overwrite: bool = True) -> None:
        """Creates or replaces the file and writes its header; after an `InputError` no part of it is left."""
        self.path = path
        try:
            self._file = open_new_file(path, overwrite)
        except OSError as error:
            raise open_error(path, error) from None
        self._size = 0
        try:
            self.append(header)
        except BaseException:
            with suppress(OSError):
                self._file.close()
            remove_file(path)
            raise

    def append(self, text: str) -> None:
        """Appends a text.

        Raises:
            InputError: The disk is full, the file was removed, or the like. Earlier texts are kept.
        """
        # Names of files may hold bytes that are no text, which Python keeps as surrogates.
        data = text.encode(errors="backslashreplace")
        try:
            if self._file.write(data) != len(data):
                # Only a full disk (or quota) takes a part; the next write raises the system's own error.
                self._file.write(data)
                raise OSError("the file system took only a part of the rows")
            if not is_still_at(self.path, os.fstat(self._file.fileno())):
                raise FileNotFoundError
        except OSError as error:
            with suppress(OSError):  # a device cannot be truncated; the write's error is reported
                self._file.truncate(self._size)
            raise write_error(self.path, error) from None
        self._size += len(data)

    def close(self) -> None:
        """Closes the file; further calls do nothing.

        Raises:
            InputError: Only now, as on some network disks, the system says that rows could not be written.
        """
        try:
            self._file.close()
        except OSError as error:
            raise write_error(self.path, error) from None
