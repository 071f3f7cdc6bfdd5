"""The manifest of a batch: a Parquet file with a row for each source, by which a second call knows what is left."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.data.files import replace_file
from tracker.errors import InputError
from tracker.pipeline.batch.remote import fetch, store
from tracker.pipeline.batch.task import Outcome, Task

NAME = "manifest.parquet"
_INTERVAL = 5.0
"""Least seconds between two writes. What a killed driver has not written, the next finds in the folders of results."""


@dataclass(frozen=True)
class ManifestRow:
    """A source of a batch: its file, its settings, and its latest attempt.

    Attributes:
        source: Its absolute path, or its address.
        name: Name of its folder, `source=NAME`, in that of the results.
        fingerprint: See `tracker.data.fingerprint`.
        size: Bytes of the file.
        modified_ns: Time at which it was last written, nanoseconds since 1970.
        config: Hash of the settings (see `settings_hash`).
        status: See `tracker.pipeline.batch.task.Status`; empty for a source that was not tried.
        reason: The error of a source that failed.
        attempts: Number of attempts.
        worker: The worker that tried it last.
        frames: Frames that were processed.
        seconds: Time of the last of them, seconds of the source.
        elapsed_s: Seconds that it took.
        ended: UTC, ISO 8601.
        files: Number of files, of which the first is `source`.
    """

    source: str
    name: str
    fingerprint: str
    size: int
    modified_ns: int
    config: str
    status: str = ""
    reason: str = ""
    attempts: int = 0
    worker: str = ""
    frames: int = 0
    seconds: float = 0.0
    elapsed_s: float = 0.0
    ended: str = ""
    files: int = 1


_MOST_WRITING = 0.05
"""Fraction of the time that may be spent on writing, which takes longer the more sources there are."""
_TYPES: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_SCHEMA = pa.schema([(field.name, _TYPES[field.type]) for field in fields(ManifestRow)])  # type: ignore[index]


class Manifest:
    """The rows of a manifest by source; written whole, and not more often than every few seconds.

    Attributes:
        path: The file.
        results: Address of the remote folder that has a copy of it, and the results; empty where there is none.
    """

    def __init__(self, path: Path, results: str = "") -> None:
        """Reads the file, if there is one; what a remote folder has counts more than what is on this machine.

        Raises:
            InputError: It cannot be read, or is none.
        """
        self.path = path
        self.results = results.rstrip("/")
        if self.results and not fetch(f"{self.results}/{NAME}", path):
            path.unlink(missing_ok=True)
        self._next_write = time.monotonic() + _INTERVAL
        self._rows = {row.source: row for row in _read(path)} if path.exists() else {}

    def __iter__(self) -> Iterator[ManifestRow]:
        return iter(self._rows.values())

    def get(self, source: str) -> ManifestRow | None:
        """Returns the row of a source."""
        return self._rows.get(source)

    def add(self, row: ManifestRow) -> None:
        """Adds the row of a source, or replaces it; nothing is written yet."""
        self._rows[row.source] = row

    def record(self, task: Task, outcome: Outcome) -> None:
        """Takes the end of a task, and writes the file now and then.

        Raises:
            InputError: It cannot be written.
        """
        row = replace(
            self._rows[task.source],
            fingerprint=outcome.fingerprint or task.fingerprint,
            status=outcome.status,
            reason=outcome.reason,
            attempts=task.attempts + 1,
            worker=outcome.worker,
            frames=outcome.frames,
            seconds=outcome.seconds,
            elapsed_s=round(outcome.elapsed, 3),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.add(row)
        if time.monotonic() >= self._next_write:
            self.write()

    def write(self) -> None:
        """Writes the file, whole or not at all.

        Raises:
            InputError: It cannot be written.
        """
        start = time.monotonic()
        rows = self._rows.values()
        columns = [[getattr(row, name) for row in rows] for name in _SCHEMA.names]
        table = pa.table(columns, schema=_SCHEMA)
        try:
            with replace_file(self.path, durable=True) as temporary:
                pq.write_table(table, temporary, compression="zstd")
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from None
        if self.results:
            store(self.path, f"{self.results}/{NAME}")
        end = time.monotonic()
        self._next_write = end + max(_INTERVAL, (end - start) / _MOST_WRITING)


def _read(path: Path) -> list[ManifestRow]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no manifest of a batch ({reason}): give another --output, or remove it") from None
    return [ManifestRow(**row) for row in rows]
