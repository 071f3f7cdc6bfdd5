"""The record of a run: what was read, with what, and what came of it."""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.errors import InputError

PACKAGES = ("torch", "torchvision", "av", "numpy", "scipy", "opencv-python", "filterpy")
EXTRAS = ("openvino", "onnxruntime")  # not everybody has them


def versions() -> dict[str, str]:
    """Versions of this program, of Python, of the platform, and of the packages that results depend on."""
    from tracker import __version__

    found = {"tracker": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES + EXTRAS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # torch of a system package, say, has no metadata of its own
            found |= {name: "unknown"} if name in PACKAGES else {}
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(config: Config) -> dict[str, Any]:
    """A config as JSON can hold it, from which the same one can be loaded: an endless end becomes the word inf."""
    return json.loads(json.dumps(config.model_dump(mode="json")), parse_constant=str)  # type: ignore[no-any-return]


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record as JSON, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; the other results are complete") from None
    finally:
        part.unlink(missing_ok=True)
