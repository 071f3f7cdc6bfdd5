"""The journal of a run's edits: a file that only grows."""

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.data.claims import claim
from tracker.data.edits.edit import Edit
from tracker.errors import InputError

FILE = "edits.jsonl"
_WAIT = 5.0
"""Seconds to wait for another program that writes to the journal."""


class Conflict(InputError):
    """The journal has entries that the author of a new one had not seen."""


@dataclass(frozen=True)
class Entry:
    """A line of the journal.

    Attributes:
        author: Name of the user.
        time: Of the entry, ISO 8601 in UTC.
        edit: The edit; None for undo and redo.
        action: edit, undo or redo.
    """

    author: str
    time: str
    action: str
    edit: Edit | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold."""
        about = {"author": self.author, "time": self.time, "action": self.action}
        return {**about, **(self.edit.to_json() if self.edit else {})}


class Journal:
    """The edits of the run in a folder.

    Each line is an edit, an undo or a redo, with author and time; nothing is changed or removed. The number of lines is
    the version. Whoever adds a line can say which version they have seen, and is told if there is a newer one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal(Path(folder))
        ...     journal.add(lambda edits: Edit("delete", (3,)), author="ann")
        ...     journal.undo(author="ann")
        ...     journal.version, journal.edits()
        'delete 3'
        'delete 3'
        (2, [])
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder of the run."""
        self.folder = folder
        self.path = folder / FILE

    @property
    def version(self) -> int:
        """Number of lines."""
        return len(self.entries())

    def entries(self) -> list[Entry]:
        """Returns all lines; one that a killed program left half written does not count.

        Raises:
            InputError: A line cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from None
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        return [_parse(line, f"{self.path}, line {number}") for number, line in enumerate(lines, 1)]

    def edits(self) -> list[Edit]:
        """Returns the edits that count: those that were not undone."""
        return replay_entries(self.entries())[0]

    def effective(self) -> list[Entry]:
        """Returns the lines of the edits that count; see `edits`."""
        return _replay(self.entries())[0]

    def add(self, make: Callable[[list[Edit]], Edit], author: str = "", seen: int | None = None) -> str:
        """Adds an edit, and returns it in words.

        Args:
            make: Returns the edit, given the edits that count; called while nobody else can add one.
            author: Name of the user; empty for that of the system.
            seen: The version that the author has seen; None if it does not matter.

        Raises:
            Conflict: There is a newer version; nothing was added.
            InputError: `make` raised it, or the journal cannot be written.
        """
        with self._locked(seen) as entries:
            edit = make(replay_entries(entries)[0])
            self._append(_entry("edit", author, edit))
        return edit.describe()

    def undo(self, author: str = "", seen: int | None = None) -> str:
        """Undoes the latest edit that counts, and returns it in words; see `add`."""
        with self._locked(seen) as entries:
            done, _ = replay_entries(entries)
            if not done:
                raise InputError("there is nothing to undo")
            self._append(_entry("undo", author))
        return done[-1].describe()

    def redo(self, author: str = "", seen: int | None = None) -> str:
        """Redoes the edit that was undone last, and returns it in words; see `add`."""
        with self._locked(seen) as entries:
            _, undone = replay_entries(entries)
            if not undone:
                raise InputError("there is nothing to redo")
            self._append(_entry("redo", author))
        return undone[-1].describe()

    @contextmanager
    def _locked(self, seen: int | None) -> Iterator[list[Entry]]:
        """Yields the lines while nobody else can add one."""
        until = time.monotonic() + _WAIT
        while True:
            locked = claim(self.path)
            try:
                locked.__enter__()
                break
            except InputError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        try:
            entries = self.entries()
            if seen is not None and seen != len(entries):
                latest = entries[-1] if entries else None
                what = f": {latest.author} added {_words(latest)!r}" if latest else ""
                raise Conflict(f"this run was edited elsewhere meanwhile{what}; look at it, and repeat your edit")
            yield entries
        finally:
            locked.__exit__(None, None, None)

    def _append(self, entry: Entry) -> None:
        line = json.dumps(entry.to_json(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            with self.path.open("ab") as file:
                _remove_half_line(self.path)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"cannot write to {self.path}: {error.strerror}") from None


def replay_entries(entries: list[Entry]) -> tuple[list[Edit], list[Edit]]:
    """Returns the edits that count, and those that were undone and can be redone, the next one last."""
    done, undone = _replay(entries)
    return [entry.edit for entry in done if entry.edit], [entry.edit for entry in undone if entry.edit]


def _replay(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    done: list[Entry] = []
    undone: list[Entry] = []
    for entry in entries:
        if entry.edit is not None:
            done.append(entry)
            undone.clear()
        elif entry.action == "undo" and done:
            undone.append(done.pop())
        elif entry.action == "redo" and undone:
            done.append(undone.pop())
    return done, undone


def _entry(action: str, author: str, edit: Edit | None = None) -> Entry:
    return Entry(author or _user(), datetime.now(UTC).isoformat(timespec="seconds"), action, edit)


def _words(entry: Entry) -> str:
    return entry.edit.describe() if entry.edit else entry.action


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"


def _parse(line: bytes, where: str) -> Entry:
    try:
        values = json.loads(line)
        action = str(values["action"])
        edit = Edit.from_json(values) if action == "edit" else None
        return Entry(str(values["author"]), str(values["time"]), action, edit)
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{where} is no edit ({error}): repair or remove it") from None


def _remove_half_line(path: Path) -> None:
    """Removes the part of a line that a killed program left at the end."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
