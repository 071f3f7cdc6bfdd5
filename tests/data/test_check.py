"""The check of annotated images finds duplicates and errors, counts classes, and draws a contact sheet."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

import image_sets
from tracker.cli.app import main
from tracker.data.check import check_image_sets, class_counts, total_counts
from tracker.data.duplicates import find_duplicates, thumbnail
from tracker.evaluation.contact_sheet import GAP, HEIGHT, MARGIN


def track(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", *map(str, arguments)])
    return ended.value.code


def scene(seed, width=320, height=240):
    """Draws an image with large smooth areas, as photographs have."""
    noise = np.random.default_rng(seed).uniform(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def write_scenes(folder, images):
    """Writes a YOLO dataset whose first image has an object."""
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name)
    (folder / f"{Path(next(iter(images))).stem}.txt").write_text("0 .5 .5 .2 .2\n")
    (folder / "data.yaml").write_text("train: .\nnames: [thing]\n")
    return folder


# --- duplicates ---


def test_duplicates_are_found_within_and_across_sets(tmp_path):
    one, two, three = scene(1), scene(2), scene(3)
    train = write_scenes(tmp_path / "train", {"1.png": one, "2.png": two, "3.png": three, "copy.png": two})
    changed = {
        "small.jpg": one.resize((200, 150)),
        "soft.png": two.filter(ImageFilter.GaussianBlur(2)).point(lambda value: value * 0.8 + 20),
        "mirror.png": three.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "other.png": scene(4),
    }
    val = write_scenes(tmp_path / "val", changed)
    report = check_image_sets([train, val])
    duplicates = {(pair.image, pair.original, pair.kind) for pair in report.across_sets}
    assert duplicates == {
        ("small.jpg", "1.png", "similar"),
        ("soft.png", "2.png", "similar"),
        ("mirror.png", "3.png", "mirrored"),
    }
    assert [(pair.image, pair.original) for pair in report.same_files] == [("copy.png", "2.png")]
    assert report.similar == []
    assert not report.clean


def test_similar_frames_of_a_video_in_one_set_are_no_problem(tmp_path):
    frames = {}
    for n in range(4):
        pixels = np.array(scene(1))
        cv2.circle(pixels, (60 + 6 * n, 120), 12, (255, 255, 255), cv2.FILLED)
        frames[f"{n}.png"] = Image.fromarray(pixels)
    report = check_image_sets([write_scenes(tmp_path / "clip", frames)])
    assert len(report.similar) == 3
    assert report.clean


def test_different_images_are_no_duplicates():
    images = [np.asarray(scene(seed)) for seed in range(60)]
    uniform = [np.full((40, 40, 3), value, np.uint8) for value in (0, 120, 255)]
    thumbnails = np.stack([thumbnail(image) for image in (*images, *uniform)])
    digests = [str(n).encode() for n in range(len(thumbnails))]
    assert find_duplicates(thumbnails, digests, [0] * len(thumbnails)) == []


# --- counts ---


def test_counts_of_objects_images_and_sizes(tmp_path):
    path = image_sets.write_coco(tmp_path)
    values = json.loads(path.read_text())
    values["images"][2]["unlabelled"] = ["box"]
    values["annotations"] = [
        {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
        for n, (image, category, box, crowd) in enumerate(
            [
                (1, 1, [0, 0, 31, 32], 0),
                (1, 1, [0, 0, 32, 32], 0),
                (1, 2, [0, 0, 95, 96], 0),
                (2, 1, [0, 0, 96, 96], 0),
                (2, 1, [0, 0, 50, 50], 1),
            ]
        )
    ]
    path.write_text(json.dumps(values))
    (checked,) = check_image_sets([path]).sets
    counts = class_counts(checked.image_set)
    assert (counts["ball"].objects, counts["ball"].images, counts["ball"].unlabeled) == (3, 2, 0)
    assert (counts["box"].objects, counts["box"].images, counts["box"].unlabeled) == (1, 1, 1)
    total = total_counts(checked.image_set)
    assert (total.images, total.empty, total.objects, total.ignored, total.max_objects) == (6, 4, 4, 1, 3)
    assert (total.small, total.medium, total.large) == (1, 2, 1)


def test_objects_that_are_written_twice_are_told_and_counted_once(tmp_path, capsys):
    coco, voc, mot = (tmp_path / name for name in ("coco", "voc", "mot"))
    file = image_sets.write_coco(coco)
    content = json.loads(file.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 999})
    file.write_text(json.dumps(content))
    image_sets.write_voc(voc)
    xml = voc / "Annotations" / "train01.xml"
    text = xml.read_text()
    start, end = text.index("    <object>"), text.index("    </object>") + len("    </object>\n")
    xml.write_text(text[:end] + text[start:end] + text[end:])
    image_sets.write_mot(mot)
    rows = (mot / "gt" / "gt.txt").read_text()
    (mot / "gt" / "gt.txt").write_text(rows + rows.splitlines()[0] + "\n")
    expected = [len(drawing.labels) for drawing in image_sets.draw_images(6)]
    for path, position in ((file, "annotation 999"), (voc, "line 10"), (mot, "line ")):
        (checked,) = check_image_sets([path]).sets
        assert [len(image.boxes) for image in checked.image_set.images] == expected
        (note,) = checked.notes
        assert note.startswith("1 objects are written twice, and count once") and position in note
    assert track(file, "--json", tmp_path / "report.json") == 0
    assert "no problem, but to be known:\n  1 objects are written twice" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "report.json").read_text())["sets"][0]["notes"]) == 1


def test_a_set_that_cannot_be_read_is_one_problem_among_others(tmp_path, capsys):
    file = image_sets.write_coco(tmp_path / "a")
    (tmp_path / "b.json").write_text("{")
    assert track(file, tmp_path / "b.json", tmp_path / "gone") == 1
    out = capsys.readouterr().out
    assert "b.json: 1 bad labels or images" in out and "this is not valid JSON" in out
    assert "gone: 1 bad labels or images" in out


def test_images_in_another_folder(tmp_path, capsys):
    file = image_sets.write_coco(tmp_path / "a")
    (tmp_path / "a" / "train").rename(tmp_path / "pictures")
    assert track(file) == 1
    assert "6 bad labels or images" in capsys.readouterr().out
    assert track(file, "--images", tmp_path / "pictures") == 0
    assert "6 images are not where the annotations say, and were found by name" in capsys.readouterr().out


# --- the command ---


def test_a_clean_set_and_its_contact_sheet(tmp_path, capsys):
    file = image_sets.write_yolo(tmp_path, polygons=True)
    sheet = tmp_path / "sheet.png"
    assert track(file, "--sheet", sheet) == 0
    out = capsys.readouterr().out
    assert "nothing is wrong" in out
    assert "data.yaml:train" in out
    assert "data.yaml:val" in out
    drawn = cv2.cvtColor(cv2.imread(str(sheet)), cv2.COLOR_BGR2RGB).astype(int)
    assert drawn.shape[0] == 2 * (MARGIN + HEIGHT + GAP)  # a row for each class
    for color in image_sets.COLORS:
        assert (np.abs(drawn - color).max(2) < 30).sum() > 500
    assert track(file, "--sheet", sheet) == 2
    assert "exists" in capsys.readouterr().err
    assert track(file, "--sheet", sheet, "--overwrite") == 0


@pytest.mark.smoke
def test_every_problem_is_reported(tmp_path, capsys):
    file = image_sets.write_yolo(tmp_path)
    images, labels = tmp_path / "images/train", tmp_path / "labels/train"
    (images / "02.png").write_bytes((images / "02.png").read_bytes()[:2000])
    (images / "03.png").write_bytes(b"not an image")
    (labels / "04.txt").write_text("0 .5 .5 .1 .1\n7 .5 .5 .1 .1\n0 .5 .5 .1 0\n0 1.5 .5 .1 .1\n")
    shutil.copy(images / "05.png", tmp_path / "images/val/99.png")
    report = tmp_path / "report.json"
    assert track(file, "--json", report) == 1
    out = capsys.readouterr().out
    problems = ["02.png", "03.png", "04.txt, line 2", "04.txt, line 3", "04.txt, line 4"]
    for problem in problems:
        assert problem in out
    assert "99.png (data.yaml:val), same file: 05.png (data.yaml:train)" in out
    assert "wrong: 5 bad labels or images, 1 copies" in out
    content = json.loads(report.read_text())
    assert not content["clean"]
    assert len(content["sets"][0]["problems"]) == 5
    assert content["sets"][1]["problems"] == []
    assert content["across_sets"][0]["kind"] == "same file"


def test_a_class_that_is_absent_in_a_set(tmp_path, capsys):
    train = image_sets.write_coco(tmp_path / "train")
    val = image_sets.write_voc(tmp_path / "val", seed=9)
    for xml in (tmp_path / "val/Annotations").iterdir():
        xml.write_text(xml.read_text().replace("<name>box<", "<name>ball<"))
    assert track(train, val) == 0
    assert "train.txt shows no box" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gone", "empty", "notes.txt"])
def test_bad_input_gets_one_sentence(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert track(tmp_path / name) == 2
    error = capsys.readouterr().err
    assert error.startswith("track: ")
    assert name in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_in_another_folder_does_not_import_torch(tmp_path):
    image_sets.write_yolo(tmp_path / "pets")
    code = "import sys; from tracker.cli.app import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "data", "check", "pets"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("nothing is wrong with these images\nFalse\n")
