"""Training pictures keep their boxes right, mistakes stop before the first step, and a small run ends in a model."""

import json

import numpy as np
import pytest
from PIL import Image

from tracker.config import DetectorConfig, DetectorTraining
from tracker.detection import load_detector
from tracker.errors import InputError
from tracker.evaluation.detection import Truth, average_precision
from tracker.training.pictures import TrainingPictures, read_coco, sampling_weights, visible_targets
from tracker.types import Detections
from tracker.weights import load_model

NAMES = ["ball", "box"]
RED = (250, 10, 10)


def write_set(folder, name, pictures=3, change=lambda coco: None):
    """A COCO set of blue pictures that each show one red rectangle, 60x40 at (30 + 10 n, 50)."""
    coco = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "box"}, {"id": 3, "name": "ball"}]}
    for n in range(pictures):
        pixels = np.full((120, 160, 3), (20, 20, 120), np.uint8)
        pixels[50:90, 30 + 10 * n : 90 + 10 * n] = RED
        Image.fromarray(pixels).save(folder / f"{name}{n}.png")
        coco["images"].append({"id": n, "file_name": f"{name}{n}.png", "width": 160, "height": 120})
        coco["annotations"].append(
            {"id": n, "image_id": n, "category_id": 7, "bbox": [30 + 10 * n, 50, 60, 40], "area": 2400, "iscrowd": 0}
        )
    change(coco)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(coco))
    return path


def config(root, **changes):
    values = {
        "train": str(write_set(root, "train")),
        "val": str(write_set(root, "val", 2)),
        "folder": str(root / "run"),
        "size": (160, 128),
        "canvas": (160, 128),
        "steps": 2,
        "batch_size": 2,
        "workers": 0,
    }
    return DetectorTraining(**{**values, **changes})


# --- reading ---


def test_labels_follow_the_order_of_category_ids(tmp_path):
    pictures, names = read_coco(write_set(tmp_path, "a"))
    assert names == ["ball", "box"]
    assert pictures[1].labels.tolist() == [2]
    assert pictures[1].boxes.tolist() == [[40, 50, 100, 90]]


def test_crowds_and_unlabelled_classes_are_kept_apart(tmp_path):
    def change(coco):
        coco["annotations"][0]["iscrowd"] = 1
        coco["images"][1]["unlabelled"] = ["ball"]

    pictures, _ = read_coco(write_set(tmp_path, "a", change=change))
    assert len(pictures[0].boxes) == 0
    assert pictures[0].ignore.tolist() == [[30, 50, 90, 90]]
    assert pictures[1].unlabelled == (1,)


@pytest.mark.parametrize(
    "change",
    [
        lambda coco: coco.pop("images"),
        lambda coco: coco["images"].clear(),
        lambda coco: coco["annotations"][0].update(category_id=99),
        lambda coco: coco["images"][0].update(unlabelled=["dragon"]),
    ],
)
def test_a_broken_set_is_refused_before_training(tmp_path, change):
    with pytest.raises(InputError, match=r"a\.json"):
        read_coco(write_set(tmp_path, "a", change=change))


def test_a_missing_set_or_picture_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json"):
        read_coco(tmp_path / "gone.json")
    path = write_set(tmp_path, "a")
    (tmp_path / "a0.png").unlink()
    pictures, _ = read_coco(path)
    with pytest.raises(InputError, match=r"a0\.png"):
        TrainingPictures(pictures[:1], NAMES, DetectorTraining())[0]


# --- training pictures ---


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_stay_on_their_objects(tmp_path, mosaic):
    settings = config(tmp_path, mosaic=mosaic, canvas=(200, 160), scale=(0.6, 1.6))
    pictures, _ = read_coco(tmp_path / "train.json")
    made = TrainingPictures(pictures, NAMES, settings)
    learned = 0
    for index in range(40):
        image, target = made[index]
        assert image.shape == (3, 160, 200)
        red = (image[0].float() > 1.5 * image[2].float()).numpy()
        for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
            learned += 1
            assert red[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean() > 0.95
            outside = np.concatenate([red[y1 + 2 : y2 - 2, max(x1 - 4, 0) : max(x1 - 2, 0)].ravel(), [False]])
            assert outside.mean() < 0.5
        covered = np.zeros_like(red)
        for x1, y1, x2, y2 in [*target["boxes"].tolist(), *target["ignore"].tolist()]:
            covered[int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = True
        assert (red & ~covered).sum() < 30
    assert learned > 20


def test_the_same_index_gives_the_same_picture(tmp_path):
    settings = config(tmp_path)
    pictures, _ = read_coco(tmp_path / "train.json")
    (a, x), (b, y) = (TrainingPictures(pictures, NAMES, settings)[5] for _ in range(2))
    assert (a == b).all()
    assert (x["boxes"] == y["boxes"]).all()


def test_a_box_of_which_too_little_is_left_is_ignored():
    boxes = np.array([[0, 0, 40, 40], [90, 10, 130, 50], [200, 0, 220, 20]], np.float32)
    left = visible_targets(boxes, np.array([1, 2, 1]), np.zeros((0, 4), np.float32), (0, 0, 100, 100))
    assert left["boxes"].tolist() == [[0, 0, 40, 40]]
    assert left["labels"].tolist() == [1]
    assert left["ignore"].tolist() == [[90, 10, 100, 50]]


def test_rare_classes_are_drawn_more_often(tmp_path):
    def change(coco):
        coco["annotations"][0]["category_id"] = 3

    pictures, _ = read_coco(write_set(tmp_path, "a", 9, change))
    weights = sampling_weights(pictures, repeat=0.5, crowded=1.0, favour={2: 3.0})
    assert weights[0] == pytest.approx((0.5 * 9 / 1) ** 0.5)
    assert (weights[1:] == 3).all()
    with pytest.raises(InputError, match="did you mean 'ball'"):
        TrainingPictures(pictures, NAMES, DetectorTraining(favour={"bal": 2.0}))


# --- scoring ---


def found(boxes, scores, labels):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, int))


