"""The ways to install: the requirements without PyTorch are the package's others, and the Dockerfile's steps work."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from paths import REPOSITORY
from tracker.cli.demo import draw_clip

REQUIREMENTS = REPOSITORY / "requirements" / "without-torch.txt"


def test_the_requirements_without_pytorch_are_all_others() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    others = [line for line in project["dependencies"] if not line.startswith("torch")]
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines == [line.replace("opencv-python>", "opencv-python-headless>") for line in others]


def dockerfile_steps() -> list[list[str]]:
    """Returns the instructions of the Dockerfile with their arguments."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the Dockerfile is for Linux")
def test_the_steps_of_the_dockerfile_give_a_program_without_pytorch(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables["PATH"] = f"{environment / 'bin'}:{variables['PATH']}"
    for name, *arguments in dockerfile_steps():
        moved = [re.sub("^/tmp", str(tmp_path), argument) for argument in arguments]
        if name == "COPY" and moved[0] == ".":
            ignored = shutil.ignore_patterns(*(REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split())
            shutil.copytree(REPOSITORY, moved[1], ignore=ignored)
        elif name == "COPY":
            shutil.copy(REPOSITORY / moved[0], moved[1])
        elif name == "RUN":
            subprocess.run(moved, check=True, env=variables)
    assert not list(environment.glob("lib/*/site-packages/torch"))
    size = sum(file.stat().st_size for file in environment.rglob("*") if file.is_file())
    assert size < 0.9e9  # docs/install.md states 0.9 GB
    draw_clip(tmp_path / "clip.mp4")
    command = ["track", "clip.mp4", "--end", "1", "--output", "tracks.csv"]
    subprocess.run(command, check=True, cwd=tmp_path, env=variables)
    assert (tmp_path / "tracks.csv").read_text().count("\n") > 10
