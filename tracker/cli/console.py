"""Printing to the terminal, and checks of the files that reports are written to.

Names of classes and files, and what weights files say of themselves, come from strangers. In all that is printed,
control characters are escaped, so that no text can steer the terminal.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from tracker.errors import InputError, mask_passwords
from tracker.structures.end_reason import EndReason

_UNLIMITED = 10_000  # characters of a line that goes into a pipe or a file
# C0 and C1 controls, and marks that reverse the direction of text, which can make it look like another one.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Returns a text with its control characters escaped; tabs and line breaks stay.

    Example:
        >>> printable("cat\x1b[2J")
        'cat\\x1b[2J'
    """
    return _CONTROLS.sub(lambda control: control[0].encode("unicode_escape").decode(), text)


def say(*lines: str) -> None:
    """Prints lines on standard output, at once.

    Raises:
        BrokenPipeError: The reader is gone.
        InputError: They cannot be written, for example because the disk is full.
    """
    write_output(printable("".join(f"{line}\n" for line in lines)))


def write_output(text: str) -> None:
    """Writes a text on standard output as it is, at once; errors are those of `say`."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(error) from None


def output_error(error: OSError) -> InputError:
    """Returns the error for standard output that cannot be written; from now on it goes nowhere."""
    discard_output()
    return InputError(f"cannot write to standard output: {error.strerror}")


def output_failed() -> bool:
    """Returns True if what is buffered for standard output cannot be written."""
    try:
        print(end="", flush=True)
    except OSError:
        return True
    return False


def say_error(text: str) -> None:
    """Prints a line on standard error, without passwords; where it cannot be written, nobody is there to be told."""
    _QuietStream(sys.stderr).write(f"{printable(mask_passwords(text))}\n")


def discard_output() -> None:
    """Sends standard output nowhere, so that nothing more fails, not even what Python writes when it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def escape_what_cannot_be_encoded() -> None:
    """Lets the terminal show a character that it does not have (ASCII) as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


class SafeConsole(Console):
    """A console of rich that escapes control characters of the texts that it renders."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Renders an object; the control codes are rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Leaves it to `main` that the reader is gone; rich would end the program."""
        raise BrokenPipeError


class _QuietStream:
    """A stream that raises no error: no run may end because nobody can see its progress."""

    def __init__(self, stream: TextIO | None) -> None:
        """Takes the stream; None for standard error that was closed before the start."""
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream is not None:
            with suppress(OSError, ValueError):  # ValueError: it is closed
                self._stream.write(text)
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Does nothing: `write` has flushed."""

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "ascii"


def error_console() -> Console:
    """Returns the console for progress, on standard error."""
    return SafeConsole(file=cast(TextIO, _QuietStream(sys.stderr)))  # rich uses no more of a stream


def report_console() -> Console:
    """Returns the console for a report: as wide as the terminal, or without a limit in a pipe or file."""
    console = SafeConsole(highlight=False, markup=False)
    return console if console.is_terminal else SafeConsole(highlight=False, markup=False, width=_UNLIMITED)


def print_report(console: Console, parts: Sequence[RenderableType]) -> None:
    """Prints texts and tables, separated by empty lines; errors are those of `say`."""
    with console.capture() as captured:
        for number, part in enumerate(parts):
            console.print(*([""] if number else []), part, sep="\n", soft_wrap=isinstance(part, str))
    write_output(captured.get())


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
    if os.path.lexists(file) and not overwrite:
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


def exit_code(end: EndReason, signal_code: int = 0, live: bool = False) -> int:
    """Returns the exit code for the end of a run: 0 if all came that was asked for, else 2.

    Args:
        end: The end.
        signal_code: Exit code of the signal that stopped it; 0 without one. What was stopped before its end is not
            complete, and a script that goes on to remove the source has to see that.
        live: True for a live source, which has no end, so that a signal is how it is asked to stop.

    Example:
        >>> exit_code(EndReason.STOPPED, 130), exit_code(EndReason.STOPPED, 130, live=True)
        (130, 0)
    """
    if signal_code and not (live and end is EndReason.STOPPED):
        return signal_code
    return 0 if end.is_success else 2
