"""Training a classifier of crops: that it learns, resumes, reports, and says what is wrong with its input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_people import dressed
from small_trainings import SMALL_TRAINING
from tracker.config import ClassifierTrainingConfig
from tracker.errors import InputError
from tracker.evaluation.classification import class_figures, confusion_matrix
from tracker.models.model_file import load_model
from tracker.models.reid import load_classifier, load_embedder
from tracker.training.reid.classifier import ClassifierModule, train_classifier
from tracker.training.reid.data import ShuffledBatches

pytestmark = SMALL_TRAINING
CLASSES = ("plain", "halves", "rings")


def draw_classes(folder: Path, pictures: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for picture in range(pictures):
            Image.fromarray(dressed(number, rng)).save(folder / name / f"{picture}.png")
    return folder


def config_for(pictures: Path, folder: Path, **changes: object) -> ClassifierTrainingConfig:
    values = {
        "train": str(pictures), "folder": str(folder), "network": {"architecture": "lenet"}, "batch_size": 6,
        "steps": 4, "validate_every": 4, "checkpoint_every": 2, "ema": 0.5, "workers": 0,
    }  # fmt: skip
    return ClassifierTrainingConfig.model_validate({**values, **changes})


@pytest.mark.slow
def test_it_learns_classes(tmp_path: Path) -> None:
    pictures, others = draw_classes(tmp_path / "train", 8), draw_classes(tmp_path / "val", 4, seed=1)
    settings = {"val": str(others), "steps": 80, "validate_every": 40, "learning_rate": 5e-3, "ema": 0.9}
    path = train_classifier(config_for(pictures, tmp_path / "run", **settings))
    with load_classifier(path, torch.device("cpu"), threads=1) as classifier:
        assert classifier.info.categories == tuple(sorted(CLASSES))
        pixels = [dressed(number, np.random.default_rng(9)) for number in range(3)]
        whole = [np.array([[0, 0, 20, 40]], np.float32)] * 3
        said = np.concatenate(classifier.classify(classifier.upload(pixels), whole))
    assert [classifier.info.categories[n] for n in said.argmax(1)] == list(CLASSES)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)
    figures = json.loads((tmp_path / "run" / "report" / "report.json").read_text())["figures"]
    assert figures["top-1"] > 0.9
    assert {file.name for file in (tmp_path / "run" / "report").iterdir()} == {
        *("report.json", "confusion.png", "mistakes.jpg"),
    }
    with pytest.raises(InputError, match="is a model for classification, not for embedding"):
        load_embedder(str(path), torch.device("cpu"))


def test_a_resumed_training_ends_like_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = draw_classes(tmp_path / "train", 5)
    whole = train_classifier(config_for(pictures, tmp_path / "whole"))

    class Killed(Exception):
        pass

    step = ClassifierModule.training_step

    def dies(self: ClassifierModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise Killed
        return step(self, batch, index)

    config = config_for(pictures, tmp_path / "cut")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ClassifierModule, "training_step", dies)
        train_classifier(config)
    expected, found = load_model(whole)[0], load_model(train_classifier(config, resume=True))[0]
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    card = (tmp_path / "cut" / "card.md").read_text()
    assert "12 crops of 3 classes" in card  # a fifth of each class is held out
    assert "3 crops of 3 classes" in card


def test_figures_worked_by_hand() -> None:
    said = np.full((4, 7), 0.01, np.float32)
    said[0, 2], said[1, 5], said[2, :5], said[3, 6] = 0.9, 0.9, 0.2, 0.9
    labels = np.array([2, 4, 5, 6])  # right; taken for 5, fifth of equals; sixth place; right
    assert class_figures(said, labels) == pytest.approx({"top-1": 0.5, "top-5": 0.5, "mean recall": 0.5})
    said[1, 4] = 0.05
    assert class_figures(said, labels)["top-5"] == 0.75
    assert class_figures(said[:, :6] * 0 + [0, 0, 1, 0, 0, 0], np.array([2, 2, 2, 1]))["mean recall"] == 0.5
    counts = confusion_matrix(said, labels)
    assert (counts[2, 2], counts[4, 5], counts[5, 0], counts[6, 6], counts.sum()) == (1, 1, 1, 1, 4)


def test_all_pictures_are_seen_equally_often(tmp_path: Path) -> None:
    from tracker.data import read_crops

    crops = read_crops([draw_classes(tmp_path / "train", 5)])
    batches = ShuffledBatches(crops, config_for(tmp_path, tmp_path))
    seen = [row for number in range(5) for row in batches.drawn(number)]
    assert np.bincount(seen).tolist() == [2] * 15
    assert seen[:15] != seen[15:]


def test_a_class_without_pictures(tmp_path: Path) -> None:
    pictures = draw_classes(tmp_path / "train", 2)
    (pictures / "stripes").mkdir()
    with pytest.raises(InputError, match="the class stripes has no picture in"):
        train_classifier(config_for(pictures, tmp_path / "run"))


def test_one_class(tmp_path: Path) -> None:
    pictures = draw_classes(tmp_path / "train", 2)
    with pytest.raises(InputError, match="no folder of its individual"):
        train_classifier(config_for(pictures / "rings", tmp_path / "run"))
    (tmp_path / "one").mkdir()
    (pictures / "rings").rename(tmp_path / "one" / "rings")
    with pytest.raises(InputError, match="shows one class only, rings"):
        train_classifier(config_for(tmp_path / "one", tmp_path / "run"))


def test_a_class_that_is_scored_but_not_learned(tmp_path: Path) -> None:
    pictures, others = draw_classes(tmp_path / "train", 2), draw_classes(tmp_path / "val", 2)
    (others / "rings").rename(others / "ring")
    with pytest.raises(InputError, match=r"the class 'ring', which is not learned .did you mean 'rings'"):
        train_classifier(config_for(pictures, tmp_path / "run", val=str(others)))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the crops in"):
        train_classifier(config_for(tmp_path / "none", tmp_path / "run"))
    with pytest.raises(InputError, match="a folder for each class: give train"):
        train_classifier(ClassifierTrainingConfig())
