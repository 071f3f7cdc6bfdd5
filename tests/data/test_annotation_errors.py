"""Malformed annotations of every format are reported in one sentence with file and position."""

from pathlib import Path

import pytest
from PIL import Image

import image_sets
from tracker.data import read_image_set
from tracker.errors import InputError


def read(path):
    return read_image_set(path, {})


def error_coco(old, new):
    def write(folder):
        path = image_sets.write_coco(folder)
        image_sets.replace_text(path, old, new)
        return path

    return write


def error_yolo(row):
    def write(folder):
        file = image_sets.write_yolo(folder)
        with (folder / "labels/train/01.txt").open("a") as labels:
            labels.write(row + "\n")
        return Path(f"{file}:train")

    return write


def error_voc(old, new):
    def write(folder):
        path = image_sets.write_voc(folder)
        image_sets.replace_text(folder / "Annotations/train01.xml", old, new)
        return path

    return write


def error_mot(row):
    def write(folder):
        image_sets.write_mot(folder)
        with (folder / "gt/gt.txt").open("a") as rows:
            rows.write(row + "\n")
        return folder

    return write


def without(name, file):
    def written(folder):
        path = image_sets.WRITERS[name](folder)
        (folder / file).unlink()
        return path

    return written


def rotated(name):
    """Writes a set whose first image has not the size that its annotation says."""

    def written(folder):
        path = image_sets.WRITERS[name](folder)
        first = sorted(folder.rglob("*.png"))[0]
        with Image.open(first) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(first)
        return path

    return written


FIRST = image_sets.draw_images(1)[0].boxes[0].astype(int).tolist()
LINE = len(image_sets.draw_images(1)[0].labels) + 1  # of a row that is added to those of the first image
LAST = sum(len(drawing.labels) for drawing in image_sets.draw_images(6)) + 1
XMIN = f"<xmin>{FIRST[0] + 1}<"

ERRORS = {
    "coco category": (error_coco('"category_id": 1', '"category_id": 9'), r"train\.json, annotation 1: .*category 9"),
    "coco image": (error_coco('"image_id": 1', '"image_id": 77'), r"train\.json, annotation 1: there is no image 77"),
    "coco NaN": (
        error_coco('"bbox": [', '"bbox": [NaN, 4, 5, 6], "was": ['),
        r"annotation 1 \(train/01.png\): .*finite",
    ),
    "coco three": (error_coco('"bbox": [', '"bbox": [4, 5, 6], "was": ['), r"annotation 1 \(train/01.png\): .*finite"),
    "coco flat": (error_coco('"bbox": [', '"bbox": [4, 5, 6, 0], "was": ['), r"\(4, 5, 10, 5\) has no area"),
    "coco outside": (
        error_coco('"bbox": [', '"bbox": [4, 5, 166, 9], "was": ['),
        r"annotation 1 .*reaches out of .*160x120",
    ),
    "coco unlabelled": (error_coco('"id": 1,', '"id": 1, "unlabelled": ["cat"],'), r"\(train/01.png\): .*class 'cat'"),
    "coco ids": (error_coco('"id": 2,\n   "file_name"', '"id": 1,\n   "file_name"'), "two images have the same id"),
    "coco syntax": (
        error_coco('"annotations": [', '"annotations": [,'),
        r"train\.json, line \d+: .*JSON",
    ),
    "coco keys": (
        error_coco('"annotations"', '"remarks"'),
        r"train\.json is no COCO detection file: it lacks 'annotations'",
    ),
    "coco missing": (
        without("coco", "train/03.png"),
        r"train\.json: cannot read the image .*03\.png: No such",
    ),
    "coco size": (rotated("coco"), r"said to be 160x120, and is 120x160"),
    "yolo class": (error_yolo("2 .5 .5 .1 .1"), rf"01\.txt, line {LINE}: there is no class 2: they are 0, 1"),
    "yolo columns": (error_yolo("1 .5 .5 .1"), rf"01\.txt, line {LINE}: 4 columns"),
    "yolo even": (error_yolo("1 .5 .5 .1 .1 .2 .2 .3"), rf"01\.txt, line {LINE}: 8 columns"),
    "yolo NaN": (error_yolo("1 nan .5 .1 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*finite"),
    "yolo word": (error_yolo("1 x .5 .1 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*finite"),
    "yolo flat": (error_yolo("1 .5 .5 0 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*no area"),
    "yolo pixels": (error_yolo("1 50 50 10 10"), rf"01\.txt, line {LINE} \(01\.png\): .*reaches out of"),
    "yolo missing": (
        without("yolo", "images/train/03.png"),
        r"03\.txt: there is no image of these labels",
    ),
    "voc name": (error_voc("<name>", "<name/><was>"), r"train01\.xml, line \d+: this is not XML"),
    "voc no name": (error_voc("<object>", "<object><name/>"), r"train01\.xml, line 4 .*there is no class ''"),
    "voc NaN": (error_voc(XMIN, "<xmin>wide<"), r"train01\.xml, line 4 \(train01\.png\): .*finite"),
    "voc reversed": (error_voc(XMIN, "<xmin>159<"), r"train01\.xml, line 4 .*no area"),
    "voc outside": (error_voc(XMIN, "<xmin>-9<"), r"train01\.xml, line 4 .*reaches out of"),
    "voc missing": (
        without("voc", "JPEGImages/train02.png"),
        r"train02\.xml: cannot read the image",
    ),
    "voc no XML": (
        without("voc", "Annotations/train02.xml"),
        r"train02\.xml: there is no such file",
    ),
    "voc size": (rotated("voc"), r"train01\.xml, size .*said to be 160x120, and is 120x160"),
    "mot columns": (error_mot("1,1,5,5,5"), rf"gt\.txt, line {LAST}: 5 columns"),
    "mot class": (error_mot("1,1,5,5,5,5,1,14,1"), rf"gt\.txt, line {LAST}: there is no class 14"),
    "mot frame": (error_mot("7,1,5,5,5,5,1,1,1"), rf"gt\.txt, line {LAST}: there is no image of frame 7"),
    "mot NaN": (error_mot("1,1,5,nan,5,5,1,1,1"), rf"gt\.txt, line {LAST}: .*finite"),
    "mot flat": (error_mot("1,1,5,5,5,0,1,1,1"), rf"gt\.txt, line {LAST} .*no area"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_file_and_position(tmp_path, name):
    write, message = ERRORS[name]
    with pytest.raises(InputError, match=message) as raised:
        read(write(tmp_path))
    assert "\n" not in str(raised.value)


def test_the_number_of_further_errors_is_reported(tmp_path):
    write, _ = ERRORS["yolo class"]
    path = write(tmp_path)
    (tmp_path / "labels/train/02.txt").write_text("0 .5 .5 .1 .1\n0 .5 .5 .1 -.1\n5\n")
    with pytest.raises(InputError, match=r"no class 2.*; 2 more are listed by: track data check .*data\.yaml:train"):
        read(path)


@pytest.mark.parametrize("name", ["gone.json", "gone", "empty", "data.yaml", "empty.json", "none.json", "list.json"])
def test_paths_without_annotated_images(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text("names: [a]\n")
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "none.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read(tmp_path / name)


def test_a_yolo_dataset_without_any_labels_is_refused(tmp_path):
    file = image_sets.write_yolo(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "lables")
    with pytest.raises(InputError, match=r"there are no labels: those of .*images.train.01\.png should be .*labels"):
        read(Path(f"{file}:train"))
