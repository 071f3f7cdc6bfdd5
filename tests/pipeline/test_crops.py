"""Crops of the tracks of videos: their selection, their files, and reading them after sorting by hand."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tracker.models.reid
import tracker.pipeline.networks
from paths import STUB
from small_trainings import SMALL_TRAINING
from stub_networks import SIZE, moving_clip, moving_rectangles
from tracker.cli.app import main
from tracker.data import read_crop, read_reid_dataset
from tracker.errors import InputError
from tracker.models.model_file import load_model
from tracker.pipeline.crops.selection import CropCandidate, CropReservoir, crop_quality, farthest_point_sampling
from video_clips import write_clip, write_image

pytestmark = SMALL_TRAINING
Result = tuple[int, str, str]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def stub_all(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the networks of runs and of stored detections."""
    monkeypatch.setattr(tracker.models.reid, "load_embedder", tracker.pipeline.networks.load_embedder)


@pytest.fixture
def track(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        return int(end.value.code or 0), output, errors.removeprefix("loading\n")  # printed by the stub

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Selection


def test_a_long_track_is_covered_evenly_by_few_crops() -> None:
    """A track of 100,000 frames whose best crop is in the middle of each second."""
    reservoir = CropReservoir(capacity=64, start=5.0)
    for n in range(100_000):
        time, quality = 5 + n / 25, 0.5 + 0.4 * (n % 25 == 12)
        if reservoir.would_keep(time, quality):
            reservoir.add(CropCandidate(n, time, quality, b""))
        assert len(reservoir.kept) <= 64
    crops = reservoir.above_quality()
    assert len(crops) >= 32
    assert {crop.quality for crop in crops} == {0.9}
    assert np.diff([crop.time for crop in crops], prepend=5, append=4005).max() < 4000 / 32 * 2


def test_much_worse_crops_are_left_out() -> None:
    reservoir = CropReservoir(capacity=8, start=0)
    for n, quality in enumerate((0.4, 0.81, 0.39, 0.6)):
        reservoir.add(CropCandidate(n, n, quality, b""))
    assert [crop.frame for crop in reservoir.above_quality()] == [1, 3]  # 0.405 is the least


def test_crop_quality_by_hand() -> None:
    """A side of 48 pixels gives 1/2; the second box is half outside; the third is covered by 1/4, the fourth by 1."""
    boxes = np.array([[10, 10, 58, 58], [-24, 60, 24, 108], [100, 0, 148, 48], [112, 12, 136, 36], [5, 5, 5, 9]], float)
    quality = crop_quality(boxes, np.array([0.8, 1, 1, 1, 1]), (200, 200))
    side = np.sqrt(24 * 48)
    assert quality == pytest.approx([0.4, 0.5 * side / (side + 48), 0.75 * 0.5, 0, 0])


def test_farthest_point_sampling_by_hand() -> None:
    """The best first; then 9, farther from 1 than 7 though of less weight; then 4, at a distance of 3 times 0.8."""
    points = np.array([[0.0], [1], [4], [7], [9]])
    weights = np.array([0.5, 1.0, 0.8, 0.9, 0.8])
    assert farthest_point_sampling(points, weights, 3) == [1, 4, 2]
    assert sorted(farthest_point_sampling(points, weights, 9)) == [0, 1, 2, 3, 4]
    assert farthest_point_sampling(np.zeros((3, 2)), np.ones(3), 2) == [0, 1]


# Files


def test_files_and_output_of_a_run(track: Callable[..., Result]) -> None:
    """The clip shows an upright person of 16 x 40 pixels and a wide car of 40 x 20."""
    moving_clip(Path("clip.mp4"), 30)
    code, output, errors = track("crops", "clip.mp4", "--per-track", 5)
    assert (code, errors) == (0, "")
    assert output == "30 frames; tracks: 1 car, 1 person\nwrote 10 crops into crops/clip\n"
    crops = read_reid_dataset([Path("crops")])
    assert crops.identities == ("clip/car-0002", "clip/person-0001")
    assert np.bincount(crops.ids).tolist() == [5, 5]
    for row in range(len(crops)):
        pixels = read_crop(crops, row)
        height, width, _ = pixels.shape
        assert (width > height) == (crops.ids[row] == 0) and pixels.mean() > 130
    person = sorted(file.name for file in Path("crops/clip/person-0001").iterdir())
    assert [name[:3] for name in person] == ["00_", "01_", "02_", "03_", "04_"]
    assert len({name[3:] for name in person}) == 5 and not any(name.startswith(".") for name in person)
    with Path("crops/clip/tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["folder"], row["category"]) for row in rows] == [("person-0001", "person"), ("car-0002", "car")]
    assert all((float(row["first"]), float(row["last"])) == (0.1, 2.9) and row["frames"] == "29" for row in rows)


def test_crops_of_a_class_without_embeddings_are_spread_over_time(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 60)
    assert track("crops", "clip.mp4", "--per-track", 4)[0] == 0
    frames = sorted(int(file.stem.split("_")[2]) for file in Path("crops/clip/car-0002").iterdir())
    assert np.diff([0, *frames, 60]).max() <= 25


def test_stored_detections_give_the_same_crops(track: Callable[..., Result]) -> None:
    for name in ("one", "two"):
        moving_clip(Path(f"{name}.mp4"), 20)
        assert track(f"{name}.mp4", "--detections", f"{name}.csv", "--output", f"{name}_tracks.csv")[0] == 0
    assert track("crops", "one.mp4", "two.mp4", "-o", "a")[0] == 0
    code, output, _ = track("crops", "one.csv", "two.csv", "--video", "one.mp4", "two.mp4", "-o", "b")
    assert code == 0 and output.count("tracks: 1 car, 1 person") == 2
    assert contents(Path("a")) == contents(Path("b"))
    assert len(read_reid_dataset([Path("a")]).identities) == 4


def test_two_videos_of_one_name(track: Callable[..., Result]) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        moving_clip(Path(folder) / "clip.mp4", 12)
    assert track("crops", "a/clip.mp4", "b/clip.mp4", "--quiet") == (0, "", "")
    assert {path.name for path in Path("crops").iterdir()} == {"clip", "clip-2"}


def test_offline_crops(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 20)
    assert track("crops", "clip.mp4", "--offline")[0] == 0
    assert set(read_reid_dataset([Path("crops")]).identities) == {"clip/person-0001", "clip/car-0002"}


def test_skipped_frames_do_not_interrupt_a_visible_interval(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 31)
    assert track("crops", "clip.mp4", "--detect-every", 5)[0] == 0
    with Path("crops/clip/tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["first"], row["last"], row["frames"]) for row in rows] == [("0.500000", "3.000000", "6")] * 2


def test_a_margin_and_short_tracks(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 20)
    assert track("crops", "clip.mp4", "-o", "tight", "--quiet")[0] == 0
    assert track("crops", "clip.mp4", "-o", "wide", "--margin", 0.5, "--quiet")[0] == 0
    tight, wide = (read_reid_dataset([Path(name)]) for name in ("tight", "wide"))
    heights = [np.median([read_crop(c, row).shape[0] for row in np.flatnonzero(c.ids == 1)]) for c in (tight, wide)]
    assert heights == pytest.approx([41, 76], abs=2)  # above the person there are 15 pixels, less than 20
    code, output, _ = track("crops", "clip.mp4", "-o", "none", "--min-duration", 2)
    assert code == 0 and output.startswith("20 frames; tracks: none\nwrote 0 crops")


def test_crops_sorted_by_hand(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 30)
    moving_clip(Path("later.mp4"), 30)
    assert track("crops", "clip.mp4", "later.mp4", "--quiet")[0] == 0
    root = Path("crops")
    for file in (root / "later/person-0001").iterdir():  # the same person: merged
        file.rename(root / "clip/person-0001" / f"later {file.name}")
    (root / "later/person-0001").rmdir()
    (root / "Rex").mkdir()  # half of the track is another identity: split
    for file in sorted((root / "clip/car-0002").iterdir())[:3]:
        file.rename(root / "Rex" / file.name)
    next((root / "later/car-0002").iterdir()).unlink()
    crops = read_reid_dataset([root])
    assert crops.identities == ("Rex", "clip/car-0002", "clip/person-0001", "later/car-0002")
    assert np.bincount(crops.ids).tolist() == [3, 13, 32, 15]


def test_tracks_of_several_videos_are_merged_without_loss(track: Callable[..., Result]) -> None:
    """All of them have the same ids and frames, and the third also has the same images."""
    moving_clip(Path("clip.mp4"), 30)
    write_clip(Path("dark.mp4"), 30, 10, size=SIZE, draw=lambda *arguments: moving_rectangles(*arguments) - 12)
    assert track("crops", "clip.mp4", "dark.mp4", "--quiet")[0] == 0
    assert track("crops", "clip.mp4", "-o", "repeated", "--quiet")[0] == 0
    root, merged = Path("crops"), Path("crops/clip/person-0001")
    before = contents(root)
    for file in (root / "dark/person-0001").iterdir():
        file.replace(merged / file.name)
    assert len(list(merged.iterdir())) == 32
    for file in Path("repeated/clip/person-0001").iterdir():
        file.replace(merged / file.name)
    assert set(contents(merged).values()) == {data for name, data in before.items() if "person" in name}
    assert read_reid_dataset([root]).identities == ("clip/car-0002", "clip/person-0001", "dark/car-0002")


def test_a_folder_moved_into_another_is_merged_with_it(track: Callable[..., Result]) -> None:
    for name in ("one", "two"):
        moving_clip(Path(f"{name}.mp4"), 20)
    assert track("crops", "one.mp4", "two.mp4", "--quiet")[0] == 0
    root = Path("crops")
    counts = np.bincount(read_reid_dataset([root]).ids)
    (root / "two/person-0001").rename(root / "one/person-0001/person-0001")
    (root / "one/Rex").mkdir()
    for video in ("one", "two"):
        (root / video / "car-0002").rename(root / "one/Rex" / video)
    crops = read_reid_dataset([root])
    assert crops.identities == ("one/Rex", "one/person-0001")
    assert np.bincount(crops.ids).tolist() == [counts[0] + counts[2], counts[1] + counts[3]]
    stray = next((root / "one/Rex/one").iterdir())
    stray.rename(root / "one" / stray.name)
    with pytest.raises(InputError, match="lies in no folder of its identity"):
        read_reid_dataset([root])


def test_nothing_is_overwritten_without_the_flag(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 12)
    assert track("crops", "clip.mp4", "--quiet")[0] == 0
    (Path("crops/clip/person-0001") / "mine.jpg").write_text("sorted by hand")
    before = contents(Path("crops"))
    code, output, errors = track("crops", "clip.mp4")
    assert (code, output) == (2, "") and "crops/clip exists" in errors and contents(Path("crops")) == before
    assert track("crops", "clip.mp4", "--overwrite", "--quiet")[0] == 0
    assert contents(Path("crops")).keys() == before.keys() - {"clip/person-0001/mine.jpg"}


def test_a_folder_that_the_command_did_not_write_is_never_removed(track: Callable[..., Result]) -> None:
    moving_clip(Path("clip.mp4"), 12)
    write_image(Path("clip.png"), np.zeros((8, 8, 3), np.uint8))
    Path("crops/clip").mkdir(parents=True)
    Path("clip.png").rename("crops/clip/holiday.png")
    code, _, errors = track("crops", "clip.mp4", "--overwrite")
    assert code == 2 and "holds no tracks.csv" in errors and Path("crops/clip/holiday.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "SOURCES requires an argument"),
        ("gone.mp4", "there is no file or folder gone.mp4"),
        ("gone.csv --video clip.mp4", "there is no file gone.csv"),
        ("a.csv b.csv --video clip.mp4", "2 files of detections do not match 1 videos"),
        ("empty.mp4", "empty.mp4 is empty"),
        ("clip.mp4 --quality 20", "greater than or equal to 90"),
        (
            "clip.mp4 --output clip.mp4",
            "make the folder clip.mp4/clip for the crops: clip.mp4 is not a writable folder",
        ),
        ("clip.mp4 --start 50", "beyond the end"),
    ],
)
def test_bad_input_gets_one_sentence(track: Callable[..., Result], arguments: str, message: str) -> None:
    moving_clip(Path("clip.mp4"), 5)
    Path("empty.mp4").write_bytes(b"")
    code, output, errors = track("crops", *arguments.split())
    assert (code, output) == (2, "") and errors.startswith("track: ") and errors.count("\n") == 1
    assert message in errors


@pytest.mark.slow
def test_after_a_signal_the_tracks_are_written() -> None:
    moving_clip(Path("clip.mp4"), 400)
    command = [sys.executable, str(STUB), "0", "0.02", "crops", "clip.mp4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not Path("crops/clip/person-0001").exists():  # the first track has ended, others are live
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "loading\n") and "frames, stopped; tracks: " in output
    identities = read_reid_dataset([Path("crops")]).identities
    assert len(identities) > 2
    with Path("crops/clip/tracks.csv").open() as file:
        assert {f"clip/{row['folder']}" for row in csv.DictReader(file)} == set(identities)


# From crops to an embedder


TINY = "--network.architecture lenet --size 32 32 --steps 2 --warmup-steps 1 --workers 0 --identities-per-batch 2"


def test_training_on_sorted_crops(track: Callable[..., Result]) -> None:
    pytest.importorskip("lightning", reason="the extra [train] is not installed")
    moving_clip(Path("video.mp4"), 30)
    assert track("crops", "video.mp4")[0] == 0
    other = Path("crops/video/person-0002")  # half of the track is another identity
    other.mkdir()
    for file in sorted(Path("crops/video/person-0001").iterdir())[::2]:
        file.rename(other / file.name)
    code, output, _ = track("train", "embedder", "--train", "crops", "--folder", "runs/mine", *TINY.split())
    assert code == 0 and output.endswith("runs/mine/model.safetensors\n")
    assert load_model(Path("runs/mine/model.safetensors"))[1].task == "embedding"


def test_training_on_a_video_without_labels(track: Callable[..., Result]) -> None:
    pytest.importorskip("lightning", reason="the extra [train] is not installed")
    moving_clip(Path("video.mp4"), 30)
    command = ["train", "embedder", "--pretrained=", "--folder", "runs/mine", "--from-video", "video.mp4"]
    code, output, _ = track(*command, *TINY.split())
    assert code == 0 and "wrote 32 crops into runs/mine/crops/video\n" in output
    assert output.endswith("runs/mine/model.safetensors\n")
    info = load_model(Path("runs/mine/model.safetensors"))[1]
    assert info.categories == ("car", "person")
    code, _, errors = track(*command)
    assert code == 2 and "runs/mine/crops exists: train on it by --train runs/mine/crops --tracklets" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("short.mp4", "no track in short.mp4 lasted 0.5 s: give more video"),
        ("gone.mp4", "there is no file or folder gone.mp4"),
        ("video.mp4 --detections a.csv b.csv", "2 files of detections do not match 1 videos"),
    ],
)
def test_bad_videos_to_train_on(track: Callable[..., Result], arguments: str, message: str) -> None:
    moving_clip(Path("video.mp4"), 10)
    moving_clip(Path("short.mp4"), 3)
    code, _, errors = track("train", "embedder", "--from-video", *arguments.split())
    assert code == 2 and message in errors
