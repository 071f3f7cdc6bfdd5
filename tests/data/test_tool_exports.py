"""Layouts of labelling tools are read alike, and what is special about each is read, left out or told."""

import json
from pathlib import Path

import numpy as np
import pytest

from image_sets import HEIGHT, NAMES, WIDTH, replace_text
from tool_exports import (
    COUNT,
    EXPORTS,
    cvat_track_box,
    cvat_video,
    drawings,
    names,
    save_images,
    write_cvat_images,
    write_export,
    write_fiftyone,
    write_label_studio,
    write_labelme,
)
from tracker.data.annotations.load import LoadedSet, load_with_problems, split_paths
from tracker.errors import InputError


def load(path: Path) -> LoadedSet:
    return load_with_problems(path, {})


@pytest.mark.parametrize("name", EXPORTS)
def test_every_layout_gives_the_same(tmp_path: Path, name: str) -> None:
    path = write_export(name, tmp_path / "set")
    (one,) = split_paths(path)
    loaded = load(path)
    assert loaded.problems == [] and load(one).image_set.categories == loaded.image_set.categories
    assert loaded.image_set.categories == NAMES and len(loaded.image_set.images) == COUNT
    for image, drawing in zip(loaded.image_set.images, drawings(), strict=True):
        np.testing.assert_allclose(image.boxes, drawing.boxes, atol=0.02)
        assert image.labels.tolist() == drawing.labels
        assert len(image.ignore) == 0


# --- CVAT ---


def write_video(folder: Path, tracks: str, count: int = 4, numbers: range = range(4)) -> Path:
    save_images(folder / "images", [f"frame_{n:06}.png" for n in numbers])
    (folder / "annotations.xml").write_text(cvat_video(tracks, count))
    return folder / "annotations.xml"


def track(*boxes: str, label: str = "box") -> str:
    return f'<track id="0" label="{label}">{"".join(boxes)}</track>\n'


def test_key_frames_are_interpolated_and_the_last_one_stays(tmp_path: Path) -> None:
    boxes = cvat_track_box(0, (0, 0, 10, 10)), cvat_track_box(2, (20, 40, 40, 50))
    loaded = load(write_video(tmp_path, track(*boxes)))
    stated = [image.boxes.tolist() for image in loaded.image_set.images]
    assert stated == [[[0, 0, 10, 10]], [[10, 20, 25, 30]], [[20, 40, 40, 50]], [[20, 40, 40, 50]]]
    assert loaded.problems == []


def test_an_object_is_absent_where_it_is_outside(tmp_path: Path) -> None:
    box = (5, 5, 25, 25)
    boxes = cvat_track_box(0, box), cvat_track_box(1, box, outside=True), cvat_track_box(3, box)
    loaded = load(write_video(tmp_path, track(*boxes)))
    assert [len(image.boxes) for image in loaded.image_set.images] == [1, 0, 0, 1]


def test_a_file_that_lists_all_frames_is_not_interpolated(tmp_path: Path) -> None:
    boxes = cvat_track_box(0, (5, 5, 25, 25)), cvat_track_box(2, (5, 5, 25, 25), key_frame=False)
    loaded = load(write_video(tmp_path, track(*boxes)))
    assert [len(image.boxes) for image in loaded.image_set.images] == [1, 0, 1, 0]


def test_frames_without_an_image(tmp_path: Path) -> None:
    boxes = [cvat_track_box(n, (5, 5, 25, 25), key_frame=n == 0) for n in range(9)]
    loaded = load(write_video(tmp_path / "a", track(*boxes), count=9))
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}/a/annotations.xml: there are no images of 5 frames (4, 5, 6, 7, 8)"
    ]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "annotations.xml").write_text(cvat_video(track(*boxes), 9))
    (problem,) = load(tmp_path / "b").problems
    assert "put them beside it, as images/frame_000000.png" in problem.message


def test_other_shapes_of_cvat(tmp_path: Path) -> None:
    file = write_cvat_images(tmp_path) / "annotations.xml"
    shapes = (
        '<box label="box" xtl="10" ytl="30" xbr="50" ybr="40" rotation="90"></box>'
        '<polygon label="ball" points="1,2;30,2;30,42"></polygon>'
        '<ellipse label="ball" cx="60" cy="60" rx="20" ry="10"></ellipse>'
        '<mask label="box" rle="1, 3, 5, 3" left="100" top="80" width="4" height="3"></mask>'
        '<points label="box" points="1,2"></points><polyline label="box" points="1,2;3,4"></polyline>'
        '<tag label="box"></tag>'
    )
    text = file.read_text()
    start, end = text.index("<box"), text.index("</image>")
    file.write_text(text[:start] + shapes + text[end:])
    loaded = load(tmp_path)
    assert loaded.problems == []
    expected = [[25, 15, 35, 55], [1, 2, 30, 42], [40, 50, 80, 70], [100, 80, 104, 83]]
    image = loaded.image_set.images[0]
    np.testing.assert_allclose(image.boxes, expected, atol=0.01)
    assert [loaded.image_set.categories[label] for label in image.labels] == ["box", "ball", "ball", "box"]
    (note,) = loaded.notes
    assert note.endswith("are left out: 1 of the kind points, 1 of the kind polyline")


