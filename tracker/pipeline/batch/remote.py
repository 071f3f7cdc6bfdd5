"""Sources and results of a batch in an object store or on a server: s3://, gs:// and what else fsspec knows.

A source is copied to this machine, tracked, and its results are copied back once they are complete, `run.json` last. So
a folder of results without `run.json` is not complete, and nobody reads half a file.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tracker.data.files import replace_file
from tracker.data.fingerprint import FileContent, content_fingerprint
from tracker.data.store import RECORD
from tracker.errors import InputError, mask_passwords
from tracker.pipeline.batch.task import Task

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LIBRARY_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
)
_SOURCE = ".source"


def is_remote(name: str | Path) -> bool:
    """Returns True for an address such as s3://bucket/video.mp4, and False for a path.

    Example:
        >>> is_remote("s3://bucket/videos/*.mp4"), is_remote("videos/a.mp4")
        (True, False)
    """
    return _ADDRESS.match(str(name)) is not None


def remote_name(address: str) -> str:
    """Returns the name of a remote file without its suffix.

    Example:
        >>> remote_name("s3://bucket/videos/street.mp4")
        'street'
    """
    return PurePosixPath(urlsplit(address, allow_fragments=False).path).stem


def list_remote(pattern: str) -> list[str]:
    """Returns the addresses of the files that a pattern stands for, sorted.

    Raises:
        InputError: They cannot be listed.
    """
    with _errors_of(pattern):
        files, path = _open(pattern)
        return sorted(files.unstrip_protocol(found) for found in files.glob(path))


def stat_remote(address: str) -> tuple[int, int]:
    """Returns the size of a file, bytes, and the time at which it was last written, nanoseconds since 1970.

    The time is 0 where the server does not tell it.

    Raises:
        InputError: There is no such file, or it cannot be reached.
    """
    with _errors_of(address):
        files, path = _open(address)
        size = int(files.info(path)["size"])
        try:
            return size, round(files.modified(path).timestamp() * 10**6) * 1000
        except (NotImplementedError, KeyError):
            return size, 0


def fingerprint_remote(address: str) -> str:
    """Returns the fingerprint of a file, of which only samples are read; it is that of a copy of the file.

    Raises:
        InputError: See `stat_remote`.
    """
    with _errors_of(address):
        files, path = _open(address)
        size = int(files.info(path)["size"])

        def read(start: int, length: int) -> bytes:
            end = min(start + length, size)
            data: bytes = files.cat_file(path, start=start, end=end) if start < end else b""
            return data

        return content_fingerprint([FileContent(PurePosixPath(path).name, size, read)])


def fetch(address: str, path: Path) -> bool:
    """Copies a remote file to this machine, whole or not at all; returns False if there is none.

    Raises:
        InputError: It cannot be read, or the disk is full.
    """
    with _errors_of(address):
        files, remote = _open(address)
        try:
            with replace_file(path) as temporary:
                files.get_file(remote, str(temporary))
        except FileNotFoundError:
            return False
        return True


def store(path: Path, address: str) -> None:
    """Copies a file of this machine to a remote place.

    Raises:
        InputError: It cannot be written there.
    """
    with _errors_of(address):
        files, remote = _open(address)
        files.put_file(str(path), remote)


def store_results(folder: Path, address: str) -> None:
    """Copies the results of a run to a remote folder, `run.json` last, and removes what else is there.

    Raises:
        InputError: They cannot be written there; those of this machine remain.
    """
    names = {str(path.relative_to(folder).as_posix()) for path in _results(folder)} - {RECORD}
    with _errors_of(address):
        files, root = _open(address)
        files.invalidate_cache()
        found = [str(name) for name in files.find(root)]
        old = [name for name in found if name.removeprefix(f"{root}/") not in names]
        if old:
            files.rm(sorted(old, key=lambda name: not name.endswith(RECORD)))
        for name in [*sorted(names), RECORD]:
            files.makedirs(str(PurePosixPath(root, name).parent), exist_ok=True)
            files.put_file(str(folder / name), f"{root}/{name}")


def work_folder(results: str, work: str) -> Path:
    """Returns the folder of this machine for the unfinished results of a batch whose results are remote.

    It is the same in later calls, so that a run goes on that was stopped.
    """
    root = Path(work).expanduser() if work else Path.home() / ".cache" / "video-tracker" / "batch"
    return root / sha256(results.rstrip("/").encode()).hexdigest()[:16]


@contextmanager
def local_source(task: Task) -> Iterator[Path]:
    """Yields the path of a task's source on this machine; a copy of a remote one is removed at the end.

    Raises:
        InputError: It cannot be read.
    """
    if not is_remote(task.source):
        yield Path(task.source)
        return
    folder = task.folder / _SOURCE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = folder / PurePosixPath(urlsplit(task.source, allow_fragments=False).path).name
        if not fetch(task.source, path):
            raise InputError(f"there is no file {task.source}: it was removed")
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch_record(task: Task) -> None:
    """Copies the record of complete remote results to the local folder of a task, unless a run has begun there."""
    if task.results and not (task.folder / RECORD).exists():
        task.folder.mkdir(parents=True, exist_ok=True)
        fetch(f"{task.results}/{RECORD}", task.folder / RECORD)


def publish(task: Task) -> None:
    """Moves the complete results of a task to their remote place; the record alone is there already.

    Raises:
        InputError: They cannot be written there; those of this machine remain, and the next call copies them.
    """
    if not task.results:
        return
    if len(_results(task.folder)) > 1:
        store_results(task.folder, task.results)
    shutil.rmtree(task.folder, ignore_errors=True)


def _results(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _open(address: str) -> tuple[Any, str]:
    """Returns the file system of an address, and the path in it."""
    import fsspec

    files, path = fsspec.url_to_fs(address)
    return files, str(path)


@contextmanager
def _errors_of(address: str) -> Iterator[None]:
    """Turns errors of a remote file system into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{address}: {error}; for s3:// pip install 'video-tracker[remote]'") from None
    except ValueError as error:
        if "Protocol not known" not in str(error):
            raise
        raise InputError(f"{address}: files are not read from there, but from s3://, gs:// and the like") from None
    except _known_errors() as error:
        reason = mask_passwords(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        raise InputError(f"cannot read or write {address}: {' '.join(reason.split())}") from None


def _known_errors() -> tuple[type[Exception], ...]:
    """Returns the errors of the system, and those that the packages behind fsspec, as far as they are loaded, have."""
    loaded = ((sys.modules.get(module), name) for module, name in _LIBRARY_ERRORS)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))
