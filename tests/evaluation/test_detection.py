"""Scores of detections against pycocotools and against figures worked by hand; the report; the command."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from image_sets import draw_pictures, write_coco, write_yolo
from tracker.cli.app import main
from tracker.config import DetectorConfig
from tracker.data import AnnotatedImage, ImageSet
from tracker.errors import InputError
from tracker.evaluation.detection import average_precision, measured, write_report
from tracker.evaluation.detection.average_precision import FIGURES
from tracker.evaluation.detection.confusion import confusion, found_by_size
from tracker.evaluation.detection.contact_sheets import FALSE, MISSED, RIGHT, WRONG
from tracker.evaluation.detection.curves import Curve, best_f1_threshold, choice, curves, reliability, together
from tracker.evaluation.detection.inference import detect_pictures, pictures_for
from tracker.evaluation.detection.matching import NO_OBJECT, NOT_COUNTED, match
from tracker.models.detection import load_detector
from tracker.structures.types import Detections

BOX, OTHER, THIRD = [0, 0, 50, 50], [100, 100, 160, 160], [200, 0, 300, 40]


def found(boxes, scores, labels):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(rows, np.array(scores, np.float32), np.array(labels, np.int64))


def truth(boxes=(), labels=(), ignore=(), unlabelled=(), path=Path("none.png")):
    rows, excused = (np.array(b, np.float32).reshape(-1, 4) for b in (boxes, ignore))
    return AnnotatedImage(path.name, path, rows, np.array(labels, np.int64), ((),) * len(rows), excused, unlabelled)


def pictures(*truths, names=("a", "b")):
    return ImageSet(tuple(names), truths)


def ap50(pairs, names=("a", "b")):
    return average_precision(pairs, names)["AP50"]


# --- average precision ---


def random_pairs(seed, classes=3, count=15):
    """Objects from 8 to 200 pixels, crowds, and detections near them, elsewhere, and of the wrong class."""
    rng = np.random.default_rng(seed)

    def boxes(number):
        corner = rng.uniform(0, 300, (number, 2))
        return np.concatenate([corner, corner + np.exp(rng.uniform(2.1, 5.3, (number, 2)))], 1).astype(np.float32)

    for _ in range(count):
        true, crowd = boxes(rng.integers(0, 9)), boxes(rng.integers(0, 2))
        near = np.repeat(true, 2, 0) + rng.normal(0, 4, (2 * len(true), 4))
        inside = np.repeat(crowd, 3, 0) + rng.uniform(0, 2, (3 * len(crowd), 4))
        rows = np.concatenate([near, inside, boxes(4)]).astype(np.float32)
        rows[:, 2:] = np.maximum(rows[:, 2:], rows[:, :2] + 1)
        labels = rng.integers(0, classes, len(true))
        said = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, len(rows) - 2 * len(true))])
        yield (found(rows, rng.uniform(0, 1, len(rows)), said), truth(true, labels, crowd))


def by_pycocotools(pairs, classes):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    true, results = [], []

    def row(image, label, box, **more):
        x1, y1, x2, y2 = box.tolist()
        size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        return {"image_id": image, "category_id": int(label) + 1, **size, **more}

    for image, (detections, picture) in enumerate(pairs, 1):
        known = [
            [n for n, label in enumerate(part.labels) if label not in picture.unlabelled]
            for part in (picture, detections)
        ]
        true += [row(image, picture.labels[n], picture.boxes[n], iscrowd=0) for n in known[0]]
        true += [row(image, n, box, iscrowd=1) for box in picture.ignore for n in range(classes)]
        results += [
            row(image, detections.labels[n], detections.boxes[n], score=float(detections.scores[n])) for n in known[1]
        ]
    for number, annotation in enumerate(true, 1):
        annotation["id"] = number
    whole = coco.COCO()
    whole.dataset = {"images": [{"id": n} for n, _ in enumerate(pairs, 1)], "annotations": true}
    whole.dataset["categories"] = [{"id": n, "name": str(n)} for n in range(1, classes + 1)]
    whole.createIndex()
    judge = evaluation.COCOeval(whole, whole.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    half = judge.eval["precision"][0, :, :, 0, -1]
    return judge.stats, half.mean(0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unlabelled", [(), (1,)])
def test_all_figures_equal_those_of_pycocotools(seed, unlabelled, capsys):
    pairs = list(random_pairs(seed))
    first, picture = pairs[0]
    pairs[0] = first, truth(picture.boxes, picture.labels, picture.ignore, unlabelled)
    expected, by_class = by_pycocotools(pairs, 3)
    capsys.readouterr()
    figures = average_precision(pairs, ["x", "y", "z"])
    assert capsys.readouterr().out == ""
    assert (expected > 0.01).all(), "each figure is put to the test"
    np.testing.assert_allclose([figures[name] for name in FIGURES], expected, atol=1e-9)
    np.testing.assert_allclose([figures[f"AP50/{name}"] for name in "xyz"], by_class, atol=1e-9)


def test_unlabelled_classes_and_crowds_are_no_false_positives():
    wrong = found([BOX, OTHER], [0.9, 0.95], [0, 0])
    assert ap50([(wrong, truth([BOX], [0]))]) == pytest.approx(0.5, abs=0.01)
    assert ap50([(wrong, truth([BOX], [0], ignore=[OTHER]))]) == pytest.approx(1)
    two = found([BOX, OTHER], [0.9, 0.95], [0, 1])
    pairs = [(two, truth([BOX], [0], unlabelled=(1,))), (found([OTHER], [0.8], [1]), truth([OTHER], [1]))]
    assert average_precision(pairs, ["a", "b"])["AP50/b"] == pytest.approx(1)


def test_nothing_found_is_nothing_and_nothing_to_find_is_unknown():
    missed = average_precision([(Detections.empty(), truth([BOX], [0]))], ["a", "b"])
    assert missed["AP"] == missed["AR100"] == missed["AP50/a"] == 0
    assert np.isnan(missed["APs"])  # the box is of medium size
    assert "AP50/b" not in missed
    assert all(np.isnan(value) for value in average_precision([(found([BOX], [1], [0]), truth())], ["a"]).values())


# --- one by one ---


def test_each_detection_is_one_object_or_none():
    objects = truth([BOX, OTHER, THIRD], [0, 0, 1], ignore=[[400, 0, 500, 100]], unlabelled=(2,))
    boxes = [BOX, [2, 0, 50, 50], [104, 100, 160, 160], THIRD, [410, 10, 440, 40], [600, 0, 640, 40], [600, 0, 640, 40]]
    detections = found(boxes, [0.6, 0.9, 0.8, 0.7, 0.5, 0.4, 0.3], [0, 0, 0, 0, 1, 1, 2])
    # The better-scored of two on one object has it; the fourth shows an object of another class.
    assert match(detections, objects, 0.5).tolist() == [NO_OBJECT, 0, 1, 2, NOT_COUNTED, NO_OBJECT, NOT_COUNTED]
    # At a higher IoU the second one no longer has it (48 / 50 = 0.96), nor the third (56 / 60 = 0.93).
    assert match(detections, objects, 0.97).tolist() == [
        0,
        NO_OBJECT,
        NO_OBJECT,
        2,
        NOT_COUNTED,
        NO_OBJECT,
        NOT_COUNTED,
    ]


def test_precision_recall_and_f1():
    objects = pictures(truth([BOX, OTHER], [0, 0]), truth([THIRD], [0]), truth(unlabelled=(0,)))
    seen = [found([BOX, THIRD], [0.9, 0.7], [0, 0]), found([THIRD], [0.8], [0]), found([BOX], [0.95], [0])]
    curve = curves(seen, objects, 0.5)["a"]
    assert curve.objects == 3
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7], rtol=1e-6)
    np.testing.assert_allclose(curve.precision, [1, 1, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.f1, [2 / 4, 4 / 5, 4 / 6])
    best = best_f1_threshold(curve)
    assert (best.score, best.precision, best.recall, best.f1) == pytest.approx((0.8, 1, 2 / 3, 0.8))
    assert choice(curve, 0.85).recall == pytest.approx(1 / 3)
    assert choice(curve, 0.99).recall == 0
    assert "b" not in curves(seen, objects, 0.5)


def test_detections_of_one_score_are_taken_together():
    curve = Curve(2, np.array([0.9, 0.5, 0.5, 0.5]), np.array([True, True, False, False]))
    # Between the two of score 0.5 precision would be 1; no least score leads to it.
    assert best_f1_threshold(curve).score == 0.9
    assert best_f1_threshold(curve).f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_curves_have_the_area_that_coco_gives_them(seed):
    pairs = list(random_pairs(seed))
    objects = pictures(*(picture for _, picture in pairs), names="xyz")
    figures = average_precision(pairs, objects.categories)
    for name, curve in curves([detections for detections, _ in pairs], objects, 0.5).items():
        best = np.maximum.accumulate(curve.precision[::-1])[::-1]
        rows = np.searchsorted(curve.recall, np.linspace(0, 1, 101))
        assert np.append(best, 0)[rows].mean() == pytest.approx(figures[f"AP50/{name}"], abs=1e-9)


def test_what_was_taken_for_what():
    objects = pictures(truth([BOX, OTHER, THIRD], [0, 0, 1]), truth([BOX], [1], ignore=[OTHER]))
    seen = [
        found([BOX, THIRD, [600, 0, 640, 40]], [0.9, 0.8, 0.7], [0, 0, 1]),  # right, wrong class, false alarm
        found([OTHER, BOX], [0.9, 0.6], [0, 1]),  # does not count, right
    ]
    # Rows: truly a, b, nothing; columns: found as a, b, missed.
    assert confusion(seen, objects, 0.5).tolist() == [[1, 0, 1], [1, 1, 0], [0, 1, 0]]


def test_recall_by_size():
    small, medium, large = [0, 0, 31, 32], [100, 0, 132, 32], [200, 200, 296, 296]
    seen = [found([small, large, medium], [0.9, 0.9, 0.9], [0, 0, 1])]
    sizes = found_by_size(seen, pictures(truth([small, medium, large], [0, 0, 0])), 0.5)
    assert {name: (part.objects, part.found) for name, part in sizes.items()} == {
        "small": (1, 1),
        "medium": (1, 0),  # found as something else
        "large": (1, 1),
    }


def test_reliability():
    curve = Curve(9, np.array([1.0, 0.92, 0.45, 0.41]), np.array([True, True, True, False]))
    reliable = reliability(curve)
    assert reliable.counts.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(reliable.precision[[4, 9]], [0.5, 1])
    np.testing.assert_allclose(reliable.scores[[4, 9]], [0.43, 0.96])
    assert reliable.error == pytest.approx((2 * 0.07 + 2 * 0.04) / 4)


def test_all_classes_together():
    parts = [Curve(1, np.array([0.9, 0.2]), np.array([True, False])), Curve(2, np.array([0.5]), np.array([True]))]
    whole = together(parts)
    assert whole.objects == 3
    assert whole.scores.tolist() == [0.9, 0.5, 0.2]
    assert whole.right.tolist() == [True, True, False]


# --- the report ---


@pytest.fixture
def drawn(tmp_path):
    """Two drawn pictures, 160 x 120, of which one is seen well and the other badly."""
    files = []
    for number, picture in enumerate(draw_pictures(2)):
        files.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(files[-1]), picture.image)
    well = found([[10, 20, 50, 60]], [0.9], [0])
    badly = found([[10, 70, 40, 110], [100, 10, 150, 50], [60, 60, 90, 100]], [0.9, 0.8, 0.3], [1, 0, 1])
    objects = [
        truth([[10, 20, 50, 60]], [0], path=files[0]),
        truth([[10, 70, 40, 110], [60, 10, 90, 50]], [0, 1], path=files[1]),
    ]
    return [well, badly], pictures(*objects, names=("ball", "a | b"))


def shows(image, colour):
    """Whether a line of a colour is there, as far as JPEG keeps it."""
    return int((np.abs(image[:, :, ::-1].astype(int) - colour).max(2) < 40).sum()) > 100


def test_the_report_is_whole(drawn, tmp_path):
    folder = tmp_path / "runs" / "report"
    scores = write_report(folder, *drawn, seconds=[0.1, 0.3])
    content = json.loads((folder / "report.json").read_text())
    assert content["figures"]["AP50"] == pytest.approx(scores.figures["AP50"]) == pytest.approx((51 / 101 + 0) / 2)
    assert content["objects"] == {"ball": 2, "a | b": 1}
    assert content["figures"]["APl"] is None
    assert content["milliseconds"] == pytest.approx({"median": 200, "p95": 290})
    # Found: a ball; a ball taken for the other; a false ball; missed: the other.
    assert content["confusion"]["counts"] == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert content["best"]["ball"]["score"] == pytest.approx(0.9)
    text = (folder / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| a \\| b |")]
    assert len(rows) == 1
    assert {file.name for file in folder.iterdir()} == {
        *("report.json", "report.md", "curves.png", "scores.png", "confusion.png", "best.jpg", "worst.jpg")
    }
    for file in folder.glob("*.png"):
        assert min(cv2.imread(str(file)).shape[:2]) > 400, file.name


def test_best_and_worst_are_told_apart_and_marked(drawn, tmp_path):
    write_report(tmp_path / "report", *drawn, seconds=[0.1, 0.1])
    best, worst = (cv2.imread(str(tmp_path / "report" / f"{name}.jpg"))[60:] for name in ("best", "worst"))
    assert shows(best, RIGHT)
    assert not any(shows(best, colour) for colour in (FALSE, MISSED, WRONG))
    assert all(shows(worst, colour) for colour in (FALSE, MISSED, WRONG))
    assert not shows(worst, RIGHT)


@pytest.mark.parametrize("objects", [truth([BOX], [0]), truth()])
def test_a_detector_that_finds_nothing_gets_a_report_too(objects, tmp_path):
    file = tmp_path / "0.png"
    cv2.imwrite(str(file), draw_pictures(1)[0].image)
    blank = truth(objects.boxes, objects.labels, path=file)
    scores = write_report(tmp_path / "report", [Detections.empty()], pictures(blank), seconds=[0.1])
    assert scores.chosen.recall == 0
    assert json.loads((tmp_path / "report" / "report.json").read_text())["figures"]["AP"] in (0, None)


def test_a_report_that_cannot_be_written(drawn, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        write_report(tmp_path / "file", *drawn, seconds=[0.1, 0.1])


@pytest.mark.slow
def test_many_classes_fit_a_report(drawn, tmp_path):
    _, objects = drawn
    names = tuple(f"class {n}" for n in range(90))
    rows = np.random.default_rng(0).uniform(0, 50, (90, 4)).astype(np.float32)
    rows[:, 2:] += 60
    all_of_them = truth(rows, range(90), path=objects.pictures[0].path)
    write_report(
        tmp_path / "report", [found(rows, np.linspace(0, 1, 90), range(90))], pictures(all_of_them, names=names), [1]
    )
    assert max(cv2.imread(str(tmp_path / "report" / "confusion.png")).shape) < 4000


# --- the command ---

AS_BUILTIN = ["--rename.ball", "person", "--rename.box", "car"]


@pytest.fixture(scope="module")
def builtin():
    with load_detector(DetectorConfig(score=0.02)) as detector:
        yield detector


def test_classes_meet_by_name(builtin, tmp_path, caplog):
    caplog.set_level("WARNING")
    path = write_coco(tmp_path)
    with pytest.raises(InputError, match=r"no class of .*train.json \(ball, box\) is one that the detector finds"):
        pictures_for(builtin, path, {})
    caplog.clear()
    renamed = pictures_for(builtin, path, {"ball": "dog"})
    assert "does not know box" in caplog.text
    assert renamed.categories == builtin.info.categories
    dog = builtin.info.categories.index("dog")
    assert {label for picture in renamed.pictures for label in picture.labels} == {dog}
    assert all(set(picture.unlabelled) == set(range(13)) - {dog} for picture in renamed.pictures)
    with pytest.raises(InputError, match="the detector does not know 'god'"):
        pictures_for(builtin, path, {"ball": "god"})
    with pytest.raises(InputError, match="no class 'bell'"):
        pictures_for(builtin, path, {"bell": "dog"})


def test_batches_do_not_change_what_is_found(builtin, tmp_path):
    objects = pictures_for(builtin, write_coco(tmp_path, count=3), {"ball": "person"})
    told = []
    one, seconds = detect_pictures(builtin, objects, 1, told.append)
    assert told == [1, 2, 3]
    assert len(seconds) == 3
    assert min(seconds) > 0
    for alone, together_ in zip(one, detect_pictures(builtin, objects, 2, told.append)[0], strict=True):
        np.testing.assert_array_equal(alone.boxes, together_.boxes)


@pytest.mark.slow
def test_the_command_as_a_person_types_it(tmp_path):
    data = write_yolo(tmp_path / "data", train=2, val=3)
    command = [sys.executable, "-m", "tracker", "eval", "detector", f"{data}:val", *AS_BUILTIN]
    command += ["--json", "figures.json", "--report", "report"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "AP50" in done.stdout
    assert "wrote report" in done.stdout
    assert "the pictures do not know bicycle" in done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["pictures"] == 3
    assert set(figures["objects"]) <= {"person", "car"}
    assert figures == json.loads((tmp_path / "report" / "report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["train.json"], "--rename.THEIRS OURS"),
        (["train.json", "--classes", "unicorn"], "unknown class 'unicorn'"),
        (["train.json", "--json", "figures.txt"], "must end with .json"),
        (["train.json", "--json", "train.json"], "give --overwrite"),
        (["train.json", "--report", "."], "is not empty: give --overwrite"),
        (["train.json", "--report", "train.json"], "is a file"),
        (["train.json", "--weights", "train.json"], "train.json"),
        (["train.json", "--at", "2"], "less than or equal to 1"),
    ],
)
def test_mistakes_get_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path, count=1)
    with pytest.raises(SystemExit) as left:
        main(["eval", "detector", *arguments])
    said = capsys.readouterr()
    assert left.value.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_what_is_counted_one_by_one_has_the_chosen_score(drawn):
    seen, objects = drawn
    assert measured(seen, objects, [0, 0], 0.5).confusion.sum() == 4
    assert measured(seen, objects, [0, 0], 0.2).confusion.sum() == 5
