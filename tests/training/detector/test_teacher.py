"""Tests for labels from a teacher's detections."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from small_trainings import small_training
from tracker import cli, train_detector
from tracker.config import DetectorTrainingConfig
from tracker.data import AnnotatedImage, ImageSet, read_image_set
from tracker.errors import InputError
from tracker.evaluation.detection import evaluate_detections
from tracker.models.detection import BUILTIN, read_weights
from tracker.models.model_file import read_info
from tracker.structures.types import Detections
from tracker.training.detector import teacher
from tracker.training.detector.artifacts import result_lines, score_thresholds
from tracker.training.detector.kept_classes import with_added_classes, with_kept_classes
from tracker.training.detector.teacher import (
    add_teacher_labels,
    add_unlabeled_images,
    keep_classes,
    learn_from_teacher,
    read_teacher_detections,
)

DEMO_IMAGES = Path(cli.__file__).parent / "demo_images"

CATEGORIES = ("person", "car", "dog")


def image(name="a.png", boxes=(), labels=(), unlabeled=()):
    boxes, labels = np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64)
    return AnnotatedImage(name, None, boxes, labels, ((),) * len(labels), np.zeros((0, 4), np.float32), unlabeled)


def detections(*rows):
    """Returns detections from rows (x1, y1, x2, y2, score, label)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))


def label(annotated, *rows, known=(0, 1, 2)):
    labeled = add_teacher_labels(ImageSet(CATEGORIES, (annotated,)), {"a.png": detections(*rows)}, known, 0.4, 0.1)
    return labeled.images[0]


def test_a_confident_detection_is_an_object_and_a_doubtful_one_is_uncertain():
    labeled = label(
        image(unlabeled=(0, 1, 2)),
        (0, 0, 10, 10, 0.9, 0),
        (20, 0, 30, 10, 0.2, 1),
        (40, 0, 50, 10, 0.05, 2),
    )
    assert (labeled.boxes.tolist(), labeled.labels.tolist()) == ([[0, 0, 10, 10]], [0])
    assert (labeled.uncertain.tolist(), labeled.uncertain_labels.tolist()) == ([[20, 0, 30, 10]], [1])
    assert labeled.unlabeled == ()
    assert len(labeled.segmentations) == 1


def test_annotated_classes_keep_their_annotations():
    annotated = image(boxes=[[0, 0, 10, 10]], labels=[0], unlabeled=(1,))
    labeled = label(annotated, (30, 30, 50, 50, 0.9, 0), (60, 60, 80, 80, 0.9, 2), (30, 0, 50, 20, 0.9, 1))
    assert labeled.labels.tolist() == [0, 1]
    assert labeled.boxes[1].tolist() == [30, 0, 50, 20]
    assert labeled.unlabeled == ()


def test_an_annotated_object_is_not_labeled_again_as_another_class():
    annotated = image(boxes=[[0, 0, 40, 20]], labels=[1], unlabeled=(0, 2))
    labeled = label(annotated, (1, 0, 40, 20, 0.9, 2), (1, 0, 40, 20, 0.3, 0))
    assert labeled.labels.tolist() == [1]
    assert len(labeled.uncertain) == 0


def test_classes_that_the_teacher_does_not_know_stay_unlabeled():
    labeled = label(image(unlabeled=(0, 2)), (0, 0, 10, 10, 0.9, 0), known=(0, 1))
    assert labeled.unlabeled == (2,)


def test_images_without_detections_of_the_teacher_stay_as_they_are():
    other = image("b.png", unlabeled=(0,))
    image_set = add_teacher_labels(ImageSet(CATEGORIES, (other,)), {"a.png": detections()}, (0,), 0.4, 0.1)
    assert image_set.images[0] is other


