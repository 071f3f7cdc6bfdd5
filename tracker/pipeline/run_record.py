"""The record of a run: versions, hashes, settings, the source, and how the run ended."""

import hashlib
import json
import os
import platform
import time
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.data.files import write_bytes, write_json
from tracker.data.fingerprint import fingerprint
from tracker.errors import InputError, mask_passwords
from tracker.structures.end_reason import EndReason
from tracker.video import Source
from tracker.video.live_status import LiveStatus

_INTERVAL = 10.0
"""Seconds between two counts of the frames in the record of a run."""
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "av": "av",
    "numpy": "numpy",
    "scipy": "scipy",
    "filterpy": "filterpy",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
"""The packages that results depend on, as far as they are installed, and their modules."""


def versions() -> dict[str, str]:
    """Returns the versions of this program, of Python, of the platform, and of the packages that results depend on."""
    from tracker import __version__

    known = {"tracker": __version__, "python": platform.python_version(), "platform": platform.platform()}
    modules = set()
    for name, module in PACKAGES.items():
        with suppress(metadata.PackageNotFoundError):
            known[name] = metadata.version(name)
            modules.add(module)
    for name, module in PACKAGES.items():  # torch of a system package, say, has no metadata of its own
        if module not in modules and find_spec(module):
            known[name] = "unknown"
            modules.add(module)
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


def source_record(source: Source) -> dict[str, Any]:
    """Returns what the record of a run says of its source.

    Raises:
        InputError: A file of the source can no longer be read.
    """
    try:
        known = fingerprint(source.files)
    except OSError as error:
        raise InputError(f"cannot read {source.uri}: {error.strerror}") from None
    return {
        "name": source.uri,
        "path": "" if not known else source.uri if "://" in source.uri else os.path.abspath(source.uri),
        **({"files": [str(path) for path in source.files]} if len(source.files) > 1 and source.start_time else {}),
        "fingerprint": known,
        "width": source.width,
        "height": source.height,
        "sample_aspect_ratio": str(source.sample_aspect_ratio),
        "frame_rate": str(source.frame_rate),
        "time_base": str(source.time_base),
    }


class RunRecord:
    """The file run.json: written before anything else, and whenever there is more to say.

    Its `status` is running until the run ends, then finished (to the end of the source), stopped (by the user) or
    failed; `end` is the `EndReason`, and `reason` the error of a run that failed. A run that was killed stays running;
    the lock in its folder tells that it is not.
    """

    def __init__(self, path: Path, content: dict[str, Any], status: LiveStatus | None = None) -> None:
        """Writes the record of a run that begins; what happens to a live source is added whenever it is written.

        Raises:
            InputError: It cannot be written.
        """
        self.path = path
        self._status = status
        self._content = {"status": "running", "end": None, "reason": "", **content, "frames": 0}
        self._previous = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        self._written = -inf
        self._write()

    def update(self, **values: Any) -> None:
        """Adds values, and writes them."""
        self._content |= values
        self._write()

    def part(self, folder: Path) -> "RunRecord":
        """Returns the record of a part of this run, in a folder of its own.

        Raises:
            InputError: It cannot be written.
        """
        of_the_run = ("status", "end", "reason", "frames", "live", "earlier", "segments")
        content = {name: value for name, value in self._content.items() if name not in of_the_run}
        return RunRecord(folder / self.path.name, content)

    def count(self, frames: int) -> None:
        """Takes the number of frames so far, and writes it now and then."""
        self._content["frames"] = frames
        if time.monotonic() - self._written >= _INTERVAL:
            self._write()

    def finish(self, end: EndReason, **values: Any) -> None:
        """Writes the end of a run that raised no error."""
        self.update(status="stopped" if end is EndReason.STOPPED else "finished", end=end.value, **values)

    def fail(self, error: BaseException, keep: bool, **values: Any) -> None:
        """Writes the error that ended a run; raises none of its own.

        Args:
            error: The error.
            keep: False to remove the record, or restore the previous one, since nothing else was written.
            values: See `update`.
        """
        with suppress(OSError, InputError):
            if keep:
                self.update(status="failed", end=EndReason.FAILED.value, reason=_describe(error), **values)
            elif self._previous is None:
                self.path.unlink(missing_ok=True)
            else:
                write_bytes(self.path, self._previous)

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._status is not None:
            events = [event.to_json() for event in self._status.events()]
            self._content["live"] = {**self._status.to_json(), "events": events}
        try:
            write_json(self.path, self._content, durable=True)
        except InputError:
            if self.path.parent.is_dir():
                raise
            raise InputError(
                f"cannot write on to {self.path}: it or its folder was removed, renamed or replaced"
            ) from None


def _describe(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, Exception):
        return mask_passwords(f"{type(error).__name__}: {error}")
    return "it was ended at once"  # by a second signal, or because another source of the command was
