"""`train_classifier` trains a classifier of crops on a folder of images for each class."""

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
from tracker.data import ReIDDataset, read_crop, read_reid_dataset
from tracker.errors import InputError, did_you_mean
from tracker.evaluation.classification import classification_metrics, write_class_report
from tracker.models.reid import Classifier, torch_classifier
from tracker.training.detector.artifacts import model_info
from tracker.training.reid.data import VAL_BATCH_SIZE, CropBatchDataset, ShuffledBatchDataset
from tracker.training.reid.module import CropModule
from tracker.training.reid.train import build_initial_model, train_on_crops, with_default_size

log = logging.getLogger(__name__)


def train_classifier(config: ClassifierTrainingConfig, resume: bool = False) -> Path:
    """Trains a classifier of crops.

    Writes into `config.folder`: best.ckpt and last.ckpt; model.safetensors, the best model; card.md, its model card;
    config.yaml; curves.png; all metrics of the training in log/ and, for TensorBoard, tensorboard/; and the evaluation
    of the model in report/.

    Args:
        config: The data, the network and all other settings.
        resume: Continue from the last checkpoint in `config.folder`; the result is that of an uninterrupted training.

    Returns:
        The path of the finished model, a .safetensors file for `load_classifier`.

    Raises:
        InputError: The images, the network, the pretrained weights, the checkpoint or Lightning's settings cannot be
            used; the memory is too small; a loss is not finite.

    Example:
        >>> config = ClassifierTrainingConfig(train="breeds", folder="runs/breeds")
        >>> train_classifier(config)  # doctest: +SKIP
        PosixPath('runs/breeds/model.safetensors')
    """
    config = with_default_size(config)
    train_set, val_set = _read_datasets(config)
    return train_on_crops(
        ClassifierModule(config, ShuffledBatchDataset(train_set, config, config.batch_size), val_set), resume
    )


def _read_datasets(config: ClassifierTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    """Reads the training and the validation crops, with the same class labels."""
    if not config.train:
        raise InputError("training needs images, a folder for each class: give train")
    crops = _read_folders(Path(config.train))
    if len(crops.identities) < 2:
        raise InputError(f"{config.train} has one class only, {crops.identities[0]}: give a folder for each class")
    if config.val:
        return crops, _align_classes(_read_folders(Path(config.val)), crops.identities, config.val)
    train_set, val_set = _stratified_split(crops, config.val_fraction, config.seed)
    log.warning("%d of %d images in %s are held out for validation", len(val_set), len(crops), config.train)
    return train_set, val_set


def _read_folders(path: Path) -> ReIDDataset:
    crops = read_reid_dataset([path])
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        if not any(name == folder.name or name.startswith(f"{folder.name}/") for name in crops.identities):
            raise InputError(f"the class {folder.name} has no image in {folder}: add some, or remove the folder")
    return crops


def _align_classes(crops: ReIDDataset, classes: tuple[str, ...], source: str) -> ReIDDataset:
    """Returns the crops with labels that are indices into `classes`; `source` is their path, for messages."""
    unknown = [name for name in crops.identities if name not in classes]
    if unknown:
        hint = did_you_mean(unknown[0], list(classes))
        raise InputError(f"{source} has the class {unknown[0]!r}, which the training images do not have{hint}")
    labels = np.array([classes.index(name) for name in crops.identities], np.int64)
    return replace(crops, ids=labels[crops.ids], identities=classes)


def _stratified_split(crops: ReIDDataset, val_fraction: float, seed: int) -> tuple[ReIDDataset, ReIDDataset]:
    """Splits crops, class by class, into training and validation crops; at least one of each class is for training."""
    rng = np.random.default_rng(seed % 2**32)
    is_val = np.zeros(len(crops), bool)
    for label in range(len(crops.identities)):
        indices = rng.permutation(np.flatnonzero(crops.ids == label))
        is_val[indices[: min(round(val_fraction * len(indices)), len(indices) - 1)]] = True
    return crops.select(np.flatnonzero(~is_val)), crops.select(np.flatnonzero(is_val))


class ClassifierModule(CropModule):
    """Trains a classifier by cross-entropy with label smoothing."""

    KIND = "classifier"
    METRICS = ("top-1", "top-5", "mean recall")

    def __init__(self, config: ClassifierTrainingConfig, train_set: CropBatchDataset, val_set: ReIDDataset) -> None:
        """Takes the settings and the training and validation data."""
        classes = train_set.crops.identities
        info = model_info(config, "classification", classes, config.size)
        super().__init__(build_initial_model(config, len(classes)), config, info, train_set, val_set)

    def compute_losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        logits = self.model.logits(images).float()
        loss = F.cross_entropy(logits, ids, label_smoothing=self.config.label_smoothing)
        return {"classes": loss}, {"accuracy": (logits.argmax(1) == ids).float().mean()}

    def forward_eval(self, images: Tensor) -> Tensor:
        return self.model.logits(images).float().softmax(1)

    def compute_metrics(self, outputs: NDArray[np.float32]) -> Mapping[str, float]:
        return classification_metrics(outputs, self.val_set.ids)

    def write_report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        with torch_classifier(self.model, self.info, device) as classifier:
            probabilities = np.concatenate(list(_classify(classifier, self.val_set)))
        return write_class_report(folder, probabilities, self.val_set, self.info.categories)


def _classify(classifier: Classifier, crops: ReIDDataset) -> Iterator[NDArray[np.float32]]:
    """Yields the class probabilities (1, C) of each crop."""
    for start in range(0, len(crops), VAL_BATCH_SIZE):
        images = [read_crop(crops, index) for index in range(start, min(start + VAL_BATCH_SIZE, len(crops)))]
        boxes = [np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in images]
        yield from classifier.classify(classifier.upload(images), boxes)
