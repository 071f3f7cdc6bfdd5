"""The saved state of a tracker, by which ids go on after a restart of the program."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tracker.data.files import write_bytes
from tracker.errors import InputError

_FORMAT = "3"


@dataclass(frozen=True, eq=False)
class TrackerState:
    """The live tracks of a `DeepSort`, and its counters.

    Attributes:
        arrays: The columns of its `TrackTable`, its embeddings and the noise that it has measured, by name.
        started: Tracks started so far.
        confirmed: Ids given so far.
        time: Time of its latest frame, seconds since the start of the source.
        unix_start: Seconds since 1970 (UTC) at the start of the source.
        stamp: Timestamp of the latest frame in the stream's own clock, seconds; None where it is not known.
    """

    arrays: dict[str, NDArray[Any]]
    started: int
    confirmed: int
    time: float
    unix_start: float = 0.0
    stamp: float | None = None

    def save(self, path: Path, categories: tuple[str, ...]) -> None:
        """Writes the state, whole or not at all; its labels are indices into the categories.

        Raises:
            InputError: It cannot be written.
        """
        numbers = {name: getattr(self, name) for name in ("started", "confirmed", "time", "unix_start", "stamp")}
        metadata = {"format": _FORMAT, "categories": json.dumps(categories), "numbers": json.dumps(numbers)}
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        write_bytes(path, save(arrays, metadata))

    @classmethod
    def load(cls, path: Path, categories: tuple[str, ...]) -> "TrackerState":
        """Reads a state.

        Raises:
            InputError: It cannot be read, or is that of a run with other categories or of another version.
        """
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            if metadata["format"] != _FORMAT or tuple(json.loads(metadata["categories"])) != categories:
                raise InputError(f"{path} is of a run with other classes or of another version: ids begin anew")
            return cls(arrays, **json.loads(metadata["numbers"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is no saved state of a tracker: ids begin anew") from error
