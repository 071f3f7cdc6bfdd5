"""The names that others build on: exact, documented, and light to import."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tracker

ROOMS = sorted(
    f"tracker.{path.parent.name}" for path in Path(tracker.__file__).parent.glob("*/__init__.py") if path.read_text()
)


def room(name: str) -> ModuleType:
    if name == "tracker.training":
        pytest.importorskip("lightning", reason="the extra [train] is not installed")
    return importlib.import_module(name)


def test_the_names_of_the_package() -> None:
    assert tracker.__all__ == [
        "__version__",
        "Config",
        "DeepSort",
        "Detections",
        "Detector",
        "Embedder",
        "FineMaskedTracks",
        "FineTracks",
        "Frame",
        "InputError",
        "MaskedDetections",
        "MaskedTracks",
        "Pipeline",
        "Tracks",
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
def test_each_name_is_there_and_documented(name: str) -> None:
    if name.startswith("train_"):
        pytest.importorskip("lightning", reason="the extra [train] is not installed")
    thing = getattr(tracker, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__name__ == name
        assert_documented(thing)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trakc'"):
        _ = tracker.trakc


@pytest.mark.parametrize("name", ROOMS)
def test_each_room_says_what_is_its_own(name: str) -> None:
    module = room(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert_documented(thing)
    if hasattr(module, "__all__"):
        assert sorted(module.__all__) == list(module.__all__)
        brought_in = {key for key, value in vars(module).items() if not key.startswith("_") and is_ours(value)}
        assert brought_in == {n for n in module.__all__ if is_ours(getattr(module, n))}


def is_ours(thing: object) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("tracker.")


def assert_documented(thing: object) -> None:
    assert thing.__doc__, thing  # its own: inspect.getdoc would also take a base class's
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert inspect.getdoc(getattr(thing, name)), f"{thing.__name__}.{name}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, tracker, tracker.errors; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "tracker.errors" in loaded
    assert not {"torch", "numpy", "av", "cv2", "scipy", "pydantic", "rich"} & set(loaded)
