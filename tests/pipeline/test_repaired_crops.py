"""Crops of the tracks of a run as its journal has repaired them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracker.models.reid
import tracker.pipeline.networks
from run_folders import make_run, walk
from stub_networks import SIZE, StubEmbedder, moving_clip
from tracker.cli.crops import extract_training_crops
from tracker.config import Config, EmbedderTrainingConfig
from tracker.data import read_crop, read_reid_dataset
from tracker.data.fingerprint import fingerprint
from video_clips import write_clip

Track = Callable[..., tuple[int, str, str]]
RUN = Path("tracked/video")


def fail(*_: object) -> Any:
    raise AssertionError("the detector is not needed")


@pytest.fixture(name="run")
def make_run_of_two(track: Track, monkeypatch: pytest.MonkeyPatch) -> Track:
    """Makes a run whose track of a person breaks off for five seconds, longer than any tracker bridges."""
    monkeypatch.setattr(tracker.models.reid, "load_embedder", lambda *_: StubEmbedder())
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", fail)
    moving_clip(Path("video.mp4"), 70)
    rows = {1: walk((18, 55), (36, 55), range(10)), 2: walk((138, 55), (36, 55), range(60, 70))}
    rows |= {3: walk((130, 95), (70, 95), range(0, 31))}
    about = {"name": "video.mp4", "path": str(Path("video.mp4").resolve())}
    about |= {"fingerprint": fingerprint([Path("video.mp4")])}
    make_run(rows, RUN, size=SIZE, box=(16, 40), classes={3: "car"}, source=about, predicted=[(3, n) for n in (7, 8)])
    return track


def frames_of(folder: str) -> list[int]:
    return sorted(int(file.stem.split("_")[2]) for file in Path("crops/video", folder).iterdir())


def test_edits_are_the_labels(run: Track) -> None:
    run("edit", RUN, "merge", 1, 2)
    run("edit", RUN, "split", 3, "--frame", 15)
    run("edit", RUN, "class", 4, "bus")
    code, output, errors = run("crops", RUN, "--per-track", 40)
    assert (code, errors) == (0, "")
    assert output.startswith("70 frames; tracks: 1 bus, 1 car, 1 person\nwrote ")
    assert read_reid_dataset([Path("crops")]).identities == ("video/bus-0004", "video/car-0003", "video/person-0001")
    person, car, bus = map(frames_of, ("person-0001", "car-0003", "bus-0004"))
    assert set(person) <= {*range(10), *range(60, 70)} and min(person) < 3 and max(person) > 66
    assert set(car) <= {*range(7), *range(9, 15)} and max(car) > 11  # 7 and 8 are predicted
    assert set(bus) <= set(range(15, 31)) and min(bus) < 18
    with Path("crops/video/tracks.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["folder"] == "person-0001"]
    assert [(row["first"], row["last"], row["frames"]) for row in rows] == [
        ("0.000000", "0.900000", "10"),
        ("6.000000", "6.900000", "10"),
    ]


def test_without_edits_and_by_class(run: Track) -> None:
    assert run("crops", RUN, "--classes", "person")[1].startswith("70 frames; tracks: 2 person\n")
    code, output, _ = run("crops", RUN, "--overwrite", "--end", 3, "--min-duration", 0)
    assert code == 0 and output.startswith("30 frames; tracks: 1 car, 1 person\n")


def test_boxes_that_a_person_set_are_labels_between_key_frames_too(run: Track) -> None:
    """The boxes are set on the wide bluish rectangle, in frames in which the track has none."""
    run("edit", RUN, "box", 1, 20, "70,75,110,95", 30, "50,75,90,95")
    assert run("crops", RUN, "--per-track", 40)[0] == 0
    frames = frames_of("person-0001")
    assert set(frames) <= {*range(10), *range(20, 31)} and set(frames) & set(range(21, 30))
    crops = read_reid_dataset([Path("crops")])
    person = crops.identities.index("video/person-0001")
    shapes = [read_crop(crops, row).shape for row in range(len(crops)) if crops.ids[row] == person]
    assert shapes.count((20, 40, 3)) == len(set(frames) & set(range(20, 31)))


def test_a_video_that_was_moved(run: Track) -> None:
    Path("video.mp4").rename("moved.mp4")
    code, _, error = run("crops", RUN)
    assert code == 2 and "video.mp4" in error and "Traceback" not in error
    assert run("crops", RUN, "--video", "moved.mp4")[1].startswith("70 frames; tracks: 1 car, 2 person\n")


def test_another_video_is_refused(run: Track) -> None:
    moving_clip(Path("video.mp4"), 20)
    code, _, error = run("crops", RUN)
    assert code == 2 and "video.mp4 changed since tracked/video was made: give its video by --video" in error
    Path("video.mp4").unlink()
    write_clip(Path("small.mp4"), 5, 10, size=(64, 48))
    code, _, error = run("crops", RUN, "--video", "small.mp4")
    assert code == 2 and "tracked/video is of images of 160x120 pixels, but small.mp4 is 64x48" in error
    assert not Path("crops").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--max-age 5", "the tracks of tracked/video are taken as they are, without --max-age: leave it out"),
        ("--score 0.3", "without --score"),
        ("--classes persn", "tracked/video has no class 'persn' (did you mean 'person'?)"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Track, flags: str, message: str) -> None:
    code, output, error = run("crops", RUN, *flags.split())
    assert (code, output) == (2, "") and message in error and error.count("\n") == 1


def test_a_camera_is_not_opened_again(track: Track) -> None:
    make_run({1: walk((18, 55), (36, 55), range(10))}, RUN, source={"name": "0"})
    code, _, error = track("crops", RUN)
    assert code == 2 and "the source of tracked/video cannot be read again: give its video by --video" in error


def test_training_without_labels_takes_a_run(run: Track) -> None:
    run("edit", RUN, "merge", 1, 2)
    settings = EmbedderTrainingConfig(folder="runs/mine")
    settings = extract_training_crops(settings, [str(RUN)], [], Config(), resume=False)
    assert (settings.train, settings.categories) == ("runs/mine/crops", ("car", "person"))
    assert {path.name for path in Path("runs/mine/crops/video").iterdir() if path.is_dir()} == {
        "car-0003",
        "person-0001",
    }
