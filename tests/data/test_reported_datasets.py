"""Datasets that people reported trouble with, in ../shared/cases/data: read, with what is to be known told."""

import numpy as np
import pytest

from paths import SHARED
from tracker.cli.app import main
from tracker.data import read_image
from tracker.data.annotations.load import LoadedSet, load_with_problems, split_paths
from tracker.data.check import check_image_sets

CASES = SHARED / "cases" / "data"
COUNT = 12  # images of each

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"needs {CASES}")


def check(name: str) -> int:
    """Returns the exit code of `track data check`."""
    with pytest.raises(SystemExit) as exit:
        main(["data", "check", str(CASES / name)])
    return int(str(exit.value.code))


def load(name: str) -> LoadedSet:
    (path,) = split_paths(CASES / name)
    return load_with_problems(path, {})


@pytest.mark.parametrize(
    "name",
    ["png16", "pose2", "coco_images", "voc_ls", "cvat11", "floatclass", "utf16", "coco_robo_same", "noname", "dups"],
)
def test_a_dataset_is_read(name: str) -> None:
    loaded = load(name)
    assert loaded.problems == []
    assert len(loaded.image_set.images) == COUNT
    assert [len(image.boxes) for image in loaded.image_set.images] == [1] * COUNT


@pytest.mark.parametrize(
    "name", ["pose2", "coco_images", "cvat11", "floatclass", "utf16", "coco_robo_same", "noname", "dups"]
)
def test_all_have_the_same_boxes(name: str) -> None:
    """Each layout holds the objects of the same pictures."""
    boxes = {image.path.stem: image.boxes for image in load("png16").image_set.images}
    for image in load(name).image_set.images:
        np.testing.assert_allclose(image.boxes, boxes[image.path.stem], atol=0.6)


def test_sixteen_bits_are_not_white() -> None:
    for image in load("png16").image_set.images:
        pixels = read_image(image.path)
        assert 20 < pixels.mean() < 200 and pixels.std() > 15


def test_rows_written_twice_are_told() -> None:
    (note,) = load("dups").notes
    assert note.startswith("12 objects are written twice, and count once") and "00.txt, line 2" in note


def test_words_of_yaml_are_names() -> None:
    assert load("noname").image_set.categories == ("no", "yes")


def test_a_root_category_without_boxes_is_no_class() -> None:
    loaded = load("coco_robo_same")
    assert loaded.image_set.categories == ("pet",)
    assert "the category 'pet' (id 0) has no boxes and groups others: left out" in loaded.notes[0]


def test_a_listed_split_that_is_absent_is_one_problem(capsys: pytest.CaptureFixture[str]) -> None:
    report = check_image_sets([CASES / "robo_yolo"])
    assert [len(checked.image_set.images) for checked in report.sets] == [8, 4, 0]
    assert [len(checked.problems) for checked in report.sets] == [0, 0, 1]
    assert check("robo_yolo") == 1
    printed = capsys.readouterr().out
    assert "data.yaml:test: 1 bad labels or images" in printed and "names ../test/images, but there is no" in printed


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()) if CASES.is_dir() else [])
def test_the_check_of_a_dataset_ends(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(name) == (1 if name == "robo_yolo" else 0), capsys.readouterr().out