def test_detections_are_read_from_a_coco_file(tmp_path):
    content = {
        "images": [{"id": 3, "file_name": "a.png"}, {"id": 4, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "zebra"}],
        "annotations": [
            {"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
            {"image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        ],
    }
    path = tmp_path / "teacher.json"
    path.write_text(json.dumps(content))
    found, known = read_teacher_detections(path, CATEGORIES)
    assert known == (2,)
    assert found["a.png"].boxes.tolist() == [[1, 2, 4, 6]]
    assert (found["a.png"].scores.tolist(), found["a.png"].labels.tolist()) == ([0.5], [2])
    assert len(found["b.png"]) == 0
    del content["annotations"][0]["score"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"teacher\.json"):
        read_teacher_detections(path, CATEGORIES)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")  # Lightning's, about loggers and workers
class TestTraining:
    """A training on labeled images and a folder of others, with the built-in detector as teacher."""

    @pytest.fixture
    def config(self, tmp_path):
        """Returns the settings; the folder of unlabeled images has a cat and, in a subfolder, a person."""
        (tmp_path / "photos" / "more").mkdir(parents=True)
        for name, folder in (("cat.jpg", "photos"), ("astronaut.jpg", "photos/more")):
            shutil.copy(DEMO_IMAGES / name, tmp_path / folder)
        return small_training(tmp_path, unlabeled=(str(tmp_path / "photos"),), teacher="builtin")

    def test_the_teacher_labels_the_other_images_once(self, config, monkeypatch):
        image_set = read_image_set(Path(config.train), {})
        categories = ("person", "cat")
        image_set = add_unlabeled_images(replace(image_set, categories=categories), config.unlabeled)
        labeled = learn_from_teacher(image_set, config)
        names = [[categories[label] for label in image.labels] for image in labeled.images[-2:]]
        assert "cat" in names[0] and "person" in names[1]
        monkeypatch.setattr(teacher, "load_detector", None)  # a second time would fail
        again = learn_from_teacher(image_set, config)
        for one, other in zip(labeled.images, again.images, strict=True):
            np.testing.assert_array_equal(one.boxes, other.boxes)
        fewer = replace(image_set, images=image_set.images[:-1])
        with pytest.raises(TypeError):  # of other images the detections are not known
            learn_from_teacher(fewer, config)

    def test_a_training_uses_its_labels(self, config):
        content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
        images = sorted(str(path) for path in Path(config.unlabeled[0]).rglob("*.jpg"))
        path = Path(config.folder).with_name("labels.json")
        content["images"] = [{"id": number, "file_name": name} for number, name in enumerate(images)]
        content["categories"] = [{"id": 1, "name": read_image_set(Path(config.train), {}).categories[0]}]
        content["annotations"] = [{"image_id": 0, "category_id": 1, "bbox": [0, 0, 50, 60], "score": 0.9}]
        path.write_text(json.dumps(content))
        assert train_detector(config.model_copy(update={"teacher": str(path)})).is_file()

    def test_a_teacher_of_other_classes_is_refused(self, config):
        with pytest.raises(InputError, match="knows none of"):
            learn_from_teacher(add_unlabeled_images(ImageSet(("forklift",), ()), config.unlabeled), config)

    def test_images_without_labels_need_a_teacher(self, config):
        with pytest.raises(InputError, match="give teacher"):
            train_detector(config.model_copy(update={"teacher": ""}))


def test_kept_classes_come_first_and_are_annotated_nowhere():
    kept = keep_classes(ImageSet(("kitten", "car"), (image(boxes=[[0, 0, 9, 9]], labels=[0]),)), ["person", "car"])
    assert kept.categories == ("person", "car", "kitten")
    assert kept.images[0].labels.tolist() == [2] and kept.images[0].unlabeled == (0,)


def test_a_class_to_keep_that_the_teacher_lacks(tmp_path):
    with pytest.raises(InputError, match=r"keep_classes: unknown class 'persn'.*did you mean 'person'"):
        train_detector(small_training(tmp_path, keep_classes=["persn"]))


def kitten_set(*boxes):
    """Returns an image of kittens, with the class person besides."""
    return ImageSet(("person", "kitten"), (image(boxes=boxes, labels=[1] * len(boxes)),))


def test_a_detector_with_kept_classes_has_the_input_of_its_teacher(tmp_path):
    values = {"train": "a", "val": "b", "folder": str(tmp_path)}
    config = with_kept_classes(DetectorTrainingConfig(**values, keep_classes=("car, person",)))
    assert (config.size, config.pretrained, config.keep_classes) == ((640, 640), "builtin", ("person", "car"))
    network = with_added_classes(config, ImageSet(("person", "car", "kitten"), ())).network
    assert (network.added_classes, network.other_classes, network.num_class_maps) == (1, 20, 25)
    given = DetectorTrainingConfig(**values, keep_classes=("car",), size=(320, 320), learning_rate=0.01)
    assert (with_kept_classes(given).size, with_kept_classes(given).learning_rate) == ((320, 320), 0.01)
    other = with_kept_classes(DetectorTrainingConfig(**values, keep_classes=("car",), network={"backbone": "resnet18"}))
    assert with_added_classes(other, ImageSet(("car", "kitten"), ())).network.added_classes == 0


def test_a_new_class_comes_in_the_place_of_those_as_which_the_teacher_detects_it(tmp_path):
    """One of three kittens is a cat for it, two are dogs; and a person stands beside."""
    config = with_kept_classes(DetectorTrainingConfig(keep_classes=("person",), folder=str(tmp_path)))
    names = ["person", "cat", "dog"]
    rows = [(0, 0, 20, 20, 0.8, 3), (31, 30, 50, 50, 0.9, 3), (60, 60, 80, 80, 0.7, 2), (0, 60, 20, 99, 0.9, 1)]
    boxes = [{"image_id": 1, "category_id": n, "bbox": [x, y, u - x, v - y], "score": s} for x, y, u, v, s, n in rows]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": boxes, "categories": categories}
    (tmp_path / "teacher.json").write_text(json.dumps(content))
    kittens = kitten_set([0, 0, 20, 20], [30, 30, 50, 50], [60, 60, 80, 80])
    found = with_added_classes(config, kittens)
    assert found.similar_classes == {"kitten": "dog/cat"} and found.network.other_classes == 19
    given = with_added_classes(config.model_copy(update={"similar_classes": {"kitten": "cat"}}), kittens)
    assert given.similar_classes == {"kitten": "cat"} and given.network.other_classes == 20
    with pytest.raises(InputError, match="similar_classes: unknown class 'cta'"):
        with_added_classes(config.model_copy(update={"similar_classes": {"kitten": "cta"}}), kittens)


def test_figures_are_those_of_the_stored_threshold_and_of_the_new_class_alone():
    kittens = kitten_set([0, 0, 20, 20], [40, 0, 60, 20])
    found = detections((0, 0, 20, 20, 0.9, 1), (40, 0, 60, 20, 0.3, 1), (0, 0, 20, 20, 0.8, 0))
    evaluation = evaluate_detections([found], kittens, [0.1])
    thresholds = score_thresholds(evaluation, ("person",), {"kitten": 0.5})
    info = read_info(BUILTIN).model_copy(update={"categories": kittens.categories, "thresholds": thresholds})
    assert thresholds == (0, 0.5) and evaluation.best_f1["kitten"].threshold == pytest.approx(0.3)
    assert result_lines(evaluation, info, ("person",))[1:] == [
        "kitten: from the score 0.50 on, the precision is 1.00 and the recall 0.50, of 2 objects"
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_class_is_added_to_those_of_the_built_in_detector(tmp_path):
    """The file knows both, with the scores of the kept one as they were and a threshold of the new ones."""
    config = small_training(tmp_path, keep_classes=["person,car"], network={})
    path = train_detector(config)
    state, info = read_weights(path)
    assert info.categories == ("person", "car", "ball", "box") and info.thresholds[:2] == (0, 0)
    teacher_state, builtin = read_weights(BUILTIN)
    assert info.calibration[0] == builtin.calibration[builtin.categories.index("person")]
    assert all(threshold == 0 or threshold >= 0.5 for threshold in info.thresholds[2:])  # all images show them
    added = [key for key in state if ".added" in key]
    assert len(added) == 6
    replaced = yaml.safe_load((path.parent / "config.yaml").read_text())["similar_classes"].values()
    for key in state.keys() - added:  # nothing is unlearned: layers of the built-in detector are as they were
        rows = ["", "person", "car", *(name for name in builtin.categories if name not in ("person", "car", *replaced))]
        order = [["", *builtin.categories].index(name) for name in rows] if ".cls_score." in key else slice(None)
        assert torch.equal(state[key], teacher_state[key][order]), key
