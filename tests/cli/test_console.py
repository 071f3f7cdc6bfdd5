"""Texts for the terminal: no control characters of strangers, no passwords, no error because it cannot show a text."""

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table

from tracker.cli.app import main
from tracker.cli.console import SafeConsole, error_console, print_report, printable, say, say_error
from tracker.cli.progress import ProgressDisplay, ProgressTask
from tracker.errors import InputError

EVIL = "cat\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
SAFE = r"cat\x1b]0;title\x07\x1b[2J\x9b31m\u202e"


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(EVIL) == SAFE and printable("größe\t\n猫") == "größe\t\n猫"
    say(EVIL, "next")
    say_error(EVIL)
    assert capsys.readouterr() == (f"{SAFE}\nnext\n", f"{SAFE}\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_tables_and_bars_are_escaped(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    console = SafeConsole(force_terminal=terminal, width=200, highlight=False, markup=False)
    table = Table("class")
    table.add_row(EVIL)
    print_report(console, [f"[red]{EVIL}", table])
    output = capsys.readouterr().out
    assert output.startswith(r"[red]cat\x1b]0;title") and "\x1b]" not in output and "\x9b" not in output
    assert "\x1b[2J" not in output and ("\x1b" in output) == terminal  # the bold head is ours


def test_a_progress_line_shows_no_password(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.cli.progress.LINE_INTERVAL", 0.0)
    with ProgressDisplay() as display:
        ProgressTask(display, f"rtsp://me:secret@host/{EVIL}").update(1, 2, "1/2 frames")
    assert capsys.readouterr().err == f"rtsp://me:***@host/{SAFE}: 1/2 frames\n"


class Broken(io.TextIOBase):
    """A stream that cannot be written."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("stream", [None, Broken(OSError(28, "No space left on device")), Broken(ValueError("closed"))])
def test_errors_that_nobody_can_see_end_nothing(monkeypatch: pytest.MonkeyPatch, stream: io.TextIOBase | None) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    say_error("not seen")
    error_console().print("not seen")


def test_output_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.cli.console.discard_output", lambda: None)
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="cannot write to standard output: No space left on device"):
        say("lost")
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        say("lost")


def run_main(command: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("tracker.cli.app.app", command)
    with pytest.raises(SystemExit) as end:
        main([])
    return int(end.value.code or 0)


def test_warnings_of_the_library_are_printed_safely(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*_: object, **__: object) -> int:
        logging.getLogger("tracker.video").warning("%s of rtsp://me:se/cr@et@host", EVIL)
        return 0

    assert run_main(command, monkeypatch) == 0
    assert capsys.readouterr().err == f"warning: {SAFE} of rtsp://me:***@host\n"


def test_errors_are_printed_safely(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*_: object, **__: object) -> int:
        raise InputError(f"cannot open {EVIL} of http://host/a?token=secret")

    assert run_main(command, monkeypatch) == 2
    assert capsys.readouterr().err == f"track: cannot open {SAFE} of http://host/a?token=***\n"


def test_the_traceback_of_a_bug_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*_: object, **__: object) -> int:
        raise ZeroDivisionError("at 'rtsp://me:secret@host/live'")

    monkeypatch.setattr("tracker.cli.app.app", command)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with pytest.raises(ZeroDivisionError) as bug:
        main([])
    sys.excepthook(bug.type, bug.value, bug.tb)
    errors = capsys.readouterr().err
    assert errors.startswith("Traceback ") and errors.endswith("ZeroDivisionError: at 'rtsp://me:***@host/live'\n")


def test_names_of_files_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of ASCII, and a name that is not UTF-8."""
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr("tracker.cli.app.app", lambda *_, **__: say("größe", "\udcff.mp4") or 0)
    with pytest.raises(SystemExit):
        main([])
    assert output.buffer.getvalue() == b"gr\\xf6\\xdfe\n\\udcff.mp4\n"  # type: ignore[attr-defined]
