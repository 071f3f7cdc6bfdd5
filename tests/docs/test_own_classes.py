"""Runs the commands of the user guide for classes of one's own, as they are written there."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from doc_commands import marked_commands, run_track
from image_sets import NAMES, draw_images, write_yolo
from video_clips import write_clip

pytest.importorskip("lightning", reason="the extra [train] is not installed")
pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")

# Small images and few steps, so that the test is short. The guide's own arguments are not changed.
MINIATURE = "--steps 120 --size 160 128 --train-image-size 160 128 --validate-every 60 --workers 0 --ema-decay 0.9"


def write_moving_shapes(path: Path) -> Path:
    """Writes a clip in which the shapes of one image move slowly to the right."""
    image = draw_images(1, seed=77)[0].image

    def draw(number: int, width: int, height: int) -> np.ndarray:
        return np.ascontiguousarray(np.roll(image, number, axis=1))

    return write_clip(path, 10, size=(image.shape[1], image.shape[0]), draw=draw)


@pytest.mark.long
def test_from_labeled_images_to_tracks(tmp_path: Path) -> None:
    write_yolo(tmp_path / "pets", train=48, val=12)
    write_moving_shapes(tmp_path / "video.mp4")
    commands = marked_commands("own classes")
    assert [command[:2] for command in commands[:3]] == [["data", "check"], ["train", "detector"], ["eval", "detector"]]
    for command in commands:
        extra = shlex.split(MINIATURE) if command[0] == "train" else []
        run_track([*command, *extra], tmp_path)
    assert (tmp_path / "pets.png").stat().st_size > 10_000
    metrics = json.loads((tmp_path / "runs/pets/scores/report.json").read_text())
    assert metrics["coco_metrics"]["AP50"] > 0.8
    after_training = json.loads((tmp_path / "runs/pets/report/report.json").read_text())
    assert metrics["coco_metrics"]["AP50"] == pytest.approx(after_training["coco_metrics"]["AP50"], abs=0.01)
    with (tmp_path / "tracked/video/tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    example = draw_images(1, seed=77)[0]
    assert {row["class"] for row in rows} == {NAMES[label] for label in example.labels}
    assert len({row["track_id"] for row in rows}) == len(example.labels)
