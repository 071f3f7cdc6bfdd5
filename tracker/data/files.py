"""Writing whole files: what stands under a name is complete, also when the program is killed."""

import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tracker.errors import InputError


def create_temporary(path: Path, suffix: str = ".part") -> Path:
    """Creates an empty hidden file in the folder of another file, with a random name that ends with `suffix`."""
    while True:
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{suffix}")
        with suppress(FileExistsError):
            temporary.open("xb").close()
            return temporary


@contextmanager
def replace_file(path: Path, suffix: str = ".part", overwrite: bool = True, durable: bool = False) -> Iterator[Path]:
    """Yields an empty temporary file to be filled, which then takes the place of a file.

    After an error the temporary file is removed and the file at `path` is as it was. A link at `path` is replaced, not
    followed, and a file that has other names (hard links) keeps its content under them. What is neither a file nor a
    link, such as a device, cannot be replaced and is yielded itself.

    Args:
        path: The file.
        suffix: End of the temporary file's name.
        overwrite: False to raise a FileExistsError if there is anything at `path` by the time it is filled.
        durable: True to wait until the disk has it, so that it is whole after a power cut too.
    """
    if is_special(path):
        yield path
        return
    temporary = create_temporary(path, suffix)
    try:
        yield temporary
        if durable:
            sync(temporary)
        move_file(temporary, path, overwrite)
        if durable:
            sync(path.parent)
    finally:
        remove_file(temporary)


def move_file(temporary: Path, path: Path, overwrite: bool) -> None:
    """Gives a file another name in its folder; what stands there is replaced at once, or is a FileExistsError."""
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a renaming, it fails if the name is taken
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(temporary, path)
    else:
        temporary.unlink()


def open_new_file(path: Path, overwrite: bool = True) -> BinaryIO:
    """Creates an empty file under a name that nothing else has, and opens it unbuffered, to be written and read.

    What stands at `path` is replaced as `replace_file` does, before anything is written: a link is not followed, and
    other names of the file keep its content. A device or pipe is opened itself.

    Raises:
        FileExistsError: There is something at `path`, and `overwrite` is False.
        OSError: The file cannot be created.
    """
    with suppress(FileExistsError):
        return path.open("x+b", buffering=0)
    if not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if is_special(path):
        return path.open("wb", buffering=0)
    with replace_file(path) as temporary:
        return temporary.open("r+b", buffering=0)


def sync(path: Path) -> None:
    """Waits until the disk has the content of a file or, of a folder, the names in it.

    Raises:
        OSError: The disk does not take it.
    """
    if path.is_dir() and os.name == "nt":  # where a folder cannot be opened, and names need no waiting
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_still_at(path: Path, file: os.stat_result) -> bool:
    """Returns True if an open file, by its `os.fstat`, still has a name: it was neither removed nor replaced."""
    try:
        return file.st_nlink > 0 or os.path.samestat(file, path.stat())
    except OSError:
        return False


def remove_file(path: Path) -> None:
    """Removes a file after an error, and raises no other one; devices and pipes stay."""
    with suppress(OSError):
        if not is_special(path):
            path.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Returns True for what can be neither created nor replaced: a device, a pipe, a folder."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def write_bytes(path: Path, data: bytes, advice: str = "", durable: bool = False) -> None:
    """Writes or replaces a file, whole or not at all; `durable` as for `replace_file`.

    Raises:
        InputError: It cannot be written; the message ends with `advice`.
    """
    try:
        with replace_file(path, durable=durable) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}{advice}") from None


def write_text(path: Path, text: str, advice: str = "", durable: bool = False) -> None:
    """Writes UTF-8 text whole or not at all; arguments and errors are those of `write_bytes`."""
    # Names of files may hold bytes that are no text, which Python keeps as surrogates.
    write_bytes(path, text.encode(errors="backslashreplace"), advice, durable)


def write_json(
    path: Path,
    value: Any,
    indent: int | None = 2,
    ascii_only: bool = True,
    advice: str = "",
    durable: bool = False,
) -> None:
    """Writes JSON and a line break, whole or not at all; errors are those of `write_bytes`.

    Args:
        path: The file.
        value: What JSON can hold. NaN and infinity, which it cannot hold, become null.
        indent: Spaces for each level; None for a single line.
        ascii_only: Escape all other characters.
        advice: End of the error message.
        durable: See `replace_file`.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    write_text(path, f"{text}\n", advice, durable)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
