"""Tests the evaluation of detectors: pycocotools as reference, values computed by hand, the report, the command."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from image_sets import draw_images, write_coco, write_yolo
from tracker.cli.app import main
from tracker.config import DetectorConfig
from tracker.data import AnnotatedImage, ImageSet
from tracker.errors import InputError
from tracker.evaluation.detection import average_precision, evaluate_detections, write_report
from tracker.evaluation.detection.average_precision import COCO_METRICS
from tracker.evaluation.detection.confusion import confusion_matrix, recall_by_size
from tracker.evaluation.detection.contact_sheets import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, WRONG_CLASS
from tracker.evaluation.detection.curves import (
    PrecisionRecallCurve,
    best_f1_threshold,
    calibration_curve,
    merge_classes,
    metrics_at_threshold,
    precision_recall_curves,
)
from tracker.evaluation.detection.inference import detect_images, read_eval_images
from tracker.evaluation.detection.matching import IGNORED, UNMATCHED, match_detections
from tracker.models.detection import load_detector
from tracker.structures.types import Detections

BOX, OTHER, THIRD = [0, 0, 50, 50], [100, 100, 160, 160], [200, 0, 300, 40]


def make_detections(boxes, scores, labels):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(rows, np.array(scores, np.float32), np.array(labels, np.int64))


def make_gt(boxes=(), labels=(), ignore=(), unlabeled=(), path=Path("none.png")):
    gt_boxes, ignore_boxes = (np.array(values, np.float32).reshape(-1, 4) for values in (boxes, ignore))
    return AnnotatedImage(
        path.name, path, gt_boxes, np.array(labels, np.int64), ((),) * len(gt_boxes), ignore_boxes, unlabeled
    )


def make_dataset(*ground_truths, names=("a", "b")):
    return ImageSet(tuple(names), ground_truths)


def ap50(pairs, names=("a", "b")):
    return average_precision(pairs, names)["AP50"]


# --- average precision ---


def random_pairs(seed, classes=3, count=15):
    """Yields objects from 8 to 200 pixels, crowds, and detections near them, elsewhere, and of the wrong class."""
    rng = np.random.default_rng(seed)

    def boxes(number):
        corner = rng.uniform(0, 300, (number, 2))
        return np.concatenate([corner, corner + np.exp(rng.uniform(2.1, 5.3, (number, 2)))], 1).astype(np.float32)

    for _ in range(count):
        gt, crowd = boxes(rng.integers(0, 9)), boxes(rng.integers(0, 2))
        close = np.repeat(gt, 2, 0) + rng.normal(0, 4, (2 * len(gt), 4))
        in_crowd = np.repeat(crowd, 3, 0) + rng.uniform(0, 2, (3 * len(crowd), 4))
        detected = np.concatenate([close, in_crowd, boxes(4)]).astype(np.float32)
        detected[:, 2:] = np.maximum(detected[:, 2:], detected[:, :2] + 1)
        labels = rng.integers(0, classes, len(gt))
        predicted = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, len(detected) - 2 * len(gt))])
        yield (make_detections(detected, rng.uniform(0, 1, len(detected)), predicted), make_gt(gt, labels, crowd))


def pycocotools_metrics(pairs, classes):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    annotations, results = [], []

    def to_coco(image_id, label, box, **fields):
        x1, y1, x2, y2 = box.tolist()
        shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        return {"image_id": image_id, "category_id": int(label) + 1, **shape, **fields}

    for image_id, (detections, gt) in enumerate(pairs, 1):
        objects, detected = (
            [n for n, label in enumerate(part.labels) if label not in gt.unlabeled] for part in (gt, detections)
        )
        annotations += [to_coco(image_id, gt.labels[n], gt.boxes[n], iscrowd=0) for n in objects]
        annotations += [to_coco(image_id, n, box, iscrowd=1) for box in gt.ignore for n in range(classes)]
        results += [
            to_coco(image_id, detections.labels[n], detections.boxes[n], score=float(detections.scores[n]))
            for n in detected
        ]
    for annotation_id, annotation in enumerate(annotations, 1):
        annotation["id"] = annotation_id
    coco_gt = coco.COCO()
    coco_gt.dataset = {"images": [{"id": n} for n, _ in enumerate(pairs, 1)], "annotations": annotations}
    coco_gt.dataset["categories"] = [{"id": n, "name": str(n)} for n in range(1, classes + 1)]
    coco_gt.createIndex()
    coco_eval = evaluation.COCOeval(coco_gt, coco_gt.loadRes(results), "bbox")
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    precision_50 = coco_eval.eval["precision"][0, :, :, 0, -1]
    return coco_eval.stats, precision_50.mean(0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unlabeled", [(), (1,)])
def test_all_metrics_equal_those_of_pycocotools(seed, unlabeled, capsys):
    pairs = list(random_pairs(seed))
    detections, gt = pairs[0]
    pairs[0] = detections, make_gt(gt.boxes, gt.labels, gt.ignore, unlabeled)
    expected, by_class = pycocotools_metrics(pairs, 3)
    capsys.readouterr()
    metrics = average_precision(pairs, ["x", "y", "z"])
    assert capsys.readouterr().out == ""
    assert (expected > 0.01).all(), "each metric is tested"
    np.testing.assert_allclose([metrics[name] for name in COCO_METRICS], expected, atol=1e-9)
    np.testing.assert_allclose([metrics[f"AP50/{name}"] for name in "xyz"], by_class, atol=1e-9)


def test_unlabeled_classes_and_crowds_are_not_false_positives():
    one_class = make_detections([BOX, OTHER], [0.9, 0.95], [0, 0])
    assert ap50([(one_class, make_gt([BOX], [0]))]) == pytest.approx(0.5, abs=0.01)
    assert ap50([(one_class, make_gt([BOX], [0], ignore=[OTHER]))]) == pytest.approx(1)
    two_classes = make_detections([BOX, OTHER], [0.9, 0.95], [0, 1])
    pairs = [
        (two_classes, make_gt([BOX], [0], unlabeled=(1,))),
        (make_detections([OTHER], [0.8], [1]), make_gt([OTHER], [1])),
    ]
    assert average_precision(pairs, ["a", "b"])["AP50/b"] == pytest.approx(1)


def test_metrics_without_detections_are_zero_and_without_objects_nan():
    metrics = average_precision([(Detections.empty(), make_gt([BOX], [0]))], ["a", "b"])
    assert metrics["AP"] == metrics["AR100"] == metrics["AP50/a"] == 0
    assert np.isnan(metrics["APs"])  # the box is of medium size
    assert "AP50/b" not in metrics
    assert all(
        np.isnan(value) for value in average_precision([(make_detections([BOX], [1], [0]), make_gt())], ["a"]).values()
    )


# --- matching ---


def test_each_detection_matches_at_most_one_object():
    gt = make_gt([BOX, OTHER, THIRD], [0, 0, 1], ignore=[[400, 0, 500, 100]], unlabeled=(2,))
    boxes = [BOX, [2, 0, 50, 50], [104, 100, 160, 160], THIRD, [410, 10, 440, 40], [600, 0, 640, 40], [600, 0, 640, 40]]
    detections = make_detections(boxes, [0.6, 0.9, 0.8, 0.7, 0.5, 0.4, 0.3], [0, 0, 0, 0, 1, 1, 2])
    # Of two detections of one object the better-scored one matches; the fourth matches an object of another class.
    assert match_detections(detections, gt, 0.5).tolist() == [UNMATCHED, 0, 1, 2, IGNORED, UNMATCHED, IGNORED]
    # At a higher threshold neither the second matches (IoU 48 / 50 = 0.96) nor the third (56 / 60 = 0.93).
    assert match_detections(detections, gt, 0.97).tolist() == [
        0,
        UNMATCHED,
        UNMATCHED,
        2,
        IGNORED,
        UNMATCHED,
        IGNORED,
    ]


def test_precision_recall_and_f1():
    dataset = make_dataset(make_gt([BOX, OTHER], [0, 0]), make_gt([THIRD], [0]), make_gt(unlabeled=(0,)))
    predictions = [
        make_detections([BOX, THIRD], [0.9, 0.7], [0, 0]),
        make_detections([THIRD], [0.8], [0]),
        make_detections([BOX], [0.95], [0]),
    ]
    curve = precision_recall_curves(predictions, dataset, 0.5)["a"]
    assert curve.num_objects == 3
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7], rtol=1e-6)
    np.testing.assert_allclose(curve.precision, [1, 1, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.f1, [2 / 4, 4 / 5, 4 / 6])
    best = best_f1_threshold(curve)
    assert (best.threshold, best.precision, best.recall, best.f1) == pytest.approx((0.8, 1, 2 / 3, 0.8))
    assert metrics_at_threshold(curve, 0.85).recall == pytest.approx(1 / 3)
    assert metrics_at_threshold(curve, 0.99).recall == 0
    assert "b" not in precision_recall_curves(predictions, dataset, 0.5)


def test_detections_with_equal_scores_share_a_threshold():
    curve = PrecisionRecallCurve(2, np.array([0.9, 0.5, 0.5, 0.5]), np.array([True, True, False, False]))
    # Between the detections of score 0.5 precision would be 1, but no threshold separates them.
    assert best_f1_threshold(curve).threshold == 0.9
    assert best_f1_threshold(curve).f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_area_under_the_curve_is_the_ap_of_coco(seed):
    pairs = list(random_pairs(seed))
    dataset = make_dataset(*(gt for _, gt in pairs), names="xyz")
    metrics = average_precision(pairs, dataset.categories)
    for name, curve in precision_recall_curves([detections for detections, _ in pairs], dataset, 0.5).items():
        envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
        indices = np.searchsorted(curve.recall, np.linspace(0, 1, 101))
        assert np.append(envelope, 0)[indices].mean() == pytest.approx(metrics[f"AP50/{name}"], abs=1e-9)


def test_confusion_matrix():
    dataset = make_dataset(make_gt([BOX, OTHER, THIRD], [0, 0, 1]), make_gt([BOX], [1], ignore=[OTHER]))
    predictions = [
        make_detections(
            [BOX, THIRD, [600, 0, 640, 40]], [0.9, 0.8, 0.7], [0, 0, 1]
        ),  # true positive, wrong class, false positive
        make_detections([OTHER, BOX], [0.9, 0.6], [0, 1]),  # ignored, true positive
    ]
    # Rows: a, b, background; columns: predicted as a, b, background.
    assert confusion_matrix(predictions, dataset, 0.5).tolist() == [[1, 0, 1], [1, 1, 0], [0, 1, 0]]


def test_recall_by_size():
    small, medium, large = [0, 0, 31, 32], [100, 0, 132, 32], [200, 200, 296, 296]
    predictions = [make_detections([small, large, medium], [0.9, 0.9, 0.9], [0, 0, 1])]
    sizes = recall_by_size(predictions, make_dataset(make_gt([small, medium, large], [0, 0, 0])), 0.5)
    assert {name: (recall.objects, recall.true_positives) for name, recall in sizes.items()} == {
        "small": (1, 1),
        "medium": (1, 0),  # detected as another class
        "large": (1, 1),
    }


def test_calibration_curve():
    curve = PrecisionRecallCurve(9, np.array([1.0, 0.92, 0.45, 0.41]), np.array([True, True, True, False]))
    calibration = calibration_curve(curve)
    assert calibration.counts.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(calibration.precision[[4, 9]], [0.5, 1])
    np.testing.assert_allclose(calibration.scores[[4, 9]], [0.43, 0.96])
    assert calibration.error == pytest.approx((2 * 0.07 + 2 * 0.04) / 4)


def test_merge_classes():
    curves = [
        PrecisionRecallCurve(1, np.array([0.9, 0.2]), np.array([True, False])),
        PrecisionRecallCurve(2, np.array([0.5]), np.array([True])),
    ]
    merged = merge_classes(curves)
    assert merged.num_objects == 3
    assert merged.scores.tolist() == [0.9, 0.5, 0.2]
    assert merged.is_true_positive.tolist() == [True, True, False]


# --- the report ---


@pytest.fixture
def drawn_dataset(tmp_path):
    """Two images, 160 x 120: all detections are correct in one, and none in the other."""
    files = []
    for index, drawing in enumerate(draw_images(2)):
        files.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(files[-1]), drawing.image)
    correct = make_detections([[10, 20, 50, 60]], [0.9], [0])
    wrong = make_detections([[10, 70, 40, 110], [100, 10, 150, 50], [60, 60, 90, 100]], [0.9, 0.8, 0.3], [1, 0, 1])
    ground_truths = [
        make_gt([[10, 20, 50, 60]], [0], path=files[0]),
        make_gt([[10, 70, 40, 110], [60, 10, 90, 50]], [0, 1], path=files[1]),
    ]
    return [correct, wrong], make_dataset(*ground_truths, names=("ball", "a | b"))


def has_color(image, color):
    """Returns True if a line has a color, within the loss of JPEG."""
    return int((np.abs(image[:, :, ::-1].astype(int) - color).max(2) < 40).sum()) > 100


def test_report_is_complete(drawn_dataset, tmp_path):
    folder = tmp_path / "runs" / "report"
    metrics = write_report(folder, *drawn_dataset, seconds=[0.1, 0.3])
    content = json.loads((folder / "report.json").read_text())
    assert (
        content["coco_metrics"]["AP50"]
        == pytest.approx(metrics.coco_metrics["AP50"])
        == pytest.approx((51 / 101 + 0) / 2)
    )
    assert content["objects"] == {"ball": 2, "a | b": 1}
    assert content["coco_metrics"]["APl"] is None
    assert content["milliseconds"] == pytest.approx({"median": 200, "p95": 290})
    # A ball as a ball, a ball as the other class, a false ball; the other object is not detected.
    assert content["confusion_matrix"]["counts"] == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert content["best_f1"]["ball"]["threshold"] == pytest.approx(0.9)
    text = (folder / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| a \\| b |")]
    assert len(rows) == 1
    assert {file.name for file in folder.iterdir()} == {
        *("report.json", "report.md", "curves.png", "scores.png", "confusion.png", "best.jpg", "worst.jpg")
    }
    for file in folder.glob("*.png"):
        assert min(cv2.imread(str(file)).shape[:2]) > 400, file.name


def test_best_and_worst_images_are_marked(drawn_dataset, tmp_path):
    write_report(tmp_path / "report", *drawn_dataset, seconds=[0.1, 0.1])
    best, worst = (cv2.imread(str(tmp_path / "report" / f"{name}.jpg"))[60:] for name in ("best", "worst"))
    assert has_color(best, TRUE_POSITIVE)
    assert not any(has_color(best, color) for color in (FALSE_POSITIVE, FALSE_NEGATIVE, WRONG_CLASS))
    assert all(has_color(worst, color) for color in (FALSE_POSITIVE, FALSE_NEGATIVE, WRONG_CLASS))
    assert not has_color(worst, TRUE_POSITIVE)


@pytest.mark.parametrize("gt", [make_gt([BOX], [0]), make_gt()])
def test_report_of_a_detector_without_detections(gt, tmp_path):
    file = tmp_path / "0.png"
    cv2.imwrite(str(file), draw_images(1)[0].image)
    image_gt = make_gt(gt.boxes, gt.labels, path=file)
    metrics = write_report(tmp_path / "report", [Detections.empty()], make_dataset(image_gt), seconds=[0.1])
    assert metrics.at_threshold.recall == 0
    assert json.loads((tmp_path / "report" / "report.json").read_text())["coco_metrics"]["AP"] in (0, None)


def test_report_that_cannot_be_written(drawn_dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        write_report(tmp_path / "file", *drawn_dataset, seconds=[0.1, 0.1])


@pytest.mark.slow
def test_report_of_many_classes(drawn_dataset, tmp_path):
    _, dataset = drawn_dataset
    names = tuple(f"class {n}" for n in range(90))
    boxes = np.random.default_rng(0).uniform(0, 50, (90, 4)).astype(np.float32)
    boxes[:, 2:] += 60
    gt = make_gt(boxes, range(90), path=dataset.images[0].path)
    write_report(
        tmp_path / "report",
        [make_detections(boxes, np.linspace(0, 1, 90), range(90))],
        make_dataset(gt, names=names),
        [1],
    )
    assert max(cv2.imread(str(tmp_path / "report" / "confusion.png")).shape) < 4000


# --- the command ---

RENAMED_CLASSES = ["--rename-classes.ball", "person", "--rename-classes.box", "car"]


@pytest.fixture(scope="module")
def builtin():
    with load_detector(DetectorConfig(score=0.02)) as detector:
        yield detector


def test_classes_are_matched_by_name(builtin, tmp_path, caplog):
    caplog.set_level("WARNING")
    path = write_coco(tmp_path)
    with pytest.raises(InputError, match=r"no class of .*train.json \(ball, box\) is one that the detector detects"):
        read_eval_images(builtin, path, {})
    caplog.clear()
    renamed = read_eval_images(builtin, path, {"ball": "dog"})
    assert "does not know box" in caplog.text
    assert renamed.categories == builtin.info.categories
    dog = builtin.info.categories.index("dog")
    assert {label for image in renamed.images for label in image.labels} == {dog}
    assert all(set(image.unlabeled) == set(range(len(builtin.info.categories))) - {dog} for image in renamed.images)
    with pytest.raises(InputError, match="the detector does not know 'god'"):
        read_eval_images(builtin, path, {"ball": "god"})
    with pytest.raises(InputError, match="no class 'bell'"):
        read_eval_images(builtin, path, {"bell": "dog"})


def test_batch_size_does_not_change_detections(builtin, tmp_path):
    dataset = read_eval_images(builtin, write_coco(tmp_path, count=3), {"ball": "person"})
    progress = []
    single, seconds = detect_images(builtin, dataset, 1, progress.append)
    assert progress == [1, 2, 3]
    assert len(seconds) == 3
    assert min(seconds) > 0
    for first, second in zip(single, detect_images(builtin, dataset, 2, progress.append)[0], strict=True):
        np.testing.assert_array_equal(first.boxes, second.boxes)


@pytest.mark.slow
def test_command_in_a_process(tmp_path):
    data = write_yolo(tmp_path / "data", train=2, val=3)
    command = [sys.executable, "-m", "tracker", "eval", "detector", f"{data}:val", *RENAMED_CLASSES]
    command += ["--json", "figures.json", "--report", "report"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "AP50" in result.stdout
    assert "wrote report" in result.stdout
    assert "the dataset does not know bicycle" in result.stderr
    metrics = json.loads((tmp_path / "figures.json").read_text())
    assert metrics["images"] == 3
    assert set(metrics["objects"]) <= {"person", "car"}
    assert metrics == json.loads((tmp_path / "report" / "report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["train.json"], "--rename-classes.DATASET_NAME DETECTOR_NAME"),
        (["train.json", "--classes", "unicorn"], "unknown class 'unicorn'"),
        (["train.json", "--json", "figures.txt"], "must end with .json"),
        (["train.json", "--json", "train.json"], "give --overwrite"),
        (["train.json", "--report", "."], "is not empty: give --overwrite"),
        (["train.json", "--report", "train.json"], "is a file"),
        (["train.json", "--weights", "train.json"], "train.json"),
        (["train.json", "--report-score", "2"], "less than or equal to 1"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path, count=1)
    with pytest.raises(SystemExit) as end:
        main(["eval", "detector", *arguments])
    output = capsys.readouterr()
    assert end.value.code == 2
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_score_threshold_of_the_confusion_matrix(drawn_dataset):
    predictions, dataset = drawn_dataset
    assert evaluate_detections(predictions, dataset, [0, 0], 0.5).confusion_matrix.sum() == 4
    assert evaluate_detections(predictions, dataset, [0, 0], 0.2).confusion_matrix.sum() == 5
