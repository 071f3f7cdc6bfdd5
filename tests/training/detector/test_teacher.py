"""Tests for labels from a teacher's detections."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from small_trainings import small_training
from tracker import cli, train_detector
from tracker.data import AnnotatedImage, ImageSet, read_image_set
from tracker.errors import InputError
from tracker.models.detection import BUILTIN, read_weights
from tracker.structures.types import Detections
from tracker.training.detector import teacher
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


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_class_is_added_to_those_of_the_built_in_detector(tmp_path):
    """The file knows both, with the scores of the kept one as they were and a threshold of the new ones."""
    path = train_detector(small_training(tmp_path, keep_classes=["person,car"], network={}))
    info = read_weights(path)[1]
    assert info.categories == ("person", "car", "ball", "box") and info.thresholds[:2] == (0, 0)
    builtin = read_weights(BUILTIN)[1]
    assert info.calibration[0] == builtin.calibration[builtin.categories.index("person")]
