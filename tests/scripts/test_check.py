"""scripts/check: the commands that it runs."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import environments
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


def run_smoke(monkeypatch: pytest.MonkeyPatch, folder: Path, *flags: str) -> list[str]:
    """Returns the command that installs packages into the environment of some flags."""
    monkeypatch.setattr(environments, "FOLDER", folder)
    monkeypatch.setattr(environments, "find_python", lambda version: f"/opt/{version}/python")
    (venv, install, tests), code = run_check(monkeypatch, *flags)
    assert venv[:2] == ["uv", "venv"] and Path(venv[-1]).parent == folder
    assert install[:3] == ["uv", "pip", "install"] and install[install.index("--python") + 1].startswith(venv[-1])
    assert tests[0] == "pytest" and tests[-2:] == ["-m", "smoke"]
    assert code == 0
    return install


def test_smoke_tests_run_in_an_environment_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "--constraint" not in run_smoke(monkeypatch, tmp_path, "--python", "3.13")
    install = run_smoke(monkeypatch, tmp_path, "--oldest")
    constraints = Path(install[install.index("--constraint") + 1]).read_text(encoding="utf-8")
    assert constraints.splitlines() == environments.lower_bounds()


def test_a_python_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(environments, "find_python", lambda version: None)
    assert run_check(monkeypatch, "--python", "3.13") == ([], 0)
    assert capsys.readouterr().out.startswith("skipped: there is no Python 3.13")


def test_a_failed_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, python: str, constraints: list[str]) -> str:
        raise subprocess.CalledProcessError(1, "uv")

    monkeypatch.setattr(environments, "find_python", lambda version: sys.executable)
    monkeypatch.setattr(environments, "update_environment", fail)
    assert run_check(monkeypatch, "--oldest") == ([], "failed: installing oldest")


def test_the_oldest_versions_are_those_of_pyproject() -> None:
    bounds = environments.lower_bounds()
    assert {"numpy", "torch", "av", "lightning", "onnx"} <= {re.split("[=<>]", bound)[0] for bound in bounds}
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", bound) for bound in bounds)
    assert environments.oldest_python() == "3.11"


def test_pythons_of_pyenv_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim = tmp_path / "shims" / "python3.13"
    python = tmp_path / "versions" / "3.13.0" / "bin" / "python"
    for file, status in ((shim, 127), (python, 0)):
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\nexit {status}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert environments.find_python("3.13") == str(python)
    assert environments.find_python("3.99") is None
