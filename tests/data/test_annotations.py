"""Annotated images are read alike from every format, and their classes are mapped and aligned."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import image_sets
from tracker.data import align_categories, read_image, read_image_set
from tracker.errors import InputError


def read(path, **classes):
    return read_image_set(path, classes)


# --- reading ---


@pytest.mark.parametrize("name", image_sets.WRITERS)
@pytest.mark.smoke
def test_every_format_gives_the_same(tmp_path, name):
    image_set = read(image_sets.WRITERS[name](tmp_path))
    assert image_set.categories == (("person", "car") if name == "mot" else ("ball", "box"))
    drawings = image_sets.draw_images(6)
    assert len(image_set.images) == len(drawings)
    for image, drawing in zip(image_set.images, drawings, strict=True):
        np.testing.assert_allclose(image.boxes, drawing.boxes, atol=0.02)
        assert image.labels.tolist() == drawing.labels
        assert image.ignore.shape == (0, 4)
        assert (read_image(image.path) == drawing.image).all()
        has_polygons = name in ("coco", "yolo polygons")
        assert [len(segmentation) for segmentation in image.segmentations] == [int(has_polygons)] * len(drawing.labels)
        for segmentation, polygon in zip(image.segmentations, drawing.polygons, strict=True):
            assert not has_polygons or np.allclose(segmentation[0], polygon, atol=0.02)


def test_other_folders_of_the_same_formats(tmp_path):
    image_sets.write_voc(tmp_path / "voc", 2)
    image_sets.write_voc(tmp_path / "voc", 3, split="val")
    assert len(read(tmp_path / "voc").images) == 5
    assert len(read(tmp_path / "voc/ImageSets/Main/val.txt").images) == 3
    for file in (tmp_path / "voc/Annotations").iterdir():  # as LabelImg writes: beside the images
        file.rename(tmp_path / "voc/JPEGImages" / file.name)
    assert len(read(tmp_path / "voc/JPEGImages").images) == 5
    for name in ("a", "b"):
        image_sets.write_mot(tmp_path / "mot" / name, 2)
    assert [image.name for image in read(tmp_path / "mot").images][1:3] == ["a/000002.png", "b/000001.png"]
    coco = image_sets.write_coco(tmp_path / "coco", 2, name="val2017")
    (tmp_path / "coco/annotations").mkdir()
    values = json.loads(coco.read_text())
    for image in values["images"]:
        image["file_name"] = Path(image["file_name"]).name
    instances = tmp_path / "coco/annotations/instances_val2017.json"
    instances.write_text(json.dumps(values))
    assert len(read(instances).images) == 2


def test_a_yolo_dataset_as_different_tools_write_it(tmp_path):
    file = image_sets.write_yolo(tmp_path)
    with pytest.raises(InputError, match=re.escape("train, val: choose one, as in")):
        read(tmp_path)
    with pytest.raises(InputError, match="has no test: it lists train, val"):
        read(Path(f"{file}:test"))
    listed = [f"images/val/0{n}.png" for n in (1, 3)]
    (tmp_path / "some.txt").write_text("\n".join(listed) + "\n")
    file.write_text("val: ../some.txt\nnames: [ball, box]\n")
    assert [image.name for image in read(tmp_path).images] == ["01.png", "03.png"]
    file.unlink()
    with pytest.raises(InputError, match=r"no data\.yaml or classes\.txt"):
        read(tmp_path)
    (tmp_path / "classes.txt").write_text("ball\nbox\n")
    assert len(read(tmp_path).images) == 10


def test_images_without_objects_are_read(tmp_path):
    file = image_sets.write_yolo(tmp_path / "yolo")
    (tmp_path / "yolo/labels/train/02.txt").unlink()
    assert [len(image.boxes) for image in read(Path(f"{file}:train")).images][1] == 0
    sequence = image_sets.write_mot(tmp_path / "mot")
    rows = (sequence / "gt/gt.txt").read_text().splitlines()
    (sequence / "gt/gt.txt").write_text("\n".join(row for row in rows if not row.startswith("3,")) + "\n")
    assert [len(image.boxes) for image in read(sequence).images][2] == 0


def test_crowds_and_difficult_objects_are_ignored_and_truncated_ones_are_not(tmp_path):
    coco = image_sets.write_coco(tmp_path / "coco")
    image_sets.replace_text(coco, '"iscrowd": 0', '"iscrowd": 1')
    drawing = image_sets.draw_images(1)[0]
    first = read(coco).images[0]
    assert first.ignore.tolist() == drawing.boxes[:1].tolist()
    assert first.boxes.tolist() == drawing.boxes[1:].tolist()
    voc = image_sets.write_voc(tmp_path / "voc")
    xml = tmp_path / "voc/Annotations/train01.xml"
    image_sets.replace_text(xml, "<truncated>0", "<truncated>1")
    assert read(voc).images[0].boxes.tolist() == drawing.boxes.tolist()
    image_sets.replace_text(xml, "<difficult>0", "<difficult>1")
    assert read(voc).images[0].ignore.tolist() == drawing.boxes[:1].tolist()


def test_classes_of_coco_are_in_the_order_of_their_ids_and_some_are_not_annotated(tmp_path):
    coco = image_sets.write_coco(tmp_path)
    values = json.loads(coco.read_text())
    values["categories"] = [{"id": 7, "name": "box"}, {"id": 3, "name": "ball"}]
    for row in values["annotations"]:
        row["category_id"] = {1: 3, 2: 7}[row["category_id"]]
    values["images"][1]["unlabelled"] = ["box"]
    coco.write_text(json.dumps(values))
    image_set = read(coco)
    assert image_set.categories == ("ball", "box")
    assert image_set.images[0].labels.tolist() == image_sets.draw_images(1)[0].labels
    assert [image.unlabeled for image in image_set.images[:3]] == [(), (1,), ()]


def test_rows_of_mot_ground_truth_that_do_not_count(tmp_path):
    folder = image_sets.write_mot(tmp_path / "a", 1)
    rows = {
        "1,1,11,21,30,40,1,1,1.0": "object",
        "1,2,51,21,30,40,1,1,0.1": "hardly visible",
        "1,3,1,1,20,20,0,1,1.0": "a person with flag 0",
        "1,4,91,21,10,10,0,8,1.0": "a distractor",
        "1,5,11,71,30,20,0,3,1.0": "a car with flag 0",
        "1,6,100,100,30,20,0,11,1.0": "an occluder",
        "1,7,151,101,30,40,1,1,0.9": "over the edge",
        "1,8,191,101,30,40,1,1,0.0": "outside",
    }
    (folder / "gt/gt.txt").write_text("\n".join(rows) + "\n")
    image_set = read(folder)
    assert image_set.categories == ("person",)
    assert image_set.images[0].boxes.tolist() == [[10, 20, 40, 60], [150, 100, 160, 120]]
    assert image_set.images[0].ignore.tolist() == [[50, 20, 80, 60], [0, 0, 20, 20], [90, 20, 100, 30]]
    (folder / "gt/gt.txt").write_text("1,1,11,21,30,40,1,-1,-1,-1\n1,2,151,21,100,40,1,-1,-1,-1\n")  # MOT15
    (image,) = read(folder).images
    assert image.boxes.tolist() == [[10, 20, 40, 60]]
    assert image.ignore.tolist() == [[150, 20, 160, 60]]  # a tenth of the box is inside


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.smoke
def test_run_lengths_become_polygons(tmp_path, compressed):
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
    (segmentation,) = read(coco).images[0].segmentations[0]
    assert segmentation.min(0).tolist() == [30.5, 20.5]
    assert segmentation.max(0).tolist() == [89.5, 59.5]
    x, y = segmentation.T
    inside = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert inside == pytest.approx(
        mask.sum(), rel=0.1
    )  # a contour through the centers of pixels encloses a little less


def test_a_rotated_image_is_read_upright(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees, clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")
    assert upright.shape == (60, 40, 3)
    assert upright[:20].min() == 255
    (tmp_path / "a.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "data.yaml").write_text("train: .\nnames: [thing]\n")
    assert read(tmp_path).images[0].boxes.tolist() == [[0, 0, 40, 60]]


def test_boxes_that_extend_beyond_the_image_by_rounding_are_clipped(tmp_path):
    voc = image_sets.write_voc(tmp_path, 1)
    xml = tmp_path / "Annotations/train01.xml"
    xml.write_text(
        re.sub("<xmin>.*?</ymax>", "<xmin>0</xmin><ymin>1</ymin><xmax>161</xmax><ymax>120</ymax>", xml.read_text())
    )
    assert read(voc).images[0].boxes[0].tolist() == [0, 0, 160, 120]


# --- classes ---


def test_classes_are_renamed_merged_left_out_and_ignored(tmp_path):
    coco = image_sets.write_coco(tmp_path)
    drawings = image_sets.draw_images(6)
    balls = [drawing.boxes[np.array(drawing.labels) == 0].tolist() for drawing in drawings]
    boxes = [drawing.boxes[np.array(drawing.labels) == 1].tolist() for drawing in drawings]
    merged = read(coco, box="thing", ball="thing")
    assert merged.categories == ("thing",)
    assert sum(len(image.labels) for image in merged.images) == sum(len(d.labels) for d in drawings)
    only_boxes = read(coco, box="case")
    assert only_boxes.categories == ("case",)
    assert [image.boxes.tolist() for image in only_boxes.images] == boxes
    assert all(len(image.ignore) == 0 for image in only_boxes.images)
    ignored = read(coco, box="case", ball="")
    assert ignored.categories == ("case",)
    assert [image.ignore.tolist() for image in ignored.images] == balls
    reordered = read(coco, box="case", ball="ball")
    assert reordered.categories == ("case", "ball")
    with pytest.raises(InputError, match=r"no class 'bal' .*did you mean 'ball'"):
        read(coco, bal="ball")


def test_one_mapping_serves_sets_that_name_their_classes_differently(tmp_path, caplog):
    caplog.set_level("WARNING")
    mapping = {"ball": "round", "person": "round", "box": "angular", "cat": "pet"}
    for path in (image_sets.write_coco(tmp_path / "coco"), image_sets.write_mot(tmp_path / "mot")):
        image_set = read(path, **mapping)
        assert image_set.categories == ("round", "angular", "pet")
    drawing = image_sets.draw_images(1)[0]
    first = image_set.images[0]
    assert first.labels.tolist() == [0] * drawing.labels.count(0)
    assert first.unlabeled == (1, 2)  # cars are not mapped, so that none of its classes becomes "angular"
    assert "no class 'cat'" in caplog.text


def test_sets_of_different_formats_get_the_same_categories(tmp_path, caplog):
    caplog.set_level("WARNING")
    train = read(image_sets.write_coco(tmp_path / "a"), box="box", ball="ball")
    val = read(image_sets.write_voc(tmp_path / "b"))
    assert (train.categories, val.categories) == (("box", "ball"), ("ball", "box"))
    aligned = align_categories(val, train.categories, "val")
    assert aligned.categories == train.categories
    for image, drawing in zip(aligned.images, image_sets.draw_images(6), strict=True):
        assert image.labels.tolist() == [1 - label for label in drawing.labels]
    with pytest.raises(InputError, match="val does not have the same categories: box is not among ball; map it"):
        align_categories(val, ("ball",), "val")
    fewer = align_categories(val, ("cat", "box", "ball"), "val")
    assert all(image.unlabeled == (0,) for image in fewer.images)
    assert "val lacks cat" in caplog.text
