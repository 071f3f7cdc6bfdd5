"""Images are found by the paths that annotations state, on whatever computer they were written."""

import json
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from image_sets import write_coco, write_voc, write_yolo
from tracker.data import read_image_set
from tracker.data.annotations.load import load_with_problems
from tracker.data.annotations.locate import ImageLocator
from tracker.data.image_files import image_size
from tracker.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("stated", "file"),
    [
        ("1.jpg", "1.jpg"),
        ("sub/1.jpg", "sub/1.jpg"),
        ("1.JPG", "1.jpg"),
        ("IMG_1.jpeg", "deep/er/img_1.JPEG"),
        ("1.jpg", "images/1.png"),
        ("1", "images/1.png"),
        ("v1.2", "images/v1.2.png"),
        (r"C:\Users\me\pets\1.jpg", "images/1.jpg"),
        (r"..\images\1.jpg", "images/1.jpg"),
        (r"\\server\share\1.jpg", "images/1.jpg"),
        ("/home/someone/else/images/1.jpg", "images/1.jpg"),
        ("my%20cat%2F1.jpg", "my cat/1.jpg"),
        ("50%.jpg", "50%.jpg"),
        ("/data/local-files/?d=pets%2Fmy%20cats%2F1.jpg", "my cats/1.jpg"),
        ("/data/local-files/?d=pets\\cats\\1.jpg", "cats/1.jpg"),
        ("/data/upload/3/1a2b3c4d-cat.jpg", "cat.jpg"),
        ("cat.jpg", "images/1a2b3c4d-cat.jpg"),
        ("https://host.org/x/1.jpg?token=a/b", "1.jpg"),
        ("s3://bucket/pets/1.jpg", "pets/1.jpg"),
        ("file:///C:/pets/1.jpg", "1.jpg"),
        (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")),
    ],
)
def test_an_image_is_found(tmp_path: Path, stated: str, file: str) -> None:
    touch(tmp_path, file, "other/9.jpg", ".hidden/1.jpg")
    located = ImageLocator([tmp_path]).find([stated], [tmp_path])
    assert located == (tmp_path / file, "")


def test_of_several_the_one_in_the_stated_folders_counts(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg")
    locator = ImageLocator([tmp_path])
    assert locator.find([r"D:\set\val\a\1.jpg"], [tmp_path]).path == tmp_path / "val/a/1.jpg"
    located = locator.find([r"D:\set\1.jpg"], [tmp_path])
    assert "3 files may be the image" in located.problem and "train/a/1.jpg" in located.problem
    (note,) = locator.notes()
    assert note.endswith(rf"were found by name: D:\set\val\a\1.jpg is {tmp_path}/val/a/1.jpg")


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b.jpg", "\ud800.jpg", "", "/", "?d=", "http://[", "%ff%fe.jpg"):
        path = ImageLocator([tmp_path]).find([name], [tmp_path]).path
        with pytest.raises(InputError, match="cannot read the image"):
            image_size(path)


def test_a_folder_that_holds_itself(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert ImageLocator([tmp_path]).images() == [tmp_path / "a/1.jpg"]


@pytest.mark.parametrize("name", ["coco", "yolo", "voc"])
def test_images_that_were_moved_are_found_in_another_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "set"
    path = {"coco": write_coco, "voc": write_voc, "yolo": lambda folder: write_yolo(folder, val=0).parent}[name](folder)
    pictures = tmp_path / "somewhere" / "else"
    for file in sorted(folder.rglob("*.png")):
        pictures.mkdir(parents=True, exist_ok=True)
        file.rename(pictures / file.with_suffix(".PNG").name)
    if name == "yolo":
        (path / "data.yaml").unlink()
        (path / "classes.txt").write_text("ball\nbox\n")
    else:
        with pytest.raises(InputError, match="cannot read the image"):
            read_image_set(path, {})
    image_set = read_image_set(path, {}, tmp_path / "somewhere")
    assert len(image_set.images) == 6 and all(len(image.boxes) for image in image_set.images)
    assert {image.path.parent for image in image_set.images} == {pictures}


def test_two_images_of_one_name_are_a_problem_and_not_the_end(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "set", 3)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "C:\\x\\same.png"
    path.write_text(json.dumps(content))
    for folder in ("a", "b"):
        (tmp_path / "set" / folder).mkdir()
        Image.new("RGB", (160, 120)).save(tmp_path / "set" / folder / "same.png")
    loaded = load_with_problems(path, {})
    assert len(loaded.image_set.images) == 2
    (problem,) = loaded.problems
    assert r"2 files may be the image C:\x\same.png" in problem.message and "give --images" in problem.message
