"""Progress of commands: bars on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.cli.console import error_console, say_error

LINE_INTERVAL = 10.0  # seconds between two lines if there is no terminal

ProgressCallback = Callable[[int, int, str], None]
"""Called with what is done, the total (0 if unknown), and a text."""


class ProgressDisplay:
    """Shows any number of tasks on stderr, each with a bar on a terminal or a line every `LINE_INTERVAL` seconds."""

    def __init__(self, quiet: bool = False) -> None:
        """Shows nothing if `quiet`."""
        console = error_console()
        self.lines = not quiet and not console.is_terminal
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the bars; further calls do nothing."""
        if not self.bars.disable:  # rich before 14.3 would print an empty line all the same
            self.bars.stop()


class ProgressTask:
    """One task of a display; used by one thread at a time."""

    def __init__(self, display: ProgressDisplay, name: str, label: str = "") -> None:
        """Adds a task of a name, with a label beside the bar if that is another."""
        self._display = display
        self._name = name
        self._bar = display.bars.add_task(label or name, total=None, text="")
        self._last_line = time.monotonic()

    def update(self, done: int, total: int, text: str) -> None:
        """Shows what is done, of a total (0 if unknown), and a text."""
        self._display.bars.update(self._bar, completed=done, total=total or None, text=text)
        if self._display.lines and time.monotonic() - self._last_line >= LINE_INTERVAL:
            self._last_line = time.monotonic()
            say_error(f"{self._name}: {text}")

    def remove(self) -> None:
        """Removes the bar."""
        self._display.bars.remove_task(self._bar)


@contextmanager
def progress(name: str) -> Iterator[ProgressCallback]:
    """Shows one task inside the `with` block, and yields the function that updates it."""
    with ProgressDisplay() as display:
        yield ProgressTask(display, name).update
