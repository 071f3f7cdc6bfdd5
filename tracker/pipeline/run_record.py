"""Parts of the record of a run: versions, hashes, and the settings as JSON."""

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.data.files import write_json

PACKAGES = ("torch", "torchvision", "av", "numpy", "scipy", "opencv-python", "filterpy")
EXTRAS = ("openvino", "onnxruntime")  # optional


def versions() -> dict[str, str]:
    """Returns the versions of this program, of Python, of the platform, and of the packages that results depend on."""
    from tracker import __version__

    known = {"tracker": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES + EXTRAS:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # torch of a system package, say, has no metadata of its own
            known |= {name: "unknown"} if name in PACKAGES else {}
    return known


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def config_to_json(config: Config) -> dict[str, Any]:
    """Returns a config as JSON can hold it, from which it can be loaded again; infinity becomes the word inf."""
    return json.loads(json.dumps(config.model_dump(mode="json")), parse_constant=str)  # type: ignore[no-any-return]


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record as JSON, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    write_json(path, record, advice="; the other results are complete")
