"""Environments of other Pythons and of the oldest dependencies, for `scripts/check --python` and `--oldest`."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDER = ROOT / ".venvs"
EXTRAS = ("train", "openvino", "onnx")  # not eval: trackeval itself needs newer versions of several dependencies
UV = [sys.executable, "-m", "uv"]


def oldest_python() -> str:
    """Returns the oldest Python that the project supports, 3.11 for example."""
    match = re.search(r"\d+\.\d+", PROJECT["requires-python"])
    assert match
    return match[0]


def lower_bounds() -> list[str]:
    """Returns the dependencies with each lower bound as the only version: torch==2.6 for torch>=2.6."""
    optional = PROJECT["optional-dependencies"]
    stated = [*PROJECT["dependencies"], *(requirement for extra in EXTRAS for requirement in optional[extra])]
    return [requirement.replace(">=", "==") for requirement in stated]


def find_python(version: str) -> str | None:
    """Returns a Python of a version, of those on the PATH and those of pyenv; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in (shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")):
        # On the PATH, pyenv has commands of Pythons that are not selected; these only print an error.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return None


def update_environment(name: str, python: str, constraints: list[str]) -> str:
    """Makes an environment, or updates it to the newest versions that the constraints allow; returns its Python.

    Raises:
        subprocess.CalledProcessError: A package cannot be installed; uv has printed why.
    """
    folder = FOLDER / name
    executable = folder / "bin" / "python"
    if not executable.exists():  # it is new, or its Python was removed
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([*UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
    project = f"{ROOT}[{','.join((*EXTRAS, 'test'))}]"
    install = [*UV, "pip", "install", "--python", str(executable), "--upgrade", "--editable", project]
    if constraints:
        file = FOLDER / f"{name}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(constraints), encoding="utf-8")
        install += ["--constraint", str(file)]
    subprocess.run(install, check=True)
    return str(executable)
