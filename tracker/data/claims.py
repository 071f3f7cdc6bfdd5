"""Claims on outputs: a lock file beside what is written, so that two runs never write to the same place."""

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tracker.errors import InputError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FLAGS = os.O_RDWR | os.O_CREAT | _SAFE


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Claims an output, a file or a folder, inside the `with` block.

    The lock is the system's own, on the file `.lock` in the folder, which holds the owner, or on the empty file
    `.NAME.lock` beside the file. It ends with the process, however that ends, and is then free for the next run. A file
    system without locks gives none.

    Raises:
        InputError: Another run writes there; for a folder, the message names it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, claim(Path(folder)):
        ...     with claim(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        tracker.errors.InputError: another run (process ...) is writing to ...: wait for it, or give another name
    """
    lock = path / ".lock" if path.is_dir() else path.with_name(f".{path.name[:200]}.lock")
    descriptor = _open_locked(lock, path)
    try:
        yield
    finally:
        # While it is locked, so that nobody locks a file that is about to lose its name.
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)
        if sys.platform == "win32":  # where an open file cannot be removed
            with suppress(OSError):
                lock.unlink()


def _open_locked(lock: Path, path: Path) -> int:
    while True:
        try:
            descriptor = os.open(lock, _FLAGS, 0o644)
        except OSError as error:
            raise InputError(f"cannot write to {path}: {error.strerror}; choose another folder") from None
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise InputError(
                    f"another run{_owner(lock)} is writing to {path}: wait for it, or give another name"
                ) from None
            descriptor = os.open(lock, _FLAGS, 0o644)  # a file system without locks
        if _is_at(descriptor, lock):
            if path.is_dir():
                _write_owner(descriptor)
            return descriptor
        os.close(descriptor)  # its owner has just removed it


def _write_owner(descriptor: int) -> None:
    owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):  # a full disk, of which the results tell
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(owner).encode())


def _is_at(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except OSError:
        return False


def _owner(lock: Path) -> str:
    """Returns who holds a lock, in brackets; empty where it cannot be read."""
    try:
        owner = json.loads(lock.read_text())
        return f" (process {owner['process']} on {owner['host']} since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it is being written, or was just removed
        return ""
