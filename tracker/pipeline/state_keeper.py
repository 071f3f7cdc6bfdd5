"""Keeps the state of a tracker in a file, for the next run over the same live source."""

import logging
from dataclasses import replace
from pathlib import Path

from tracker.errors import InputError
from tracker.structures.types import Frame
from tracker.tracking import DeepSort
from tracker.tracking.state import TrackerState

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two times that the state is written."""
_SPARE_IDS = 1000
"""Ids that a run which goes on after a killed one leaves out: more than can be given in `INTERVAL`."""


class StateKeeper:
    """Restores a tracker before the first frame, and writes its state every few seconds and at the end.

    Does nothing without a file, and for frames without a date. A state that cannot be used, or not be written, is told
    once, and the run goes on.
    """

    def __init__(self, path: Path | None, tracker: DeepSort, categories: tuple[str, ...]) -> None:
        """Takes the file, the tracker, and the class names by label."""
        self._path = path
        self._tracker = tracker
        self._categories = categories
        self._unix_start: float | None = None
        self._written = 0.0

    def on_frame(self, frame: Frame) -> None:
        """To be called before the tracker takes a frame."""
        if self._path is None or frame.unix_time is None:
            return
        if self._unix_start is None:
            self._unix_start = frame.unix_time - frame.time
            self._restore(self._path, self._unix_start, frame.time)
            self._written = frame.time
        elif frame.time - self._written >= INTERVAL:
            self._written = frame.time
            self._write(_SPARE_IDS)

    def close(self) -> None:
        """Writes the state, if there was a frame."""
        if self._unix_start is not None:
            self._write()

    def _restore(self, path: Path, unix_start: float, time: float) -> None:
        if not path.exists():
            return
        try:
            state = TrackerState.load(path, self._categories)
        except InputError as error:
            logger.warning("%s", error)
            return
        elapsed = unix_start - state.unix_start
        if state.time - elapsed < time:  # else the clock was set back meanwhile
            self._tracker.restore(state, elapsed)

    def _write(self, spare_ids: int = 0) -> None:
        if self._path is None or self._unix_start is None:
            return
        try:
            state = self._tracker.state()
            state = replace(state, unix_start=self._unix_start, confirmed=state.confirmed + spare_ids)
            state.save(self._path, self._categories)
        except InputError as error:
            logger.warning("%s", error)
            self._path = None
