"""Trains a classifier of crops: `train_classifier` reads a folder of pictures for each class."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tracker.config import ClassifierTrainingConfig
from tracker.data import ReIDDataset, read_crop, read_crops
from tracker.errors import InputError, did_you_mean
from tracker.evaluation.classification import class_figures, write_class_report
from tracker.models.model_file import ModelInfo
from tracker.models.reid import Classifier
from tracker.training.reid.data import SCORED_TOGETHER, CropBatches, ShuffledBatches
from tracker.training.reid.module import CropModule
from tracker.training.reid.train import new_network, train_on_crops, with_size

log = logging.getLogger(__name__)


def train_classifier(config: ClassifierTrainingConfig, resume: bool = False) -> Path:
    """Trains a classifier of crops.

    In `config.folder` are left: best.ckpt and last.ckpt; model.safetensors, the best model; card.md, which describes
    it; config.yaml; curves.png; all figures of the training in log/ and, for TensorBoard, tensorboard/; and in report/
    how good the model is.

    Args:
        config: What to train on, how, and where to put it.
        resume: Go on from the last checkpoint in `config.folder`, to the same result.

    Returns:
        The finished model: a .safetensors file that `load_classifier` takes.

    Raises:
        InputError: The pictures, the network, the starting weights, the checkpoint or Lightning's settings cannot be
            used; memory does not suffice; a loss is not finite.
    """
    config = with_size(config)
    learned, scored = _read(config)
    return train_on_crops(ClassifierModule(config, ShuffledBatches(learned, config), scored), resume)


def _read(config: ClassifierTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    """The crops that are learned from, and those that are scored, with the same numbers of classes."""
    if not config.train:
        raise InputError("training needs pictures to learn from, a folder for each class: give train")
    crops = _read_folders(Path(config.train))
    if len(crops.identities) < 2:
        raise InputError(f"{config.train} shows one class only, {crops.identities[0]}: give a folder for each class")
    if config.val:
        return crops, _same_classes(_read_folders(Path(config.val)), crops.identities, config.val)
    learned, scored = _split(crops, config.val_share, config.seed)
    log.warning("%d of %d pictures in %s are not learned from but scored", len(scored), len(crops), config.train)
    return learned, scored


def _read_folders(path: Path) -> ReIDDataset:
    crops = read_crops([path])
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        if not any(name == folder.name or name.startswith(f"{folder.name}/") for name in crops.identities):
            raise InputError(f"the class {folder.name} has no picture in {folder}: add some, or remove the folder")
    return crops


def _same_classes(crops: ReIDDataset, names: tuple[str, ...], where: str) -> ReIDDataset:
    """Gives the classes of crops the numbers that they have among `names`."""
    unknown = [name for name in crops.identities if name not in names]
    if unknown:
        known = did_you_mean(unknown[0], list(names))
        raise InputError(f"{where} has the class {unknown[0]!r}, which is not learned{known}")
    numbers = np.array([names.index(name) for name in crops.identities], np.int64)
    return replace(crops, ids=numbers[crops.ids], identities=names)


def _split(crops: ReIDDataset, share: float, seed: int) -> tuple[ReIDDataset, ReIDDataset]:
    """Two parts with about the same shares of classes, the second of `share` of the crops; each class keeps one."""
    rng = np.random.default_rng(seed % 2**32)
    held = np.zeros(len(crops), bool)
    for number in range(len(crops.identities)):
        rows = rng.permutation(np.flatnonzero(crops.ids == number))
        held[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return crops.of_rows(np.flatnonzero(~held)), crops.of_rows(np.flatnonzero(held))


class ClassifierModule(CropModule):
    """Classes are told apart by cross-entropy with label smoothing."""

    KIND = "classifier"
    SCORES = ("top-1", "top-5", "mean recall")

    def __init__(self, config: ClassifierTrainingConfig, batches: CropBatches, scored: ReIDDataset) -> None:
        """Takes how it shall learn, and what from, and what is scored.

        Raises:
            InputError: The network or its starting weights cannot be used.
        """
        names = batches.crops.identities
        super().__init__(new_network(config, len(names)), config, _info(config, names), batches, scored)

    def losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        logits = self.model.logits(images).float()
        loss = F.cross_entropy(logits, ids, label_smoothing=self.config.label_smoothing)
        return {"classes": loss}, {"right": (logits.argmax(1) == ids).float().mean()}

    def answer(self, images: Tensor) -> Tensor:
        return self.model.logits(images).float().softmax(1)

    def score(self, answers: NDArray[np.float32]) -> Mapping[str, float]:
        return class_figures(answers, self.scored.ids)

    def report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        with Classifier(self.model, self.info, device) as classifier:
            probabilities = np.concatenate(list(_said(classifier, self.scored)))
        return write_class_report(folder, probabilities, self.scored, self.info.categories)


def _said(classifier: Classifier, crops: ReIDDataset) -> Iterator[NDArray[np.float32]]:
    """The probabilities of the classes (1, C) of each crop."""
    for start in range(0, len(crops), SCORED_TOGETHER):
        pixels = [read_crop(crops, row) for row in range(start, min(start + SCORED_TOGETHER, len(crops)))]
        whole = [np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in pixels]
        yield from classifier.classify(classifier.upload(pixels), whole)


def _info(config: ClassifierTrainingConfig, names: tuple[str, ...]) -> ModelInfo:
    return ModelInfo(
        task="classification",
        architecture=config.network.architecture,
        categories=names,
        size=config.size,
        license=config.license,
        provenance=config.provenance,
        network=config.network.model_dump(mode="json"),
    )
