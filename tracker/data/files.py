"""Writing whole files: what stands under a name is complete, also when the program is killed."""

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tracker.errors import InputError


def create_temporary(path: Path, suffix: str = ".part") -> Path:
    """Creates an empty hidden file in the folder of another file, with a random name that ends with `suffix`."""
    while True:
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{suffix}")
        with suppress(FileExistsError):
            temporary.open("xb").close()
            return temporary


@contextmanager
def replace_file(path: Path, suffix: str = ".part") -> Iterator[Path]:
    """Yields an empty temporary file to be filled, which then takes the place of a file.

    After an error the temporary file is removed and the file at `path` is as it was. A link stays a link. What is no
    regular file, such as a device, cannot be replaced and is yielded itself.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield path
        return
    temporary = create_temporary(target, suffix)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, advice: str = "") -> None:
    """Writes or replaces a file, whole or not at all.

    Raises:
        InputError: It cannot be written; the message ends with `advice`.
    """
    try:
        with replace_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}{advice}") from None


def write_text(path: Path, text: str, advice: str = "") -> None:
    """Writes UTF-8 text whole or not at all; arguments and errors are those of `write_bytes`."""
    write_bytes(path, text.encode(), advice)


def write_json(path: Path, value: Any, indent: int | None = 2, ascii_only: bool = True, advice: str = "") -> None:
    """Writes JSON and a line break, whole or not at all; errors are those of `write_bytes`.

    Args:
        path: The file.
        value: What JSON can hold. NaN and infinity, which it cannot hold, become null.
        indent: Spaces for each level; None for a single line.
        ascii_only: Escape all other characters.
        advice: End of the error message.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    write_text(path, f"{text}\n", advice)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
