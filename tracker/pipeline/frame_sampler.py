"""The choice of the frames on which the detector runs."""

import time
from collections.abc import Generator, Iterable
from contextlib import closing
from math import inf
from threading import Event

from tracker.config import Config
from tracker.structures.types import Frame


class FrameSampler:
    """Selects the frames on which the detector runs: every `detect_every`-th, and always the first.

    With `realtime`, frames are delivered no earlier than a camera would deliver them, and the detector runs on a frame
    if the next one is not due yet. If that would leave tracks without detections for `max_age`, after which they end,
    it runs anyway.
    """

    def __init__(self, config: Config) -> None:
        self._every = config.detector.detect_every
        self._realtime = config.detector.realtime
        self._max_age = config.tracker.max_age
        self._stopped = Event()
        self._start = inf  # the clock's time at the source's 0, seconds
        self._latest = self._detected = -inf  # times of the latest frame, and of the latest one with detections

    def throttle(self, frames: Generator[Frame]) -> Generator[Frame]:
        """Yields the frames, with `realtime` none before its time; live sources are paced by themselves."""
        with closing(frames):
            for frame in frames:
                if self._realtime:
                    now = time.monotonic()
                    self._start = now - frame.time if self._start == inf else self._start
                    self._stopped.wait(max(0.0, self._start + frame.time - now))
                yield frame

    def select(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, bool]]:
        """Yields the frames, each with True if the detector runs on it."""
        for number, frame in enumerate(frames):
            yield frame, number % self._every == 0 and (not self._realtime or self._in_time(frame))

    def stop(self) -> None:
        """Ends all waiting; may be called from any thread."""
        self._stopped.set()

    def _in_time(self, frame: Frame) -> bool:
        late = time.monotonic() - self._start - frame.time
        interval, self._latest = frame.time - self._latest, frame.time
        if late < interval or frame.time - self._detected >= self._max_age:
            self._detected = frame.time
            return True
        return False
