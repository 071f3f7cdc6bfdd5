"""One source of a batch: what is to be done, and how it ended."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracker.config import Config

Status = Literal["done", "truncated", "failed", "stopped"]
"""done: to the end of the source; truncated: as far as the file goes; failed: an error; stopped: by the user."""

_WITHOUT_EFFECT = {
    "source": {"max_parallel", "timeout"},
    "detector": {"batch_size", "threads"},
    "output": {"output", "detections", "all_tracks", "overwrite", "show"},
}
"""Settings on which the results of a batch do not depend."""


@dataclass(frozen=True)
class Task:
    """A source that is to be tracked.

    Attributes:
        source: Its absolute path, or its address.
        folder: The folder of its results or, where these are remote, that of this machine until they are complete.
        fingerprint: See `tracker.data.fingerprint`; empty if nobody has looked yet.
        attempts: How often it was tried before.
        piece: First and last time, seconds of the source, of the piece in which only to detect; None for all of it.
        is_split: True for all of a source in whose pieces other tasks detect.
        results: Address of the remote folder of its results; empty where `folder` is their place.
        more: Further files, whose absolute paths these are, that continue the recording.
    """

    source: str
    folder: Path
    fingerprint: str
    attempts: int = 0
    piece: tuple[float, float] | None = None
    results: str = ""
    more: tuple[str, ...] = ()
    is_split: bool = False


@dataclass(frozen=True)
class Outcome:
    """The end of a task.

    Attributes:
        status: See `Status`.
        reason: The error of a task that failed, in one sentence; empty otherwise.
        frames: Number of frames processed.
        seconds: Time of the last of them, seconds of the source.
        elapsed: Seconds that it took.
        worker: Name of the worker.
        fingerprint: Of the source; empty if it could not be read.
    """

    status: Status
    reason: str = ""
    frames: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0
    worker: str = ""
    fingerprint: str = ""


def settings_hash(config: Config) -> str:
    """Returns the hexadecimal SHA-256 of those settings on which the results of a batch depend.

    Example:
        >>> from tracker.config import DetectorConfig
        >>> before, faster, other = Config(), DetectorConfig(batch_size=32), DetectorConfig(score=0.3)
        >>> [settings_hash(Config(detector=each)) == settings_hash(before) for each in (faster, other)]
        [True, False]
    """
    values = config.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
