"""Training a classifier of crops: its accuracy, resuming, its files and error messages."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_people import draw_person
from small_trainings import SMALL_TRAINING
from tracker.config import ClassifierTrainingConfig
from tracker.data import read_reid_dataset
from tracker.errors import InputError
from tracker.evaluation.classification import classification_metrics, confusion_matrix
from tracker.models.model_file import load_model
from tracker.models.reid import load_classifier, load_embedder
from tracker.training.reid.classifier import ClassifierModule, train_classifier
from tracker.training.reid.data import ShuffledBatchDataset

pytestmark = SMALL_TRAINING
CLASSES = ("plain", "halves", "rings")


def draw_classes(folder: Path, images: int, seed: int = 0) -> Path:
    """Draws images of each class into a folder of its own."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            Image.fromarray(draw_person(label, rng)).save(folder / name / f"{number}.png")
    return folder


def settings_for(images: Path, folder: Path, **changes: object) -> ClassifierTrainingConfig:
    values = {
        "train": str(images), "folder": str(folder), "network": {"architecture": "lenet"}, "batch_size": 6,
        "steps": 4, "validate_every": 4, "checkpoint_every": 2, "ema_decay": 0.5, "workers": 0,
    }  # fmt: skip
    return ClassifierTrainingConfig.model_validate({**values, **changes})


@pytest.mark.slow
def test_it_learns_classes(tmp_path: Path) -> None:
    images, val_images = draw_classes(tmp_path / "train", 8), draw_classes(tmp_path / "val", 4, seed=1)
    changes = {"val": str(val_images), "steps": 80, "validate_every": 40, "learning_rate": 5e-3, "ema_decay": 0.9}
    path = train_classifier(settings_for(images, tmp_path / "run", **changes))
    with load_classifier(path, torch.device("cpu"), threads=1) as classifier:
        assert classifier.info.categories == tuple(sorted(CLASSES))
        crops = [draw_person(label, np.random.default_rng(9)) for label in range(3)]
        boxes = [np.array([[0, 0, 20, 40]], np.float32)] * 3
        probabilities = np.concatenate(classifier.classify(classifier.upload(crops), boxes))
    assert [classifier.info.categories[n] for n in probabilities.argmax(1)] == list(CLASSES)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    metrics = json.loads((tmp_path / "run" / "report" / "report.json").read_text())["metrics"]
    assert metrics["top-1"] > 0.9
    assert {file.name for file in (tmp_path / "run" / "report").iterdir()} == {
        *("report.json", "confusion.png", "mistakes.jpg"),
    }
    with pytest.raises(InputError, match="is a model for classification, not for embedding"):
        load_embedder(str(path), torch.device("cpu"))


def test_a_resumed_training_gives_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = draw_classes(tmp_path / "train", 5)
    uninterrupted = train_classifier(settings_for(images, tmp_path / "uninterrupted"))

    class Killed(Exception):
        pass

    training_step = ClassifierModule.training_step

    def interrupt(self: ClassifierModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise Killed
        return training_step(self, batch, index)

    config = settings_for(images, tmp_path / "resumed")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ClassifierModule, "training_step", interrupt)
        train_classifier(config)
    expected, resumed = load_model(uninterrupted)[0], load_model(train_classifier(config, resume=True))[0]
    for key, value in expected.items():
        np.testing.assert_array_equal(resumed[key], value, err_msg=key)
    card = (tmp_path / "resumed" / "card.md").read_text()
    assert "12 crops of 3 classes" in card  # a fifth of each class is held out
    assert "3 crops of 3 classes" in card


def test_metrics_computed_by_hand() -> None:
    probabilities = np.full((4, 7), 0.01, np.float32)
    probabilities[0, 2], probabilities[1, 5], probabilities[2, :5], probabilities[3, 6] = 0.9, 0.9, 0.2, 0.9
    labels = np.array([2, 4, 5, 6])  # correct; predicted as 5, in fifth place of equal values; sixth place; correct
    expected = {"top-1": 0.5, "top-5": 0.5, "mean recall": 0.5}
    assert classification_metrics(probabilities, labels) == pytest.approx(expected)
    probabilities[1, 4] = 0.05
    assert classification_metrics(probabilities, labels)["top-5"] == 0.75
    always_2 = probabilities[:, :6] * 0 + [0, 0, 1, 0, 0, 0]
    assert classification_metrics(always_2, np.array([2, 2, 2, 1]))["mean recall"] == 0.5
    confusion = confusion_matrix(probabilities, labels)
    assert (confusion[2, 2], confusion[4, 5], confusion[5, 0], confusion[6, 6], confusion.sum()) == (1, 1, 1, 1, 4)


def test_all_images_are_sampled_equally_often(tmp_path: Path) -> None:
    crops = read_reid_dataset([draw_classes(tmp_path / "train", 5)])
    config = settings_for(tmp_path, tmp_path)
    dataset = ShuffledBatchDataset(crops, config, config.batch_size)
    indices = [index for batch in range(5) for index in dataset.sample_batch(batch)]
    assert np.bincount(indices).tolist() == [2] * 15
    assert indices[:15] != indices[15:]


def test_a_class_without_images(tmp_path: Path) -> None:
    images = draw_classes(tmp_path / "train", 2)
    (images / "stripes").mkdir()
    with pytest.raises(InputError, match="the class stripes has no image in"):
        train_classifier(settings_for(images, tmp_path / "run"))


def test_one_class(tmp_path: Path) -> None:
    images = draw_classes(tmp_path / "train", 2)
    with pytest.raises(InputError, match="no folder of its identity"):
        train_classifier(settings_for(images / "rings", tmp_path / "run"))
    (tmp_path / "one").mkdir()
    (images / "rings").rename(tmp_path / "one" / "rings")
    with pytest.raises(InputError, match="has one class only, rings"):
        train_classifier(settings_for(tmp_path / "one", tmp_path / "run"))


def test_a_validation_class_that_is_not_in_the_training_images(tmp_path: Path) -> None:
    images, val_images = draw_classes(tmp_path / "train", 2), draw_classes(tmp_path / "val", 2)
    (val_images / "rings").rename(val_images / "ring")
    message = r"the class 'ring', which the training images do not have .did you mean 'rings'"
    with pytest.raises(InputError, match=message):
        train_classifier(settings_for(images, tmp_path / "run", val=str(val_images)))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the crops in"):
        train_classifier(settings_for(tmp_path / "none", tmp_path / "run"))
    with pytest.raises(InputError, match="a folder for each class: give train"):
        train_classifier(ClassifierTrainingConfig())
