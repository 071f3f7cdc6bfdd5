"""What reports to a person share: their page, the progress before it, and the files that they may write."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.errors import InputError

PLAIN_INTERVAL = 10.0  # seconds between two lines of progress where there is no terminal
_UNLIMITED = 10_000  # characters of a line that goes into a pipe or a file


def page() -> Console:
    """Where a report is printed: as wide as the terminal, or as wide as it gets."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNLIMITED)


def print_report(console: Console, parts: Sequence[RenderableType]) -> None:
    """Prints texts and tables with an empty line between each two."""
    # Captured, because rich would end the program itself when nobody reads its output any more.
    with console.capture() as captured:
        for number, part in enumerate(parts):
            console.print(*([""] if number else []), part, sep="\n", soft_wrap=isinstance(part, str))
    print(captured.get(), end="", flush=True)


Show = Callable[[int, int, str], None]


@contextmanager
def progress(what: str) -> Iterator[Show]:
    """A bar on a terminal, elsewhere a line now and then; gives what is told how much is done, of what, in words."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn()
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None, text="")

        def show(done: int, total: int, text: str) -> None:
            nonlocal last_line
            bar.update(task, completed=done, total=total, text=text)
            if not console.is_terminal and time.monotonic() - last_line >= PLAIN_INTERVAL:
                last_line = time.monotonic()
                print(f"{what}: {text}", file=sys.stderr)

        yield show


def check_output(file: Path | None, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Makes sure, before any work is done, that a file can be written; without a file there is nothing to check.

    Raises:
        InputError: Its name ends with none of the suffixes, its folder is missing, or it exists and may not.
    """
    if file is None:
        return
    if file.suffix.lower() not in suffixes:
        raise InputError(f"the name of the output {file} must end with {' or '.join(suffixes)}")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent} for the output {file.name}: make it first")
    if file.exists() and not overwrite:
        raise InputError(f"the output {file} exists: give --overwrite or another name")


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """The same of the folder of a report.

    Raises:
        InputError: It is a file, or holds something and may not.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--report takes a folder, and {folder} is a file: give another name")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"the folder {folder} of the report is not empty: give --overwrite or another name")
