"""A pipe that is read once, and kept as far as it is needed again."""

import io
import os
import tempfile
import threading
from typing import IO, Protocol

from tracker.errors import InputError

_CHUNK = 2**20


class Readable(Protocol):
    """A stream that can only be read forward."""

    def read(self, size: int, /) -> bytes | None:
        """Returns at most `size` bytes as soon as there are some; nothing at the end."""

    def close(self) -> None:
        """Closes the stream."""


class Recording:
    """Reads a pipe, and keeps what was read in a temporary file, from which it can be read again.

    FFmpeg reads it through `read`, and cannot seek in it. The file has no name, and goes when it is closed.

    Args:
        stream: The pipe; it is closed with the recording.
        uri: Its name, for messages.

    Attributes:
        name: As `uri`; PyAV names it in errors.
    """

    def __init__(self, stream: Readable, uri: str) -> None:
        self.name = uri
        self._stream = stream
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._size = 0
        self._error = ""

    def read(self, size: int) -> bytes:
        """Returns the next bytes of the pipe, at most `size`, as soon as there are some."""
        data = self._stream.read(size) or b""
        with self._lock:
            if self._file is not None:
                self._keep(self._file, data)
        return data

    def read_all(self) -> None:
        """Reads the pipe to its end."""
        while self.read(_CHUNK):
            pass

    def forget(self) -> None:
        """Frees what was kept, and keeps nothing from now on."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def open_again(self) -> "RecordingReader":
        """Returns a file to read what was kept, from the beginning; it can seek.

        Raises:
            InputError: Nothing was kept, or not all.
        """
        with self._lock:
            if self._error:
                raise InputError(f"{self.name} cannot be read twice, since no copy could be kept: {self._error}")
            if self._file is None:
                raise InputError(f"{self.name} is a pipe and can be read only once: give a file")
        return RecordingReader(self)

    def read_kept(self, position: int, size: int) -> bytes:
        """Returns at most `size` bytes from a position in what was kept."""
        with self._lock:
            if self._file is None:
                return b""
            self._file.seek(position)
            return self._file.read(size)

    @property
    def size(self) -> int:
        """Number of bytes kept."""
        return self._size

    def close(self) -> None:
        """Closes the pipe, and frees what was kept."""
        self.forget()
        self._stream.close()

    def _keep(self, file: IO[bytes], data: bytes) -> None:
        try:
            file.seek(self._size)
            file.write(data)
            self._size += len(data)
        except OSError as error:
            self._error = f"{tempfile.gettempdir()}: {error.strerror or error}"
            file.close()
            self._file = None


class RecordingReader:
    """A file that reads what a `Recording` keeps."""

    def __init__(self, recording: Recording) -> None:
        self.name = recording.name
        self._recording = recording
        self._position = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes, at most `size`."""
        data = self._recording.read_kept(self._position, size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the position of the next byte to read, and returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._recording.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Returns the position of the next byte to read."""
        return self._position

    def seekable(self) -> bool:
        """Returns True."""
        return True


def open_pipe(path: str | int) -> io.FileIO:
    """Opens a pipe, or a descriptor that is open already, without a buffer: what has arrived can be read at once."""
    return io.FileIO(path, "r", closefd=not isinstance(path, int))
