"""What the README promises to somebody who teaches individuals of their own, done as it stands there."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from paths import CLIPS
from readme_commands import readme_commands, run_track

pytest.importorskip("lightning", reason="the extra [train] is not installed")
pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")

CLIP = CLIPS / "one_by_one_person.mp4"
# Short, so that a test can wait for it. The words of the README stay as they are.
MINIATURE = {
    "crops": "--every 4",
    "train": "--steps 20 --warmup-steps 2 --individuals 3 --crops 4 --validate-every 10 --val-share 0.3 --workers 0",
    "video.mp4": "--every 4",
}


def sort_by_hand(crops: Path) -> int:
    """Splits the longest track, and merges its second half with another one; returns the number of folders."""
    folders = sorted((crops / "video").glob("person-*"), key=lambda folder: (len(list(folder.iterdir())), folder.name))
    for file in sorted(folders[-1].iterdir())[::2]:
        file.rename(folders[0] / f"more {file.name}")
    (crops / "video" / "nothing").mkdir()
    return len(folders)


@pytest.mark.slow
@pytest.mark.skipif(not CLIP.exists(), reason=f"the clip {CLIP.name} is not here")
def test_from_a_video_to_tracks_by_an_embedder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").symlink_to(CLIP)
    commands = readme_commands("own individuals")
    assert [command[0] for command in commands] == ["crops", "train", "eval", "video.mp4"]
    for command in commands:
        run_track([*command, *shlex.split(MINIATURE.get(command[0], ""))], tmp_path)
        if command[0] == "crops":
            assert sort_by_hand(tmp_path / "crops") == 6
    assert (tmp_path / "runs/mine/best.ckpt").is_file()
    assert json.loads((tmp_path / "runs/mine/all/report.json").read_text())
    with (tmp_path / "tracked/video/tracks.csv").open() as file:
        assert len({row["track_id"] for row in csv.DictReader(file) if row["class"] == "person"}) >= 6
    record = json.loads((tmp_path / "tracked/video/run.json").read_text())
    assert record["weights"]["embedder"]["file"] == "model.safetensors"
