"""What the README promises to somebody with labelled pictures of their own, done as it stands there."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from image_sets import NAMES, draw_pictures, write_yolo
from readme_commands import readme_commands, run_track
from video_clips import write_clip

pytest.importorskip("lightning", reason="the extra [train] is not installed")
pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")

# Small and short, so that a test can wait for it. The words of the README stay as they are.
MINIATURE = "--steps 120 --warmup-steps 10 --size 160 128 --canvas 160 128 --validate-every 60 --workers 0 --ema 0.9"


def write_moving(path: Path) -> Path:
    """A clip in which the shapes of one picture move slowly to the right."""
    picture = draw_pictures(1, seed=77)[0].image

    def draw(number: int, width: int, height: int) -> np.ndarray:
        return np.ascontiguousarray(np.roll(picture, number, axis=1))

    return write_clip(path, 10, size=(picture.shape[1], picture.shape[0]), draw=draw)


@pytest.mark.slow
def test_from_labelled_pictures_to_tracks(tmp_path: Path) -> None:
    write_yolo(tmp_path / "pets", train=48, val=12)
    write_moving(tmp_path / "video.mp4")
    commands = readme_commands("own classes")
    assert [command[:2] for command in commands[:3]] == [["data", "check"], ["train", "detector"], ["eval", "detector"]]
    for command in commands:
        extra = shlex.split(MINIATURE) if command[0] == "train" else []
        run_track([*command, *extra], tmp_path)
    assert (tmp_path / "pets.png").stat().st_size > 10_000
    figures = json.loads((tmp_path / "runs/pets/scores/report.json").read_text())
    assert figures["figures"]["AP50"] > 0.8
    after_training = json.loads((tmp_path / "runs/pets/report/report.json").read_text())
    assert figures["figures"]["AP50"] == pytest.approx(after_training["figures"]["AP50"], abs=0.01)
    with (tmp_path / "tracked/video/tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    picture = draw_pictures(1, seed=77)[0]
    assert {row["class"] for row in rows} == {NAMES[label] for label in picture.labels}
    assert len({row["track_id"] for row in rows}) == len(picture.labels)
