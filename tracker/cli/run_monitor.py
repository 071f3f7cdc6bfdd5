"""The monitor of a run on the console: progress, stop signals, and the window of --show."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tracker.cli.progress import ProgressDisplay, ProgressTask
from tracker.cli.signals import SignalState, stop_signals
from tracker.cli.window import Window, open_window
from tracker.config import Config
from tracker.pipeline.monitor import RunMonitor
from tracker.structures.types import Frame, Tracks
from tracker.video import Source

UPDATE_INTERVAL = 0.05  # seconds between two updates of a bar, which cost more than tracking a frame
NAME_WIDTH = 24  # characters of the source's name beside the bar, so that the rest fits into 80 columns
RATE_MOMENTUM = 0.05  # weight of the newest frame in the displayed frame rate


class RunProgress:
    """Shows the progress of one run; an offline run has two passes, each with a bar of its own."""

    def __init__(self, display: ProgressDisplay, name: str = "") -> None:
        """Takes the display, and the name of the run; empty for its source's."""
        self._display = display
        self._name = name
        self._pass: str | None = None
        self._task: ProgressTask | None = None
        self._total = self._frames = 0
        self._interval = 0.0  # seconds for a frame, averaged over the latest ones
        self._last_frame = self._last_update = 0.0

    def count(self, source: Source, pass_name: str, more: str) -> None:
        """Counts a frame of a pass, and shows it; `more` is displayed after the frame rate."""
        now = time.monotonic()
        if pass_name != self._pass:
            self._start(source, pass_name)
        else:
            weight = max(RATE_MOMENTUM, 1 / self._frames)
            self._interval += weight * (now - self._last_frame - self._interval)
        self._last_frame = now
        self._frames += 1
        if now - self._last_update < UPDATE_INTERVAL or self._task is None:
            return
        self._last_update = now
        expected = f"/{self._total}" if self._total else ""
        rate = f", {1 / self._interval:.1f}/s" if self._interval else ""
        self._task.update(self._frames, self._total, f"{self._frames}{expected} frames{rate}{more}")

    def end(self) -> None:
        """Removes the bar."""
        if self._task:
            self._task.remove()

    def _start(self, source: Source, pass_name: str) -> None:
        self.end()
        self._total = self._frames if self._pass is not None else source.expected_frames
        self._frames, self._interval = 0, 0.0
        width = NAME_WIDTH - len(pass_name)
        # Paths of several sources differ most at their ends.
        label = (self._name[-width:] or source.name[:width]) + pass_name
        self._task = ProgressTask(self._display, (self._name or source.name) + pass_name, label)
        self._pass = pass_name


class ConsoleMonitor(RunMonitor):
    """Shows the progress of a run and its annotated frames, and stops it on a signal or when the window is closed.

    A signal in the first pass of an offline run ends that pass; the frames analyzed so far are tracked and written.

    Attributes:
        signals: The signals that came.
        progress: The progress of the run.
    """

    def __init__(
        self, signals: SignalState, progress: RunProgress, offline: bool, window: Window | None = None
    ) -> None:
        self.signals = signals
        self.progress = progress
        self._offline = offline
        self._window = window
        self._window_open = True
        self._handled: int | None = None  # the signal, 0 for none, that ended the first pass

    def on_first_pass(self, source: Source, frame: Frame) -> None:
        self.signals.graceful = True
        self.progress.count(source, " pass 1 of 2", "")

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        self.signals.graceful = True
        if self._handled is None:
            # A signal that came after the first pass ended was meant for it; its result is not to be lost.
            self._handled = self.signals.signal if self._offline else 0
        self.progress.count(source, " pass 2 of 2" if self._offline else "", f", {len(tracks)} live")
        if self._window and not self.stop_requested():
            self._window_open = self._window.show(source, frame, tracks)

    def stop_requested(self) -> bool:
        return self.signals.signal != (self._handled or 0) or not self._window_open


@contextmanager
def console_monitor(config: Config, quiet: bool, categories: Callable[[], Sequence[str]]) -> Iterator[ConsoleMonitor]:
    """Opens the monitor of one run.

    Args:
        config: Settings of the run.
        quiet: True to show no progress.
        categories: Returns the class names by label, for the window.

    Raises:
        InputError: A window is asked for, and there is no screen.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(stop_signals())
        window = stack.enter_context(open_window(categories, config)) if config.output.show else None
        display = stack.enter_context(ProgressDisplay(quiet))
        yield ConsoleMonitor(signals, RunProgress(display), config.tracker.offline, window)