# --- Label Studio ---


def edit(path: Path, change: object) -> Path:
    tasks = json.loads(path.read_text())
    change(tasks)  # type: ignore[operator]
    path.write_text(json.dumps(tasks))
    return path


def test_a_turned_rectangle_of_label_studio(tmp_path: Path) -> None:
    """It turns around its upper left corner, in pixels: at 90 degrees its height goes to the left."""

    def turn(tasks: list[dict[str, object]]) -> None:
        value = tasks[0]["annotations"][0]["result"][0]["value"]  # type: ignore[index]
        pixels = {"x": 80 / WIDTH, "y": 60 / HEIGHT, "width": 40 / WIDTH, "height": 20 / HEIGHT}
        value |= {key: 100 * share for key, share in pixels.items()} | {"rotation": 90}

    image = load(edit(write_label_studio(tmp_path), turn)).image_set.images[0]
    np.testing.assert_allclose(image.boxes[0], [60, 60, 80, 100], atol=0.01)


def test_tasks_without_and_with_several_annotations(tmp_path: Path) -> None:
    def change(tasks: list[dict[str, list[dict[str, object]]]]) -> None:
        tasks[0]["annotations"] = []
        tasks[1]["annotations"][0]["was_cancelled"] = True
        tasks[2]["annotations"].append({"result": [], "updated_at": "2025-01-01"})

    loaded = load(edit(write_label_studio(tmp_path), change))
    assert [len(image.boxes) for image in loaded.image_set.images] == [0, len(drawings()[3].boxes)]
    assert any("2 tasks of" in note and "have no annotation" in note for note in loaded.notes)
    assert any("1 tasks of" in note and "several annotations: the last one counts" in note for note in loaded.notes)


# --- FiftyOne, LabelMe ---


def test_classes_of_fiftyone_by_number(tmp_path: Path) -> None:
    file = write_fiftyone(tmp_path) / "labels.json"
    content = json.loads(file.read_text())
    for detections in content["labels"].values():
        for one in detections:
            one["label"] = NAMES.index(one["label"])
    content["labels"]["img_0000"] = None
    file.write_text(json.dumps(content))
    images = load(tmp_path).image_set.images
    assert [image.labels.tolist() for image in images] == [[], *(drawing.labels for drawing in drawings()[1:])]


def test_shapes_of_labelme_without_a_box_are_told(tmp_path: Path) -> None:
    loaded = load(write_labelme(tmp_path))
    assert "shapes that are no boxes, polygons or masks are left out: 4 of the kind point" in loaded.notes
    (tmp_path / "img_0001.json").write_text('{"version": "5"}')
    (problem,) = load(tmp_path).problems
    assert problem.location.endswith("img_0001.json") and "not a file of LabelMe" in problem.message


def test_several_files_of_one_folder_are_several_sets(tmp_path: Path) -> None:
    write_export("coco images", tmp_path / "set")
    folder = tmp_path / "set" / "annotations"
    (folder / "instances_val.json").write_text((folder / "instances_default.json").read_text())
    assert [path.name for path in split_paths(tmp_path / "set")] == ["instances_default.json", "instances_val.json"]
    with pytest.raises(InputError, match=r"set lists instances_default\.json, instances_val\.json: choose one"):
        load(tmp_path / "set")


def test_several_tasks_of_cvat_are_several_sets(tmp_path: Path) -> None:
    folder = write_export("cvat images", tmp_path / "set")
    (folder / "second.xml").write_text((folder / "annotations.xml").read_text())
    assert [path.name for path in split_paths(folder)] == ["annotations.xml", "second.xml"]
    assert len(load(folder / "second.xml").image_set.images) == COUNT


def test_the_splits_of_roboflow_are_several_sets(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_export("coco beside", tmp_path / "set" / split)
    paths = split_paths(tmp_path / "set")
    assert [path.parent.name for path in paths] == ["train", "valid"]
    assert all(len(load(path).image_set.images) == COUNT for path in paths)


def test_a_layout_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"what": 1}')
    (tmp_path / "a.xml").write_text("<html/>")
    for name, message in (("a.json", "is JSON, but holds no annotations"), ("a.xml", "begins with 'html'")):
        with pytest.raises(InputError, match=message):
            load(tmp_path / name)


def test_names_of_images_are_those_of_the_layout(tmp_path: Path) -> None:
    assert [image.path.name for image in load(write_cvat_images(tmp_path)).image_set.images] == names()


def test_a_mask_that_does_not_fit_is_told(tmp_path: Path) -> None:
    path = write_export("coco images", tmp_path / "set") / "annotations" / "instances_default.json"
    replace_text(path, '"segmentation": [[', '"segmentation": {"size": [120, 160], "counts": [5, 5]}, "was": [[')
    (problem,) = load(path).problems
    assert problem.location.endswith("annotation 1") and "do not add up" in problem.message
