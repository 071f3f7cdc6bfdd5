"""scripts/check: the commands that it runs."""

import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest

from paths import REPOSITORY


def run_check(monkeypatch: pytest.MonkeyPatch, *arguments: str, failing: str = "") -> tuple[list[list[str]], object]:
    """Runs the script without running its commands; returns these and the exit code. `failing` is one that fails."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command[2:])
        return SimpleNamespace(returncode=int(command[2] == failing))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["check", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPOSITORY / "scripts" / "check"))
    return commands, end.value.code


def test_style_format_types_and_tests_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, code = run_check(monkeypatch)
    assert [command[:2] for command in commands[:2]] == [["ruff", "check"], ["ruff", "format"]]
    assert commands[1][2] == "--check" and commands[2] == ["mypy"]
    assert commands[3][0] == "pytest" and commands[3][-2:] == ["-m", "not long"]
    assert code == 0


def test_fast_leaves_out_slow_tests_and_other_arguments_go_to_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_check(monkeypatch, "--fast", "tests/video")[0][3][-3:] == ["-m", "not long and not slow", "tests/video"]
    assert run_check(monkeypatch, "-m", "long")[0][3][-2:] == ["-m", "long"]


def test_all_commands_run_and_a_failure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, code = run_check(monkeypatch, failing="mypy")
    assert len(commands) == 4
    assert code == "failed: mypy"
