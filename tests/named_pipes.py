"""Named pipes into which a thread writes, for tests."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fifo(folder: Path, data: bytes, pause: float = 0.0) -> Iterator[Path]:
    """Yields a pipe into which a thread writes; with `pause` it waits so many seconds after each twentieth of it."""
    path = folder / "pipe.fifo"
    os.mkfifo(path)

    def write() -> None:
        step = len(data) // 20 + 1 if pause else len(data) + 1
        try:
            with path.open("wb", buffering=0) as file:
                for start in range(0, len(data), step):
                    file.write(data[start : start + step])
                    time.sleep(pause)
        except BrokenPipeError:  # the reader has closed it
            pass

    thread = threading.Thread(target=write)
    thread.start()
    yield path
    thread.join()
