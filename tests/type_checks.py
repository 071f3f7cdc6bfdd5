"""Type checks of programs that use the package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paths import REPOSITORY


def check_types(folder: Path, texts: list[str]) -> list[str]:
    """Runs `mypy --strict` on programs that import the package; returns its messages about these programs."""
    pytest.importorskip("mypy", reason="the extra [dev] is not installed")
    for number, text in enumerate(texts):
        # The one option of --strict that the project's own check does without.
        (folder / f"program_{number}.py").write_text(f"{text}\n# mypy: disallow-subclassing-any\n")
    # The cache and the options are those of the project's own check, which has filled that cache if it ran before.
    options = ["--config-file", "pyproject.toml", "--cache-dir", ".mypy_cache", "--no-error-summary"]
    environment = {**os.environ, "MYPYPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "mypy", *options, *map(str, sorted(folder.glob("program_*.py")))]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if Path(line.partition(":")[0]).parent.name == folder.name]
