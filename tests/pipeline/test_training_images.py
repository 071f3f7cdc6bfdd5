"""Training data of a detector from a run: frames as images, and its repaired tracks as labels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from run_folders import make_run, walk
from stub_networks import SIZE, moving_clip
from tracker.data import read_image
from tracker.data.annotations.load import read_image_set

Track = Callable[..., tuple[int, str, str]]
RUN = Path("tracked/video")
LABELS = RUN / "training/labels.json"


@pytest.fixture(name="run")
def make_run_of_two(track: Track) -> Track:
    """Makes a run of a person in frames 0 to 29, of which 10 to 12 are filled, and a car in frames 0 to 9."""
    moving_clip(Path("video.mp4"), 40)
    rows = {1: walk((18, 55), (76, 55), range(30)), 2: walk((130, 95), (112, 95), range(10))}
    filled = [(1, 10), (1, 11), (1, 12), (2, 5)]
    about = {"name": "video.mp4", "path": str(Path("video.mp4").resolve())}
    make_run(rows, RUN, size=SIZE, box=(16, 40), classes={2: "car"}, predicted=filled, source=about)
    return track


def test_frames_and_labels(run: Track) -> None:
    code, output, errors = run("export", RUN, "--images-every", 0.5)
    assert (code, errors) == (0, "")
    assert output.startswith(f"wrote 8 images into {RUN}/training/video, and 7 boxes (car, person) to {LABELS}\n")
    images = read_image_set(LABELS, {}).images
    frames = [int(image.path.stem) for image in images]
    assert frames == [0, 5, 13, 15, 20, 25, 30, 35]  # 10 to 12 have a box that nobody has seen
    assert [len(image.boxes) for image in images] == [2, 1, 1, 1, 1, 1, 0, 0]
    assert [len(image.ignore) for image in images] == [0, 1, 0, 0, 0, 0, 0, 0]
    for image in images[:6]:
        x1, y1, x2, y2 = image.boxes[0].astype(int)
        pixels = read_image(image.path)
        assert pixels.shape == (*SIZE[::-1], 3)
        assert pixels[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean() > 200 and pixels[:, :5].mean() < 60


def test_the_edits_are_the_labels(run: Track) -> None:
    """Boxes between two key frames are labels too: a person has set them."""
    run("edit", RUN, "class", 2, "bus")
    run("edit", RUN, "box", 1, 9, "20,15,36,55", 13, "28,15,44,55")
    assert run("export", RUN, "--images-every", 0, "-o", "data/run.json")[0] == 0
    data = read_image_set(Path("data/run.json"), {})
    assert data.categories == ("bus", "person") and len(data.images) == 40
    assert data.images[11].boxes.tolist() == [[24, 15, 40, 55]] and not len(data.images[11].ignore)
    assert np.concatenate([image.labels for image in data.images]).tolist().count(0) == 9


def test_boxes_of_tracks_that_were_not_observed_are_ignored_in_any_coco_file(run: Track) -> None:
    assert run("export", RUN, "-o", "tracks.json")[0] == 0
    for frame in json.loads(Path("tracks.json").read_text())["images"]:
        path = Path(frame["file_name"])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_empty_image())
    images = read_image_set(Path("tracks.json"), {}).images
    assert [len(image.boxes) for image in images[8:14]] == [2, 2, 0, 0, 0, 1]
    assert [len(image.ignore) for image in images[8:14]] == [0, 0, 1, 1, 1, 0]


def _empty_image() -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", np.zeros((*SIZE[::-1], 3), np.uint8))[1].tobytes())


def test_nothing_is_overwritten_without_the_flag(run: Track) -> None:
    assert run("export", RUN, "--images-every", 1)[0] == 0
    code, _, error = run("export", RUN, "--images-every", 1)
    assert code == 2 and f"{LABELS} exists: give --overwrite" in error
    assert run("export", RUN, "--images-every", 1, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tracked/video --images-every -1", "--images-every -1: give seconds"),
        ("tracked/video --images-every nan", "--images-every nan: give seconds"),
        ("tracked/video --images-every 1 -o data.csv", "labels are written to a .json file, not .csv"),
        ("builtin --images-every 1", "--images-every writes the frames of a run"),
        ("video.mp4/ --images-every 1", "--images-every writes the frames of a run"),
        ("tracked --images-every 1", "tracked is no folder of a run"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Track, arguments: str, message: str) -> None:
    code, output, error = run("export", *arguments.split())
    assert (code, output) == (2, "") and message in error and error.count("\n") == 1


def test_a_run_without_its_video(run: Track) -> None:
    Path("video.mp4").rename("moved.mp4")
    code, _, error = run("export", RUN, "--images-every", 1)
    assert code == 2 and "video.mp4" in error and not (RUN / "training").exists()
    assert run("export", RUN, "--images-every", 1, "--video", "moved.mp4")[0] == 0
