"""The site of the documentation: its pages are all there, it builds without a warning, and its notebooks run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tracker
from paths import REPOSITORY

DOCS = REPOSITORY / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def navigation(entries: object) -> list[str]:
    """Returns the files of mkdocs' navigation."""
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [file for value in values for file in navigation(value)]


def test_the_navigation_has_every_page() -> None:
    config = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = [path.relative_to(DOCS).as_posix() for path in (*DOCS.glob("*.md"), *NOTEBOOKS)]
    assert sorted(navigation(config["nav"])) == sorted(pages)


def test_the_api_reference_has_every_public_name() -> None:
    lines = (DOCS / "api.md").read_text(encoding="utf-8").splitlines()
    named = [line.removeprefix("::: ").rpartition(".") for line in lines if line.startswith("::: ")]
    assert sorted(name for _, _, name in named) == sorted(set(tracker.__all__) - {"__version__"})
    skipped = {"train_detector", "train_embedder", "train_classifier"}  # need the extra
    assert all(getattr(tracker, name).__module__ == module for module, _, name in named if name not in skipped)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python", "mkdocs_jupyter"):
        pytest.importorskip(package, reason="the extra [docs] is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="tracker.pipeline.tracker.Tracker.update"' in text and "Tracks the next frame" in text


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("default")  # those of the libraries that a notebook uses are the user's
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    if notebook.stem == "own-classes":
        pytest.importorskip("lightning", reason="the extra [train] is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}:{cell['id']}", "exec"), names)
