"""Rows and descriptions of YOLO datasets as people have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_sets import write_yolo
from tracker.data.annotations.load import LoadedSet, load_with_problems
from tracker.errors import InputError

BOX = [16, 30, 48, 60]  # xyxy, pixels of 160 x 120
ROW = "1 0.2 0.375 0.2 0.25"


def load(path: Path) -> LoadedSet:
    return load_with_problems(path, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of one image without labels."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (160, 120)).save(tmp_path / "images" / "1.png")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [ball, box]\n")
    return tmp_path


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        "1.000e+00 2.0e-01 3.75e-01 2.0e-01 2.5e-01",
        "1,0.2,0.375,0.2,0.25",
        "1 0,2 0,375 0,2 0,25",
        "1;0,2;0,375;0,2;0,25",
        "1.0\t0.2\t0.375\t0.2\t0.25\t",
        f"\n{ROW}\n{ROW}\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_variants_of_a_row_are_read_alike(folder: Path, row: str, encoding: str) -> None:
    (folder / "labels" / "1.txt").write_bytes(row.encode(encoding))
    loaded = load(folder)
    assert loaded.problems == [] and loaded.image_set.images[0].labels.tolist() == [1]
    np.testing.assert_allclose(loaded.image_set.images[0].boxes, [BOX], atol=1e-4)
    assert len(loaded.notes) == (ROW in row and row != ROW)  # of the row that is written twice


@pytest.mark.parametrize(("shape", "points"), [("[2, 2]", " 0.1 0.3 0.2 0.4"), ("[2, 3]", " 0.1 0.3 2 0 0 0")])
def test_poses_are_boxes(folder: Path, shape: str, points: str) -> None:
    (folder / "data.yaml").write_text(f"train: images\nkpt_shape: {shape}\nnames: [ball, box]\n")
    (folder / "labels" / "1.txt").write_text(f"{ROW}{points}\n{ROW.replace('1', '0', 1)}\n")
    (image,) = load(folder).image_set.images
    np.testing.assert_allclose(image.boxes, [BOX, BOX], atol=1e-4)
    assert image.segmentations == ((), ())
    (folder / "labels" / "1.txt").write_text(f"{ROW} 0.1 0.2\n")
    (problem,) = load(folder).problems
    assert "7 columns, where a box has 5, and with kpt_shape" in problem.message


@pytest.mark.parametrize("shape", ["17", "[17]", "[0, 2]", "[2, 4]", "[a, b]"])
def test_a_malformed_kpt_shape(folder: Path, shape: str) -> None:
    (folder / "data.yaml").write_text(f"train: images\nkpt_shape: {shape}\nnames: [ball, box]\n")
    with pytest.raises(InputError, match=r"data\.yaml: kpt_shape is"):
        load(folder)


def test_images_that_share_a_file_of_labels_are_told(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    Image.new("RGB", (160, 120)).save(folder / "images" / "1.jpg")
    loaded = load(folder)
    assert [len(image.boxes) for image in loaded.image_set.images] == [1, 1]
    (note,) = loaded.notes
    assert "1 files of labels are shared by several images" in note and "1.jpg and 1.png" in note


def test_images_that_are_listed_twice_count_once(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    (folder / "list.txt").write_text("images/1.png\n./images/1.png\n\n")
    (folder / "data.yaml").write_text("train: [images, list.txt, images]\nnames: [ball, box]\n")
    loaded = load(folder)
    assert len(loaded.image_set.images) == 1
    assert loaded.notes == ["2 images are listed twice: they count once"]


def test_class_names_by_number_and_as_they_are_written(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    (folder / "data.yaml").write_text("train: images\nval: null\ntest:\nnames: {0: yes, 3: 1.0, '7': null}\n")
    loaded = load(folder)
    assert loaded.image_set.categories == ("yes", "1.0", "null")
    assert loaded.image_set.images[0].labels.tolist() == [2]


@pytest.mark.parametrize("stated", ["/content/set/images", "C:\\set\\images", "../images", "./images/", "set/images"])
def test_a_folder_that_was_somewhere_else(folder: Path, stated: str) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    (folder / "data.yaml").write_text(f"train: {stated}\nnames: [ball, box]\n")
    assert len(load(folder).image_set.images[0].boxes) == 1


def test_another_split_is_never_taken_for_an_absent_one(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    (folder / "data.yaml").write_text("train: images\nval: val/images\ntest: ../test/images\nnames: [ball, box]\n")
    assert len(load(folder / "data.yaml:train").image_set.images) == 1
    for split in ("val", "test"):
        with pytest.raises(InputError, match=f"{split}/images, but there is no"):
            load(folder / f"data.yaml:{split}")


def test_an_absent_folder_of_several_is_one_problem(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    (folder / "data.yaml").write_text("train: [images, more]\nnames: [ball, box]\n")
    loaded = load(folder)
    assert len(loaded.image_set.images) == 1
    assert [str(problem) for problem in loaded.problems] == [
        f"{folder}/data.yaml: it names more, but there is no such folder or file"
    ]


def test_a_split_under_another_name(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text(ROW)
    (folder / "data.yaml").write_text("train: gone\nvalid: images\nnames: [ball, box]\n")
    for split in ("val", "valid"):
        assert len(load(folder / f"data.yaml:{split}").image_set.images) == 1


def test_a_broken_file_of_labels_is_one_problem(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "02.txt").write_bytes(b"0 .5 .5 .1 .1\n\xff\xfe\n")
    (problem,) = load(Path(f"{file}:train")).problems
    assert problem.location.endswith("02.txt, line 2 is not a file of labels") and "not text" in problem.message
