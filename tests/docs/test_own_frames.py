"""The programs of the guide to own frames and detections: they run, and type checkers know every type in them."""

import re
from pathlib import Path

import pytest

from doc_commands import fenced_blocks
from paths import REPOSITORY
from type_checks import check_types

PAGE = REPOSITORY / "docs" / "own-frames-and-detections.md"
PROGRAMS = fenced_blocks(PAGE.read_text(encoding="utf-8"), "python")

KINDS_OF_INPUT = """
import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray

import tracker
from tracker import Config, Tracker, TrackerConfig, Tracks

pictures: list[NDArray[np.float64]] = [np.zeros((48, 64, 3))] * 3
for frame, tracks in tracker.track(pictures, Config(tracker=TrackerConfig(n_init=1))):
    print(frame.index, tracks.class_names)
for frame, tracks in tracker.track([(0.0, pictures[0]), (0.5, pictures[1])], {"detector": {"score": 0.3}}):
    print(frame.time)

found: list[Tracks] = []
with Tracker("bytetrack", categories=("person",)) as own:
    found.append(own.update([[1, 2, 30, 40]], [0.9], [0], time=0))
    found.append(own.update(np.array([[1, 2, 30, 40]]), np.array([0.9]), time=0.04))
    found.append(own.update(torch.tensor([[1, 2, 30, 40]]), torch.tensor([0.9]), torch.tensor([0]), time=0.08))
    found.append(own.update(sv.Detections.empty(), time=np.float64(0.12)))
for tracks in found:
    ids: list[int] = tracks.ids.tolist()
    detections: sv.Detections = tracks.to_supervision()
    number: int = len(tracks.to_pandas()) + len(detections)
    print(ids, number)
"""


REVEALED = """
reveal_type(own)
reveal_type(frame)
reveal_type(tracks)
reveal_type(frame.time)
reveal_type(tracks.class_names)
reveal_type(tracks.to_pandas())
reveal_type(tracks.to_supervision())
reveal_type(own.predict(1.0))
"""


@pytest.mark.slow
def test_type_checkers_know_every_type(tmp_path: Path) -> None:
    for package in ("mypy", "supervision", "pandas"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    messages = check_types(tmp_path, [*PROGRAMS, KINDS_OF_INPUT + REVEALED])
    assert not [message for message in messages if ": error: " in message]
    revealed = [found[1] for message in messages if (found := re.search(r'Revealed type is "(.*)"', message))]
    names = ["Tracker", "Frame", "Tracks", "float", "list", "DataFrame", "Detections", "Tracks"]
    assert [
        re.split(r"[.\[]", kind.removesuffix("[str]").removesuffix("[builtins.str]"))[-1] for kind in revealed
    ] == names


@pytest.mark.slow
def test_all_kinds_of_input_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    exec(compile(KINDS_OF_INPUT, "program", "exec"), {})
    assert capsys.readouterr().out.count("[1] 2") == 2
