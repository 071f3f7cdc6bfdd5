"""Annotated pictures of every layout are read alike, and bad labels are told with their place."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import image_sets
from tracker.data import read_image, read_pictures, same_classes
from tracker.errors import InputError

LAYOUTS = {
    "coco": lambda folder: image_sets.write_coco(folder),
    "yolo": lambda folder: Path(f"{image_sets.write_yolo(folder)}:train"),
    "yolo outlines": lambda folder: Path(f"{image_sets.write_yolo(folder, outlines=True)}:train"),
    "voc": lambda folder: image_sets.write_voc(folder),
    "mot": lambda folder: image_sets.write_mot(folder),
}


def read(path, **classes):
    return read_pictures(path, classes)


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


# --- what is read ---


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(tmp_path, layout):
    pictures = read(LAYOUTS[layout](tmp_path))
    assert pictures.categories == (("person", "car") if layout == "mot" else ("ball", "box"))
    drawn = image_sets.draw_pictures(6)
    assert len(pictures.pictures) == len(drawn)
    for picture, truth in zip(pictures.pictures, drawn, strict=True):
        np.testing.assert_allclose(picture.boxes, truth.boxes, atol=0.02)
        assert picture.labels.tolist() == truth.labels
        assert picture.ignore.shape == (0, 4)
        assert (read_image(picture.path) == truth.image).all()
        outlined = layout in ("coco", "yolo outlines")
        assert [len(outline) for outline in picture.outlines] == [int(outlined)] * len(truth.labels)
        for outline, polygon in zip(picture.outlines, truth.outlines, strict=True):
            assert not outlined or np.allclose(outline[0], polygon, atol=0.02)


def test_other_places_of_the_same_layouts(tmp_path):
    image_sets.write_voc(tmp_path / "voc", 2)
    image_sets.write_voc(tmp_path / "voc", 3, split="val")
    assert len(read(tmp_path / "voc").pictures) == 5
    assert len(read(tmp_path / "voc/ImageSets/Main/val.txt").pictures) == 3
    for file in (tmp_path / "voc/Annotations").iterdir():  # as LabelImg writes: beside the pictures
        file.rename(tmp_path / "voc/JPEGImages" / file.name)
    assert len(read(tmp_path / "voc/JPEGImages").pictures) == 5
    for name in ("a", "b"):
        image_sets.write_mot(tmp_path / "mot" / name, 2)
    assert [p.name for p in read(tmp_path / "mot").pictures][1:3] == ["a/000002.png", "b/000001.png"]
    coco = image_sets.write_coco(tmp_path / "coco", 2, name="val2017")
    (tmp_path / "coco/annotations").mkdir()
    values = json.loads(coco.read_text())
    for image in values["images"]:
        image["file_name"] = Path(image["file_name"]).name
    moved = tmp_path / "coco/annotations/instances_val2017.json"
    moved.write_text(json.dumps(values))
    assert len(read(moved).pictures) == 2


def test_a_yolo_set_in_the_ways_that_tools_write_it(tmp_path):
    file = image_sets.write_yolo(tmp_path)
    with pytest.raises(InputError, match=re.escape("train, val: say which, as in")):
        read(tmp_path)
    with pytest.raises(InputError, match="has no test: it lists train, val"):
        read(Path(f"{file}:test"))
    listed = [f"images/val/0{n}.png" for n in (1, 3)]
    (tmp_path / "some.txt").write_text("\n".join(listed) + "\n")
    file.write_text("val: ../some.txt\nnames: [ball, box]\n")
    assert [picture.name for picture in read(tmp_path).pictures] == ["01.png", "03.png"]
    file.unlink()
    with pytest.raises(InputError, match=r"no data\.yaml or classes\.txt"):
        read(tmp_path)
    (tmp_path / "classes.txt").write_text("ball\nbox\n")
    assert len(read(tmp_path).pictures) == 10


def test_pictures_without_objects_are_kept(tmp_path):
    file = image_sets.write_yolo(tmp_path / "yolo")
    (tmp_path / "yolo/labels/train/02.txt").unlink()
    assert [len(p.boxes) for p in read(Path(f"{file}:train")).pictures][1] == 0
    sequence = image_sets.write_mot(tmp_path / "mot")
    rows = (sequence / "gt/gt.txt").read_text().splitlines()
    (sequence / "gt/gt.txt").write_text("\n".join(row for row in rows if not row.startswith("3,")) + "\n")
    assert [len(p.boxes) for p in read(sequence).pictures][2] == 0


def test_crowds_and_the_difficult_are_ignored_and_the_truncated_are_not(tmp_path):
    coco = image_sets.write_coco(tmp_path / "coco")
    change(coco, '"iscrowd": 0', '"iscrowd": 1')
    truth = image_sets.draw_pictures(1)[0]
    first = read(coco).pictures[0]
    assert first.ignore.tolist() == truth.boxes[:1].tolist()
    assert first.boxes.tolist() == truth.boxes[1:].tolist()
    voc = image_sets.write_voc(tmp_path / "voc")
    xml = tmp_path / "voc/Annotations/train01.xml"
    change(xml, "<truncated>0", "<truncated>1")
    assert read(voc).pictures[0].boxes.tolist() == truth.boxes.tolist()
    change(xml, "<difficult>0", "<difficult>1")
    assert read(voc).pictures[0].ignore.tolist() == truth.boxes[:1].tolist()


def test_classes_of_coco_are_in_the_order_of_their_ids_and_some_are_not_annotated(tmp_path):
    coco = image_sets.write_coco(tmp_path)
    values = json.loads(coco.read_text())
    values["categories"] = [{"id": 7, "name": "box"}, {"id": 3, "name": "ball"}]
    for row in values["annotations"]:
        row["category_id"] = {1: 3, 2: 7}[row["category_id"]]
    values["images"][1]["unlabelled"] = ["box"]
    coco.write_text(json.dumps(values))
    pictures = read(coco)
    assert pictures.categories == ("ball", "box")
    assert pictures.pictures[0].labels.tolist() == image_sets.draw_pictures(1)[0].labels
    assert [picture.unlabelled for picture in pictures.pictures[:3]] == [(), (1,), ()]


def test_rows_of_the_benchmark_that_are_not_to_be_considered(tmp_path):
    folder = image_sets.write_mot(tmp_path / "a", 1)
    rows = {
        "1,1,11,21,30,40,1,1,1.0": "object",
        "1,2,51,21,30,40,1,1,0.1": "hardly visible",
        "1,3,1,1,20,20,0,1,1.0": "a person not to be considered",
        "1,4,91,21,10,10,0,8,1.0": "a distractor",
        "1,5,11,71,30,20,0,3,1.0": "a car not to be considered",
        "1,6,100,100,30,20,0,11,1.0": "what hides others",
        "1,7,151,101,30,40,1,1,0.9": "over the edge",
        "1,8,191,101,30,40,1,1,0.0": "outside",
    }
    (folder / "gt/gt.txt").write_text("\n".join(rows) + "\n")
    pictures = read(folder)
    assert pictures.categories == ("person",)
    assert pictures.pictures[0].boxes.tolist() == [[10, 20, 40, 60], [150, 100, 160, 120]]
    assert pictures.pictures[0].ignore.tolist() == [[50, 20, 80, 60], [0, 0, 20, 20], [90, 20, 100, 30]]
    (folder / "gt/gt.txt").write_text("1,1,11,21,30,40,1,-1,-1,-1\n1,2,151,21,100,40,1,-1,-1,-1\n")  # MOT15
    (picture,) = read(folder).pictures
    assert picture.boxes.tolist() == [[10, 20, 40, 60]]
    assert picture.ignore.tolist() == [[150, 20, 160, 60]]  # a tenth of the box is inside


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_become_outlines(tmp_path, compressed):
    coder = pytest.importorskip("pycocotools.mask")
    pytest.importorskip("faster_coco_eval")
    mask = np.zeros((120, 160), np.uint8)
    mask[20:60, 30:50] = 1
    mask[40:60, 50:90] = 1
    counts = np.diff(np.flatnonzero(np.diff(np.r_[2, mask.T.ravel(), 2]))).tolist()
    encoded = coder.encode(np.asfortranarray(mask))
    packed = {"size": [120, 160], "counts": encoded["counts"].decode()}
    coco = image_sets.write_coco(tmp_path, 1)
    values = json.loads(coco.read_text())
    row = {**values["annotations"][0], "bbox": [30, 20, 60, 40]}
    row["segmentation"] = packed if compressed else {"size": [120, 160], "counts": counts}
    values["annotations"] = [row]
    coco.write_text(json.dumps(values))
    (outline,) = read(coco).pictures[0].outlines[0]
    assert outline.min(0).tolist() == [30.5, 20.5]
    assert outline.max(0).tolist() == [89.5, 59.5]
    x, y = outline.T
    inside = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert inside == pytest.approx(mask.sum(), rel=0.1)  # an outline through pixels' centres holds a little less


def test_a_turned_picture_is_upright(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    turned = read_image(tmp_path / "a.png")
    assert turned.shape == (60, 40, 3)
    assert turned[:20].min() == 255
    (tmp_path / "a.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "data.yaml").write_text("train: .\nnames: [thing]\n")
    assert read(tmp_path).pictures[0].boxes.tolist() == [[0, 0, 40, 60]]


def test_boxes_that_stick_out_by_rounding_are_clipped(tmp_path):
    voc = image_sets.write_voc(tmp_path, 1)
    xml = tmp_path / "Annotations/train01.xml"
    xml.write_text(
        re.sub("<xmin>.*?</ymax>", "<xmin>0</xmin><ymin>1</ymin><xmax>161</xmax><ymax>120</ymax>", xml.read_text())
    )
    assert read(voc).pictures[0].boxes[0].tolist() == [0, 0, 160, 120]


# --- classes ---


def test_classes_are_renamed_merged_left_out_and_ignored(tmp_path):
    coco = image_sets.write_coco(tmp_path)
    truths = image_sets.draw_pictures(6)
    balls = [truth.boxes[np.array(truth.labels) == 0].tolist() for truth in truths]
    boxes = [truth.boxes[np.array(truth.labels) == 1].tolist() for truth in truths]
    merged = read(coco, box="thing", ball="thing")
    assert merged.categories == ("thing",)
    assert sum(len(p.labels) for p in merged.pictures) == sum(len(t.labels) for t in truths)
    chosen = read(coco, box="case")
    assert chosen.categories == ("case",)
    assert [p.boxes.tolist() for p in chosen.pictures] == boxes
    assert all(len(p.ignore) == 0 for p in chosen.pictures)
    ignored = read(coco, box="case", ball="")
    assert ignored.categories == ("case",)
    assert [p.ignore.tolist() for p in ignored.pictures] == balls
    turned = read(coco, box="case", ball="ball")
    assert turned.categories == ("case", "ball")
    with pytest.raises(InputError, match=r"no class 'bal' .*did you mean 'ball'"):
        read(coco, bal="ball")


def test_one_mapping_serves_sets_that_name_their_classes_differently(tmp_path, caplog):
    caplog.set_level("WARNING")
    mapping = {"ball": "round", "person": "round", "box": "angular", "cat": "pet"}
    for path in (image_sets.write_coco(tmp_path / "coco"), image_sets.write_mot(tmp_path / "mot")):
        pictures = read(path, **mapping)
        assert pictures.categories == ("round", "angular", "pet")
    truth = image_sets.draw_pictures(1)[0]
    first = pictures.pictures[0]
    assert first.labels.tolist() == [0] * truth.labels.count(0)
    assert first.unlabelled == (1, 2)  # its cars are not named, so it tells nothing of what is angular
    assert "no class 'cat'" in caplog.text


def test_sets_of_different_layouts_get_one_order_of_classes(tmp_path, caplog):
    caplog.set_level("WARNING")
    train = read(image_sets.write_coco(tmp_path / "a"), box="box", ball="ball")
    val = read(image_sets.write_voc(tmp_path / "b"))
    assert (train.categories, val.categories) == (("box", "ball"), ("ball", "box"))
    same = same_classes(val, train.categories, "val")
    assert same.categories == train.categories
    for picture, truth in zip(same.pictures, image_sets.draw_pictures(6), strict=True):
        assert picture.labels.tolist() == [1 - label for label in truth.labels]
    with pytest.raises(InputError, match="val does not have the same categories: box is not among ball; map it"):
        same_classes(val, ("ball",), "val")
    fewer = same_classes(val, ("cat", "box", "ball"), "val")
    assert all(picture.unlabelled == (0,) for picture in fewer.pictures)
    assert "val does not know cat" in caplog.text


# --- faults ---


def fault_coco(old, new):
    def write(folder):
        path = image_sets.write_coco(folder)
        change(path, old, new)
        return path

    return write


def fault_yolo(row):
    def write(folder):
        file = image_sets.write_yolo(folder)
        with (folder / "labels/train/01.txt").open("a") as labels:
            labels.write(row + "\n")
        return Path(f"{file}:train")

    return write


def fault_voc(old, new):
    def write(folder):
        path = image_sets.write_voc(folder)
        change(folder / "Annotations/train01.xml", old, new)
        return path

    return write


def fault_mot(row):
    def write(folder):
        image_sets.write_mot(folder)
        with (folder / "gt/gt.txt").open("a") as rows:
            rows.write(row + "\n")
        return folder

    return write


def without(write, picture):
    def written(folder):
        path = write(folder)
        (folder / picture).unlink()
        return path

    return written


def turned(layout):
    """A set whose first picture is not of the size that its annotation says."""

    def written(folder):
        path = LAYOUTS[layout](folder)
        first = sorted(folder.rglob("*.png"))[0]
        with Image.open(first) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(first)
        return path

    return written


FIRST = image_sets.draw_pictures(1)[0].boxes[0].astype(int).tolist()
LINE = len(image_sets.draw_pictures(1)[0].labels) + 1  # of a row that is added to the first picture's
LAST = sum(len(picture.labels) for picture in image_sets.draw_pictures(6)) + 1
XMIN = f"<xmin>{FIRST[0] + 1}<"

FAULTS = {
    "coco category": (fault_coco('"category_id": 1', '"category_id": 9'), r"train\.json, annotation 1: .*category 9"),
    "coco image": (fault_coco('"image_id": 1', '"image_id": 77'), r"train\.json, annotation 1: there is no image 77"),
    "coco NaN": (
        fault_coco('"bbox": [', '"bbox": [NaN, 4, 5, 6], "was": ['),
        r"annotation 1 \(train/01.png\): .*finite",
    ),
    "coco three": (fault_coco('"bbox": [', '"bbox": [4, 5, 6], "was": ['), r"annotation 1 \(train/01.png\): .*finite"),
    "coco flat": (fault_coco('"bbox": [', '"bbox": [4, 5, 6, 0], "was": ['), r"\(4, 5, 10, 5\) has no area"),
    "coco outside": (
        fault_coco('"bbox": [', '"bbox": [4, 5, 166, 9], "was": ['),
        r"annotation 1 .*reaches out of .*160x120",
    ),
    "coco unlabelled": (fault_coco('"id": 1,', '"id": 1, "unlabelled": ["cat"],'), r"\(train/01.png\): .*class 'cat'"),
    "coco ids": (fault_coco('"id": 2,\n   "file_name"', '"id": 1,\n   "file_name"'), "two images have the same id"),
    "coco syntax": (
        fault_coco('"annotations": [', '"annotations": [,'),
        r"train\.json, line \d+: .*JSON",
    ),
    "coco keys": (
        fault_coco('"annotations"', '"remarks"'),
        r"train\.json is no COCO detection file: it lacks 'annotations'",
    ),
    "coco missing": (
        without(LAYOUTS["coco"], "train/03.png"),
        r"train\.json: cannot read the picture .*03\.png: No such",
    ),
    "coco size": (turned("coco"), r"said to be 160x120, and is 120x160"),
    "yolo class": (fault_yolo("2 .5 .5 .1 .1"), rf"01\.txt, line {LINE}: there is no class 2: they are 0, 1"),
    "yolo columns": (fault_yolo("1 .5 .5 .1"), rf"01\.txt, line {LINE}: 4 columns"),
    "yolo even": (fault_yolo("1 .5 .5 .1 .1 .2 .2 .3"), rf"01\.txt, line {LINE}: 8 columns"),
    "yolo NaN": (fault_yolo("1 nan .5 .1 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*finite"),
    "yolo word": (fault_yolo("1 x .5 .1 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*finite"),
    "yolo flat": (fault_yolo("1 .5 .5 0 .1"), rf"01\.txt, line {LINE} \(01\.png\): .*no area"),
    "yolo pixels": (fault_yolo("1 50 50 10 10"), rf"01\.txt, line {LINE} \(01\.png\): .*reaches out of"),
    "yolo missing": (without(LAYOUTS["yolo"], "images/train/03.png"), r"03\.txt: there is no picture of these labels"),
    "voc name": (fault_voc("<name>", "<name/><was>"), r"train01\.xml, line \d+: this is not XML"),
    "voc no name": (fault_voc("<object>", "<object><name/>"), r"train01\.xml, line 4 .*there is no class ''"),
    "voc NaN": (fault_voc(XMIN, "<xmin>wide<"), r"train01\.xml, line 4 \(train01\.png\): .*finite"),
    "voc turned": (fault_voc(XMIN, "<xmin>159<"), r"train01\.xml, line 4 .*no area"),
    "voc outside": (fault_voc(XMIN, "<xmin>-9<"), r"train01\.xml, line 4 .*reaches out of"),
    "voc missing": (without(LAYOUTS["voc"], "JPEGImages/train02.png"), r"train02\.xml: cannot read the picture"),
    "voc no XML": (without(LAYOUTS["voc"], "Annotations/train02.xml"), r"train02\.xml: there is no such file"),
    "voc size": (turned("voc"), r"train01\.xml, size .*said to be 160x120, and is 120x160"),
    "mot columns": (fault_mot("1,1,5,5,5"), rf"gt\.txt, line {LAST}: 5 columns"),
    "mot class": (fault_mot("1,1,5,5,5,5,1,14,1"), rf"gt\.txt, line {LAST}: there is no class 14"),
    "mot frame": (fault_mot("7,1,5,5,5,5,1,1,1"), rf"gt\.txt, line {LAST}: there is no picture of frame 7"),
    "mot NaN": (fault_mot("1,1,5,nan,5,5,1,1,1"), rf"gt\.txt, line {LAST} .*finite"),
    "mot flat": (fault_mot("1,1,5,5,5,0,1,1,1"), rf"gt\.txt, line {LAST} .*no area"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_file_and_place(tmp_path, fault):
    write, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as raised:
        read(write(tmp_path))
    assert "\n" not in str(raised.value)


def test_how_many_more_faults_there_are(tmp_path):
    write, _ = FAULTS["yolo class"]
    path = write(tmp_path)
    (tmp_path / "labels/train/02.txt").write_text("0 .5 .5 .1 .1\n0 .5 .5 .1 -.1\n5\n")
    with pytest.raises(InputError, match=r"no class 2.*; 2 more are told by: track data check .*data\.yaml:train"):
        read(path)


@pytest.mark.parametrize("name", ["gone.json", "gone", "empty", "data.yaml", "empty.json", "none.json", "list.json"])
def test_places_without_annotated_pictures(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text("names: [a]\n")
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "none.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read(tmp_path / name)


def test_a_yolo_set_without_any_labels_is_no_set(tmp_path):
    file = image_sets.write_yolo(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "lables")
    with pytest.raises(InputError, match=r"there are no labels: those of .*images.train.01\.png should be .*labels"):
        read(Path(f"{file}:train"))
