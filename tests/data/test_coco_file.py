"""COCO files: what is written is read back, as detections and as annotations."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tracker import read_detections
from tracker.data import read_image_set
from tracker.data.coco_file import (
    bbox_to_xyxy,
    category_entries,
    frames_of,
    image_entry,
    image_size_of,
    xyxy_to_bbox,
)
from tracker.errors import InputError
from tracker.output import open_writer
from video_results import CONFIG, make_frame, make_info, make_tracks

CATEGORIES = ["person", "car"]
BOXES = [[10, 12, 30.25, 42], [0, 0, 64, 48], [40.5, 20.13, 50, 30]]
corners = st.lists(st.integers(0, 400_000).map(lambda n: n / 100), min_size=2, max_size=2, unique=True).map(sorted)


@given(corners, corners)
def test_boxes_are_converted_to_and_fro(x: list[float], y: list[float]) -> None:
    box = (x[0], y[0], x[1], y[1])
    assert bbox_to_xyxy(xyxy_to_bbox(box)) == pytest.approx(box, abs=1e-9)


def test_what_is_not_four_numbers_is_nan() -> None:
    assert np.isnan(bbox_to_xyxy([1, 2, 3])).all()
    assert np.isnan(bbox_to_xyxy([1, "wide", None, 4])).tolist() == [False, True, True, True]
    assert bbox_to_xyxy(["1", 2, 3, 4]) == (1, 2, 4, 6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Tracks in frames 0 and 3, in a file beside the images of the video."""
    path = tmp_path / "tracks.json"
    with open_writer(path, make_info(), CATEGORIES, CONFIG) as writer:
        writer.write(make_frame(0), make_tracks([3, 4], BOXES[:2], [0.75, 0.5], [1, 0]))
        writer.write(make_frame(3), make_tracks([3], BOXES[2:], [0.25], [1]))
    (tmp_path / "clip.mp4").mkdir()
    for frame in (0, 3):
        Image.new("RGB", (64, 48)).save(tmp_path / "clip.mp4" / f"{frame:06d}.jpg")
    return path


def test_results_are_read_back_as_detections(file: Path) -> None:
    stored = read_detections(file)
    assert (stored.categories, stored.width, stored.height) == (("person", "car"), 64, 48)
    assert dict(stored.frame_times()) == {0: 0, 3: pytest.approx(0.12)}
    np.testing.assert_allclose(np.concatenate([stored.at(0).boxes, stored.at(3).boxes]), BOXES, atol=1e-5)
    assert stored.at(0).labels.tolist() == [1, 0] and stored.at(3).scores.tolist() == [0.25]


def test_results_are_read_back_as_annotations(file: Path) -> None:
    image_set = read_image_set(file, {})
    assert image_set.categories == ("person", "car")
    assert [image.name for image in image_set.images] == ["clip.mp4/000000.jpg", "clip.mp4/000003.jpg"]
    np.testing.assert_allclose(np.concatenate([image.boxes for image in image_set.images]), BOXES, atol=1e-5)
    assert [image.labels.tolist() for image in image_set.images] == [[1, 0], [1]]


def test_the_entries_of_a_file(file: Path) -> None:
    content = json.loads(file.read_text())
    assert content["categories"] == category_entries(CATEGORIES)
    assert content["images"] == [image_entry(n, n / 25, (64, 48), "clip.mp4") for n in (0, 3)]
    assert image_size_of(content["images"][0]) == (64, 48) and image_size_of({}) == (0, 0)
    ids = np.array([image["id"] for image in content["images"]])
    assert frames_of(ids).tolist() == [0, 3] and frames_of(ids - 1).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"images": [\n{"id": 1,}\n]}', r"a\.json, line 2: this is not valid JSON"),
        (b"[" * 100_000, r"a\.json is nested too deeply"),
        (b"[\n\xff]", r"a\.json, line 2 is not a .*: this is not text in UTF-8 or UTF-16"),
        (b"[1" + b"0" * 5000 + b"]", r"a\.json is not a .*: Exceeds the limit"),
    ],
)
def test_what_is_not_json(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    for read in (read_detections, lambda path: read_image_set(path, {})):
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert "\n" not in str(error.value)
