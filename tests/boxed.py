"""Fixtures for runs: none may hang or leave a thread, and networks are stood in for."""

import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub import install

import tracker.pipeline
from tracker.video.pixels import RGBConverter

TIME_BOX = 120  # seconds after which a test that hangs fails


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """No test hangs, and none leaves a thread."""

    def over(*_: object) -> None:
        raise TimeoutError(f"this hangs: {[thread.name for thread in threading.enumerate()]}")

    before = set(threading.enumerate())
    previous = signal.signal(signal.SIGALRM, over)
    signal.alarm(TIME_BOX)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    assert set(threading.enumerate()) == before


@pytest.fixture(name="stubbed")
def stub_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process find bright rectangles, without networks."""
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline, name, getattr(tracker.pipeline, name))
    install(tracker.pipeline)


@pytest.fixture(name="pictures_alive")
def count_pictures(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Tells how many of the pictures that were decoded are still in memory."""
    made: list[weakref.ref[Any]] = []
    convert = RGBConverter.__call__

    def noted(*arguments: Any) -> Any:
        image = convert(*arguments)
        made.append(weakref.ref(image))
        return image

    monkeypatch.setattr(RGBConverter, "__call__", noted)
    return lambda: sum(image() is not None for image in made)
