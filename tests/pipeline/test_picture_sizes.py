"""Runs over pictures of several sizes: boxes in tables are in each picture's own pixels."""

import csv
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from stub_networks import SIZE, moving_rectangles
from tracker import Config, track, track_to_files
from tracker.pipeline.repaired_run import export_run
from video_clips import write_image

FRAMES, CHANGE = 16, 8
SCALE = 2.5  # of the later pictures, which are also of another aspect ratio


@pytest.fixture(name="pictures")
def write_pictures(tmp_path: Path) -> Path:
    """Writes pictures of moving rectangles; from number `CHANGE` on they are larger, and cut above and below."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(FRAMES):
        image = moving_rectangles(number, *SIZE)
        if number >= CHANGE:
            image = cv2.resize(image[12:-12], None, fx=SCALE, fy=SCALE)
        write_image(folder / f"{number:02}.png", image)
    return folder


def expected_box(number: int) -> np.ndarray:
    """Returns the upright rectangle of a picture, in its own pixels."""
    left = 10 + number * 2 % 120
    box = np.array([left, 15, left + 16, 55])
    return box if number < CHANGE else (box - [0, 12, 0, 12]) * SCALE


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("with_video", [False, True])
def test_boxes_in_tables(stubbed: None, tmp_path: Path, pictures: Path, with_video: bool, offline: bool) -> None:
    outputs = ["t.csv", "t.json", *(["t.mp4"] if with_video else [])]
    settings: dict[str, Any] = {
        "output": {"output": [str(tmp_path / name) for name in outputs]},
        "tracker": {"offline": offline},
        "source": {"fps": 10},
    }
    track_to_files(str(pictures), Config.model_validate(settings))
    with (tmp_path / "t.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "person"]
    assert len({row["track_id"] for row in rows}) == 1 and len(rows) >= FRAMES - 1
    for row in rows:
        box = [float(row[corner]) for corner in ("x1", "y1", "x2", "y2")]
        assert np.abs(box - expected_box(int(row["frame"]))).max() < 4, row
    content = json.loads((tmp_path / "t.json").read_text())
    sizes = [(image["width"], image["height"]) for image in content["images"]]
    assert sizes == [SIZE] * CHANGE + [(400, 240)] * (FRAMES - CHANGE)
    corners = {one["image_id"] - 1: one["bbox"] for one in content["annotations"] if one["category_id"] == 1}
    for number, (left, top, width, height) in corners.items():
        assert np.abs(np.array([left, top, left + width, top + height]) - expected_box(number)).max() < 4


def test_an_export_draws_boxes_at_their_place(
    stubbed: None, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    track_to_files(
        str(pictures), Config.model_validate({"output": {"trail": 0.0, "labels": "none"}, "source": {"fps": 10}})
    )
    folder = next(tmp_path.glob("tracked/*"))
    export_run(folder, tmp_path / "t.csv", video=str(pictures))
    assert (tmp_path / "t.csv").read_bytes() == (folder / "tracks.csv").read_bytes()
    export_run(folder, tmp_path / "drawn.mp4")
    with av.open(str(folder / "video.mp4")) as first, av.open(str(tmp_path / "drawn.mp4")) as second:
        for expected, image in zip(first.decode(video=0), second.decode(video=0), strict=True):
            difference = expected.to_ndarray(format="rgb24").astype(int) - image.to_ndarray(format="rgb24")
            assert np.abs(difference).mean() < 2


def test_boxes_in_python(stubbed: None, pictures: Path) -> None:
    for frame, tracks in track(str(pictures), Config.model_validate({"source": {"fps": 10}})):
        assert frame.image.shape == (120, 160, 3) and (frame.fit is None) == (frame.index < CHANGE)
        person = tracks.boxes[tracks.labels == 0]
        own = frame.fit.to_picture(person) if frame.fit else person
        assert np.abs(own - expected_box(frame.index)).max(initial=0) < 4
