"""A run monitor for tests."""

from collections.abc import Callable

from tracker import Frame, Tracks
from tracker.pipeline.monitor import RunMonitor
from tracker.video import Source


class CallbackMonitor(RunMonitor):
    """A monitor that calls functions, and stops the run once one of them returns False."""

    def __init__(
        self,
        on_frame: Callable[[Source, Frame, Tracks], object] = lambda *_: True,
        on_first_pass: Callable[[Source, Frame], object] = lambda *_: True,
    ) -> None:
        self._on_frame = on_frame
        self._on_first_pass = on_first_pass
        self._stop = False

    def on_first_pass(self, source: Source, frame: Frame) -> None:
        self._stop = self._on_first_pass(source, frame) is False

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        self._stop = self._on_frame(source, frame, tracks) is False

    def stop_requested(self) -> bool:
        return self._stop