def truth(boxes, labels, ignore=(), unlabelled=()):
    rows = [np.array(b, np.float32).reshape(-1, 4) for b in (boxes, ignore)]
    return Truth(rows[0], np.array(labels, int), rows[1], unlabelled)


BOX, OTHER = [0, 0, 50, 50], [100, 100, 160, 160]


def test_unlabelled_classes_and_crowds_are_no_false_positives():
    wrong = found([BOX, OTHER], [0.9, 0.95], [0, 0])
    assert average_precision([(wrong, truth([BOX], [0]))], ["a"])["AP50"] == pytest.approx(0.5, abs=0.01)
    assert average_precision([(wrong, truth([BOX], [0], ignore=[OTHER]))], ["a"])["AP50"] == pytest.approx(1)
    two = found([BOX, OTHER], [0.9, 0.95], [0, 1])
    pairs = [(two, truth([BOX], [0], unlabelled=(1,))), (found([OTHER], [0.8], [1]), truth([OTHER], [1]))]
    assert average_precision(pairs, ["a", "b"])["AP50/b"] == pytest.approx(1)


def test_average_precision_equals_pycocotools(capsys):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(0)
    pairs, rows, results = [], [], []
    for image in range(1, 21):
        corner = rng.uniform(0, 200, (5, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 120, (5, 2))], 1).astype(np.float32)
        labels = rng.integers(0, 3, 5)
        moved = (boxes + rng.normal(0, 6, boxes.shape)).astype(np.float32)
        scores = rng.uniform(0, 1, 5).astype(np.float32)
        pairs.append((Detections(moved, scores, labels), truth(boxes, labels)))
        for box, near, score, label in zip(boxes, moved, scores, labels, strict=True):
            size = {"image_id": image, "category_id": int(label) + 1}
            rows.append({**size, "id": len(rows) + 1, "bbox": xywh(box), "area": 1.0, "iscrowd": 0})
            results.append({**size, "bbox": xywh(near), "score": float(score)})
    reference = coco.COCO()
    reference.dataset = {"images": [{"id": n} for n in range(1, 21)], "annotations": rows}
    reference.dataset["categories"] = [{"id": n, "name": str(n)} for n in (1, 2, 3)]
    reference.createIndex()
    judged = evaluation.COCOeval(reference, reference.loadRes(results), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    capsys.readouterr()
    figures = average_precision(pairs, ["1", "2", "3"])
    assert [figures[name] for name in ("AP", "AP50", "AP75")] == pytest.approx(judged.stats[:3].tolist(), abs=1e-6)


def xywh(box):
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


# --- a run ---


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_short_training_ends_in_a_model_that_detects(tmp_path):
    from tracker.training.detector import train_detector

    finished = train_detector(config(tmp_path))
    with load_detector(DetectorConfig(weights=str(finished), score=0.0)) as detector:
        assert detector.info.categories == ("ball", "box")
        assert detector.info.size == (160, 128)
        (result,) = detector.detect([np.zeros((120, 160, 3), np.uint8)])
    assert set(result.labels.tolist()) <= {0, 1}
    with pytest.raises(InputError, match="nothing to resume"):
        train_detector(config(tmp_path, folder=str(tmp_path / "other")), resume=True)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_resumed_training_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    from lightning.pytorch.callbacks import ModelCheckpoint

    from tracker.training import detector as training

    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = training.train_detector(config(tmp_path, steps=3, folder=str(tmp_path / "whole")))
    interrupted = config(tmp_path, steps=3, folder=str(tmp_path / "interrupted"))
    saved = ModelCheckpoint._save_checkpoint

    def save_and_die(self, trainer, path):
        saved(self, trainer, path)
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ModelCheckpoint, "_save_checkpoint", save_and_die)
        with pytest.raises(SystemError, match="killed"):
            training.train_detector(interrupted)
    resumed = training.train_detector(interrupted, resume=True)
    expected, got = load_model(whole)[0], load_model(resumed)[0]
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-6, err_msg=name)


def test_sets_with_different_categories_are_refused(tmp_path):
    from tracker.training.detector import train_detector

    val = write_set(tmp_path, "b", change=lambda coco: coco["categories"][1].update(name="cube"))
    with pytest.raises(InputError, match="same categories"):
        train_detector(config(tmp_path, val=str(val)))
