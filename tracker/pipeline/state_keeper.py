"""Keeps the state of a tracker in a file, for the next run over the same live source."""

import logging
from dataclasses import replace
from math import isfinite
from pathlib import Path

from tracker.errors import InputError
from tracker.structures.types import Frame
from tracker.tracking import DeepSort
from tracker.tracking.state import TrackerState
from tracker.video.live_clock import LiveClock

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two times that the state is written."""
_SPARE_IDS = 1000
"""Ids that a run which goes on after a killed one leaves out: more than can be given in `INTERVAL`."""


class StateKeeper:
    """Restores a tracker before the first frame, and writes its state every few seconds and at the end.

    A playlist serves its latest frames again after a restart: its clock is told which of them were tracked already.
    Does nothing without a file, and for frames without a date. A state that cannot be used, or not be written, is told
    once, and the run goes on.
    """

    def __init__(
        self, path: Path | None, tracker: DeepSort, categories: tuple[str, ...], clock: LiveClock | None = None
    ) -> None:
        """Reads the state, if there is one; to be called before the source is read.

        Args:
            path: The file of the state; None for none.
            tracker: What is restored and saved.
            categories: The class names by label.
            clock: Of the live source.
        """
        self._path = path
        self._tracker = tracker
        self._categories = categories
        self._clock = clock
        self._unix_start: float | None = None
        self._written = 0.0
        self._state: TrackerState | None = None  # of the earlier run, until the first frame
        if path is not None and path.exists():
            try:
                self._state = TrackerState.load(path, categories)
            except InputError as error:
                logger.warning("%s", error)
        if clock is not None and self._state is not None and self._state.stamp is not None:
            clock.resume(self._state.stamp, self._state.unix_start + self._state.time)

    def on_frame(self, frame: Frame) -> None:
        """To be called before the tracker takes a frame."""
        if self._path is None or frame.unix_time is None:
            return
        is_first = self._unix_start is None
        self._unix_start = frame.unix_time - frame.time
        if is_first:
            self._restore(self._unix_start, frame.time)
            self._written = frame.time
        elif frame.time - self._written >= INTERVAL:
            self._written = frame.time
            self._write(_SPARE_IDS)

    def close(self) -> None:
        """Writes the state, if there was a frame."""
        if self._unix_start is not None:
            self._write()

    def _restore(self, unix_start: float, time: float) -> None:
        state, self._state = self._state, None
        if state is None:
            return
        elapsed = unix_start - state.unix_start
        if state.time - elapsed < time:  # else the clock was set back meanwhile
            self._tracker.restore(state, elapsed)

    def _write(self, spare_ids: int = 0) -> None:
        if self._path is None or self._unix_start is None:
            return
        try:
            state = self._tracker.state()
            stamp = state.time + self._clock.offset if self._clock and isfinite(state.time) else None
            confirmed = state.confirmed + spare_ids
            state = replace(state, unix_start=self._unix_start, stamp=stamp, confirmed=confirmed)
            state.save(self._path, self._categories)
        except InputError as error:
            logger.warning("%s", error)
            self._path = None
