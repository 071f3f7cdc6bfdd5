"""What a person sees of runs while they go on, and how a signal ends them."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tracker.cli.console import PLAIN_INTERVAL
from tracker.pipeline.file_run import Looker, Watcher
from tracker.structures.types import Frame, Tracks
from tracker.video import Source

SHOW_INTERVAL = 0.05  # seconds between two updates of the bar, which cost more than tracking a frame
NAME_WIDTH = 24  # characters of the source's name beside the bar, so that the rest fits into 80 columns
RATE_MEMORY = 0.05  # weight of the newest frame in the shown frame rate


class SignalState:
    """What to do with a signal that asks for an end.

    Attributes:
        signal: The one that came, 0 for none.
        gently: Whether there is something to finish.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.gently = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal or not self.gently:
            sys.exit(128 + number)
        self.signal = number


@contextmanager
def stop_signals() -> Iterator[SignalState]:
    """Turns SIGINT and SIGTERM into a wish to end, see `SignalState`, as long as this is open."""
    stop = SignalState()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def watchers(stop: SignalState, line: "RunLine", offline: bool) -> tuple[Watcher, Looker]:
    """What shows how a run over one source goes, and ends it when a signal asks for that."""
    heeded: list[int] = []  # the signal, 0 for none, that was meant for the first look, not for the one that writes

    def look(source: Source, frame: Frame) -> bool:
        stop.gently = True
        line.show(source, " look 1 of 2", "")
        return stop.signal == 0

    def watch(source: Source, frame: Frame, tracks: Tracks) -> bool:
        stop.gently = True
        if not heeded:
            # What came since the first look ended was meant for that; its fruit is not to be lost.
            heeded.append(stop.signal if offline else 0)
        line.show(source, " look 2 of 2" if offline else "", f", {len(tracks)} live")
        return stop.signal == heeded[0]

    return watch, look


class RunProgress:
    """A bar for each run on a terminal; elsewhere a line now and then."""

    def __init__(self, quiet: bool) -> None:
        console = Console(stderr=True)
        self.lines = not quiet and not console.is_terminal
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> "RunProgress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


class RunLine:
    """Shows how one run goes; used by one thread at a time."""

    def __init__(self, progress: RunProgress, name: str = "") -> None:
        """Takes where it is shown, and what the run is called there; without a name as its source."""
        self._progress = progress
        self._name = name
        self._looks: list[str] = []
        self._task = TaskID(0)
        self._total = self._frames = 0
        self._interval = 0.0  # seconds for a frame, averaged over the latest ones
        self._last_frame = self._last_shown = self._last_line = 0.0

    def show(self, source: Source, look: str, more: str) -> None:
        """Counts a frame; shown with it are which look at the source it is of, and `more`."""
        now = time.monotonic()
        if look not in self._looks:
            self._begin(source, look, now)
        else:
            weight = max(RATE_MEMORY, 1 / self._frames)
            self._interval += weight * (now - self._last_frame - self._interval)
        self._last_frame = now
        self._frames += 1
        if now - self._last_shown < SHOW_INTERVAL:
            return
        self._last_shown = now
        expected = f"/{self._total}" if self._total else ""
        rate = f", {1 / self._interval:.1f}/s" if self._interval else ""
        text = f"{self._frames}{expected} frames{rate}{more}"
        self._progress.bar.update(self._task, completed=self._frames, text=text)
        if self._progress.lines and now - self._last_line >= PLAIN_INTERVAL:
            self._last_line = now
            print(f"{self._name or source.name}{look}: {text}\n", end="", file=sys.stderr)

    def end(self) -> None:
        """Shows it no longer."""
        if self._looks:
            self._progress.bar.remove_task(self._task)

    def _begin(self, source: Source, look: str, now: float) -> None:
        self.end()
        self._total = self._frames if self._looks else source.expected_frames
        self._frames, self._interval = 0, 0.0
        self._last_line = now
        width = NAME_WIDTH - len(look)
        # Of a path the end tells most.
        name = self._name[-width:] or source.name[:width]
        self._task = self._progress.bar.add_task(name + look, total=self._total or None, text="")
        self._looks.append(look)
