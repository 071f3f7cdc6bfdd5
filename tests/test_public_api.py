"""The public names: exact, documented, typed, and light to import."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import tracker
from paths import REPOSITORY
from type_checks import check_types

PACKAGES = sorted(
    f"tracker.{path.parent.name}" for path in Path(tracker.__file__).parent.glob("*/__init__.py") if path.read_text()
)


def import_package(name: str) -> ModuleType:
    if name == "tracker.training":
        pytest.importorskip("lightning", reason="the extra [train] is not installed")
    return importlib.import_module(name)


def test_public_names() -> None:
    assert tracker.__all__ == [
        "AppearanceConfig",
        "AudioSource",
        "ClassifierTrainingConfig",
        "Config",
        "DeepSort",
        "Detections",
        "Detector",
        "DetectorConfig",
        "DetectorTrainingConfig",
        "Embedder",
        "EmbedderTrainingConfig",
        "Frame",
        "InputError",
        "NetworkAnalyzer",
        "OutputConfig",
        "ResultWriter",
        "RunMonitor",
        "RunResult",
        "Source",
        "SourceConfig",
        "StoredDetections",
        "Tracker",
        "TrackerConfig",
        "TrackingRun",
        "Tracks",
        "VideoInfo",
        "__version__",
        "expand_sources",
        "load_config",
        "load_detector",
        "load_embedder",
        "open_source",
        "open_writer",
        "read_detections",
        "retrack",
        "retrack_to_files",
        "track",
        "track_all_to_files",
        "track_to_files",
        "train_classifier",
        "train_detector",
        "train_embedder",
    ]
    assert dir(tracker) == sorted(tracker.__all__)


@pytest.mark.parametrize("name", tracker.__all__)
def test_each_public_name_exists_and_is_documented(name: str) -> None:
    if name.startswith("train_"):
        pytest.importorskip("lightning", reason="the extra [train] is not installed")
    value = getattr(tracker, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__name__ == name
        assert_documented(value)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trakc'"):
        _ = tracker.trakc


@pytest.mark.slow
def test_type_checkers_know_every_public_name_and_no_other(tmp_path: Path) -> None:
    names = [name for name in tracker.__all__ if not name.startswith("__")]
    text = f"from tracker import {', '.join(names)}, trakc\n" + "".join(f"reveal_type({name})\n" for name in names)
    messages = check_types(tmp_path, [text])
    errors = [message for message in messages if ": error: " in message]
    assert len(errors) == 1
    assert 'Module "tracker" has no attribute "trakc"; maybe "track"?' in errors[0]
    revealed = [found[1] for message in messages if (found := re.search(r'Revealed type is "(.*)"', message))]
    assert len(revealed) == len(names) and "Any" not in revealed
    types = dict(zip(names, revealed, strict=True))
    assert re.fullmatch(
        r"def \(source: .*, config: tracker\.config\.run\.Config \| .* =\) -> "
        r".*Generator\[tuple\[tracker\.structures\.types\.Frame, tracker\.structures\.types\.Tracks\].*\]",
        types["track"],
    )
    assert re.fullmatch(r"def \(.*\) -> tracker\.models\.detection\.detector\.Detector", types["load_detector"])


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_defines_its_public_names(name: str) -> None:
    module = import_package(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert_documented(value)
    if hasattr(module, "__all__"):
        assert sorted(module.__all__) == list(module.__all__)
        imported = {key for key, value in vars(module).items() if not key.startswith("_") and is_own(value)}
        assert imported == {n for n in module.__all__ if is_own(getattr(module, n))}


def is_own(value: object) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("tracker.")


def assert_documented(value: object) -> None:
    assert value.__doc__, value  # its own: inspect.getdoc would also take a base class's
    if inspect.isclass(value):
        for name, member in vars(value).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert inspect.getdoc(getattr(value, name)), f"{value.__name__}.{name}"


@pytest.mark.smoke
def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, tracker, tracker.errors; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "tracker.errors" in loaded
    assert not {"torch", "numpy", "av", "cv2", "scipy", "pydantic", "rich"} & set(loaded)


# The distribution


def test_licences_of_the_weights_are_shipped() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    files = [file for pattern in project["license-files"] for file in REPOSITORY.glob(pattern)]
    assert {"LICENSE", "LICENSES.md", "builtin.md"} == {file.name for file in files}
    texts = (REPOSITORY / "tracker/models/LICENSES.md").read_text()
    cards = [file.read_text() for file in files if file.name == "builtin.md"]
    holders = [holder for card in cards for holder in re.findall(r"copyright (?:20\d\d )?([\w.]+(?: [A-Z]\w+)*)", card)]
    assert len(cards) == len(holders) == 2
    assert all(holder in texts for holder in holders)


def test_hints_name_the_distribution() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    sources = [file.read_text() for file in REPOSITORY.glob("tracker/**/*.py")]
    hints = [hint for text in sources for hint in re.findall(r"pip install '([\w-]+)\[", text)]
    assert hints and set(hints) == {project["name"]}
