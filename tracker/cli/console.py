"""Printing of reports, and checks of the files that they are written to."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType

from tracker.errors import InputError

_UNLIMITED = 10_000  # characters of a line that goes into a pipe or a file


def report_console() -> Console:
    """Returns the console for a report: as wide as the terminal, or without a limit in a pipe or file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNLIMITED)


def print_report(console: Console, parts: Sequence[RenderableType]) -> None:
    """Prints texts and tables, separated by empty lines."""
    # Captured, because rich would end the program itself if the reader of its output is gone.
    with console.capture() as captured:
        for number, part in enumerate(parts):
            console.print(*([""] if number else []), part, sep="\n", soft_wrap=isinstance(part, str))
    print(captured.get(), end="", flush=True)


def check_output(file: Path | None, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Checks, before any work is done, that a file can be written; None needs no check.

    Raises:
        InputError: It has none of the suffixes, its folder is missing, or it exists and may not be replaced.
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
    """Checks, before any work is done, that the folder of a report can be filled; None needs no check.

    Raises:
        InputError: It is a file, or it is not empty and may not be replaced.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--report takes a folder, and {folder} is a file: give another name")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"the folder {folder} of the report is not empty: give --overwrite or another name")
