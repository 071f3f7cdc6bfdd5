"""Fixtures that tests of several folders share."""

import logging
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tracker.pipeline.networks
from stub_networks import install
from tracker.cli.app import main
from tracker.video.rgb import RGBConverter

TIME_LIMIT = 120  # seconds after which a test that hangs fails


@pytest.fixture(autouse=True)
def restore_log_level() -> Iterator[None]:
    """Lets warnings be logged again after a test of --quiet."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def track(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process, in an empty folder; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def time_limit() -> Iterator[None]:
    """Fails a test that hangs or that leaves a thread behind."""

    def raise_timeout(*_: object) -> None:
        raise TimeoutError(f"this hangs: {[thread.name for thread in threading.enumerate()]}")

    before = set(threading.enumerate())
    previous = signal.signal(signal.SIGALRM, raise_timeout)
    signal.alarm(TIME_LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    assert set(threading.enumerate()) <= before


@pytest.fixture(name="stubbed")
def stub_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes runs in this process detect bright rectangles, without networks."""
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)


@pytest.fixture(name="images_alive")
def count_images(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Returns a function that counts the decoded images that are still in memory."""
    images: list[weakref.ref[Any]] = []
    convert = RGBConverter.__call__

    def recorded(*arguments: Any) -> Any:
        image = convert(*arguments)
        images.append(weakref.ref(image))
        return image

    monkeypatch.setattr(RGBConverter, "__call__", recorded)
    return lambda: sum(image() is not None for image in images)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Lets PyTorch compute with one thread: several would get in each other's way on images this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
