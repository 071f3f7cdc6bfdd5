"""Runs the commands of the user guide for identities of one's own, as they are written there."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from doc_commands import marked_commands, run_track
from paths import CLIPS

pytest.importorskip("lightning", reason="the extra [train] is not installed")
pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")

CLIP = CLIPS / "one_by_one_person.mp4"
# Few steps, so that the test is short. The guide's own arguments are not changed.
MINIATURE = {
    "crops": "--every 4",
    "train": "--steps 20 --warmup-steps 2 --identities-per-batch 3 --crops-per-identity 4 --validate-every 10 "
    "--val-fraction 0.3 --workers 0",
    "video.mp4": "--every 4",
}


def sort_folders(crops: Path) -> int:
    """Splits the longest track, and merges its second half with another one; returns the number of folders."""
    folders = sorted((crops / "video").glob("person-*"), key=lambda folder: (len(list(folder.iterdir())), folder.name))
    for file in sorted(folders[-1].iterdir())[::2]:
        file.rename(folders[0] / f"more {file.name}")
    (crops / "video" / "nothing").mkdir()
    return len(folders)


@pytest.mark.long
@pytest.mark.skipif(not CLIP.exists(), reason=f"the clip {CLIP.name} is not here")
def test_from_a_video_to_tracks_with_an_embedder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").symlink_to(CLIP)
    commands = marked_commands("own identities")
    assert [command[0] for command in commands] == ["crops", "train", "eval", "video.mp4"]
    for command in commands:
        run_track([*command, *shlex.split(MINIATURE.get(command[0], ""))], tmp_path)
        if command[0] == "crops":
            assert sort_folders(tmp_path / "crops") == 6
    assert (tmp_path / "runs/mine/best.ckpt").is_file()
    assert json.loads((tmp_path / "runs/mine/all/report.json").read_text())
    with (tmp_path / "tracked/video/tracks.csv").open() as file:
        assert len({row["track_id"] for row in csv.DictReader(file) if row["class"] == "person"}) >= 6
    record = json.loads((tmp_path / "tracked/video/run.json").read_text())
    assert record["weights"]["embedder"]["file"] == "model.safetensors"
