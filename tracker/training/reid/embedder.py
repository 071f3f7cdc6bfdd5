"""`train_embedder` trains an embedder on crops of known identities."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tracker.config import EmbedderTrainingConfig
from tracker.data import ReIDDataset, read_object_crops, read_reid_dataset, split_by_identity
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, evaluate_embeddings, write_report
from tracker.models.reid import torch_embedder
from tracker.training.detector.artifacts import model_info
from tracker.training.reid.data import (
    CropBatchDataset,
    CropValDataset,
    IdentityBatchDataset,
    MixedBatchDataset,
    ShuffledBatchDataset,
)
from tracker.training.reid.losses import EmbedderLosses
from tracker.training.reid.module import CropModule
from tracker.training.reid.teacher import MOST_EXAMPLES, TeacherLoss
from tracker.training.reid.tracklet_sampler import TrackletBatchDataset
from tracker.training.reid.train import build_initial_model, train_on_crops, with_default_size

log = logging.getLogger(__name__)
MIN_IDENTITIES_TO_SPLIT = 5  # identities with several images, of which some are held out for validation


def train_embedder(config: EmbedderTrainingConfig, resume: bool = False) -> Path:
    """Trains an embedder.

    Writes into `config.folder`: best.ckpt (with validation data) and last.ckpt; model.safetensors, the best model, with
    the cosine distance at which two crops are as likely of one identity as of two; card.md, its model card;
    config.yaml; curves.png; all metrics of the training in log/ and, for TensorBoard, tensorboard/; and the evaluation
    of the model in report/.

    Args:
        config: The data, the network and all other settings.
        resume: Continue from the last checkpoint in `config.folder`; the result is that of an uninterrupted training.

    Returns:
        The path of the finished model, a .safetensors file for `load_embedder`.

    Raises:
        InputError: The crops, the network, the pretrained weights, the checkpoint or Lightning's settings cannot be
            used; the memory is too small; a loss is not finite.

    Example:
        >>> config = EmbedderTrainingConfig(train="bounding_box_train", pretrained="builtin", folder="runs/people")
        >>> train_embedder(config)  # doctest: +SKIP
        PosixPath('runs/people/model.safetensors')
    """
    config = with_default_size(config)
    if config.teachers:
        return train_on_crops(TaughtEmbedderModule(config, *_read_taught_datasets(config)), resume)
    if config.unlabeled:
        raise InputError("crops without identities are learned from by the help of a teacher: give teachers")
    crops, val_set = _read_datasets(config)
    train_set = (TrackletBatchDataset if config.tracklets else IdentityBatchDataset)(crops, config)
    return train_on_crops(EmbedderModule(config, train_set, val_set), resume)


def _read_taught_datasets(config: EmbedderTrainingConfig) -> tuple[CropBatchDataset, ReIDDataset]:
    """Reads the training crops, of which some or all have no known identity, and the validation crops."""
    if config.tracklets:
        raise InputError("teachers are not for tracklets: leave tracklets out")
    if config.unlabeled:
        crops, val_set = _read_datasets(config)
        return MixedBatchDataset(crops, _read_unlabeled(config.unlabeled, config), config), val_set
    if config.losses:
        raise InputError("losses are for known identities, in train: give the crops without as unlabeled")
    crops = _read_unlabeled(config.train, config)
    if not config.val:
        log.warning("no validation: give val, crops of known identities")
    val_set = _read_val_set(config) if config.val else crops.select(np.zeros(0, np.int64))
    return ShuffledBatchDataset(crops, config, config.identities_per_batch * config.crops_per_identity), val_set


def _read_unlabeled(source: str, config: EmbedderTrainingConfig) -> ReIDDataset:
    path = Path(source)
    return read_object_crops(path, config.categories) if path.is_file() else read_reid_dataset([path])


def _read_val_set(config: EmbedderTrainingConfig) -> ReIDDataset:
    val_set = read_reid_dataset([Path(path) for path in config.val])
    if not val_set.has_positives().any() or len(val_set.identities) < 2:
        raise InputError(
            f"{', '.join(config.val)} has no query with a match: at least two identities are needed, and one of "
            "them in two images, by different cameras where these are known"
        )
    return val_set


def _read_datasets(config: EmbedderTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    """Reads the training and the validation crops; no identity is in both."""
    if not config.train:
        raise InputError("training needs crops: give train")
    crops = read_reid_dataset([Path(config.train)])
    if len(crops.identities) < 2:
        raise InputError(f"{config.train} has crops of one identity only: give at least two")
    if config.val:
        return crops, _read_val_set(config)
    return _split(crops, config)


def _split(crops: ReIDDataset, config: EmbedderTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    num_queries = int(crops.has_positives().sum())
    enough = num_queries >= MIN_IDENTITIES_TO_SPLIT and round(config.val_fraction * num_queries) >= 2
    train_set, val_set = split_by_identity(crops, config.val_fraction if enough else 0.0, config.seed)
    if enough:
        names = ", ".join(val_set.identities[:20]) + (", ..." if len(val_set.identities) > 20 else "")
        log.warning(
            "%d of %d identities in %s are held out for validation: %s",
            *(len(val_set.identities), len(crops.identities), config.train, names),
        )
    else:
        log.warning(
            "no validation: %d identities in %s have several images, and none is held out with val_fraction %g",
            *(num_queries, config.train, config.val_fraction),
        )
    return train_set, val_set


class _EmbedderModule(CropModule):
    """Validates embeddings by retrieval."""

    KIND = "embedder"
    METRICS = ("mAP", "rank-1", "mINP")

    def __init__(self, config: EmbedderTrainingConfig, train_set: CropBatchDataset, val_set: ReIDDataset) -> None:
        """Takes the settings and the training and validation data."""
        info = model_info(config, "embedding", config.categories, config.size)
        super().__init__(build_initial_model(config), config, info, train_set, val_set)

    def forward_eval(self, images: Tensor) -> Tensor:
        return self.model(images)  # type: ignore[no-any-return]

    def compute_metrics(self, outputs: NDArray[np.float32]) -> Mapping[str, float]:
        metrics = evaluate_embeddings(outputs, self.val_set).metrics
        self.info = self.info.model_copy(update={"max_distance": metrics["max distance"]})
        return metrics

    def write_report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        with torch_embedder(self.model, self.info, device) as embedder:
            embeddings = embed_crops(embedder, self.val_set)
        return write_report(folder, embeddings, self.val_set).metrics


class EmbedderModule(_EmbedderModule):
    """Trains embeddings by metric learning."""

    def __init__(self, config: EmbedderTrainingConfig, train_set: IdentityBatchDataset, val_set: ReIDDataset) -> None:
        """Takes the settings and the training and validation data."""
        super().__init__(config, train_set, val_set)
        self.criterion = EmbedderLosses(config, self.model.dimension, len(train_set.crops.identities))

    def compute_losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        before_neck = self.model.forward_features(images)
        features = self.model.neck(before_neck)
        return self.criterion(before_neck, features, ids), {"batch_rank1": _batch_rank1(features.detach(), ids)}


class TaughtEmbedderModule(_EmbedderModule):
    """Trains embeddings that agree with those of teachers, and that distinguish those identities that are known."""

    def __init__(self, config: EmbedderTrainingConfig, train_set: CropBatchDataset, val_set: ReIDDataset) -> None:
        """Takes the settings and the training and validation data."""
        super().__init__(config, train_set, val_set)
        mixed = isinstance(train_set, MixedBatchDataset)
        unlabeled = np.flatnonzero(train_set.crops.ids < 0) if mixed else np.arange(len(train_set.crops))
        crops = CropValDataset(train_set.crops, config.size)
        rows = np.random.default_rng(config.seed % 2**32).permutation(unlabeled)[:MOST_EXAMPLES].tolist()
        examples = torch.stack([crops[row][1] for row in rows]).float()
        self.teacher_loss = TeacherLoss(config.teachers, examples, self.model.dimension)
        count = len(train_set.crops.identities)
        self.criterion = EmbedderLosses(config, self.model.dimension, count) if mixed else None

    def compute_losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        known = int((ids >= 0).sum()) if self.criterion else 0  # they come first
        targets = self.teacher_loss.targets(images[known:])
        before_neck = self.model.forward_features(images)
        features = self.model.neck(before_neck)
        embeddings = F.normalize(features[known:].float(), dim=1)
        losses = {"teacher": self.teacher_loss(embeddings, targets)}
        if self.criterion:
            losses |= self.criterion(before_neck[:known], features[:known], ids[:known])
        return losses, {"teacher_cosine": (embeddings.detach() * targets).sum(1).mean()}


def _batch_rank1(features: Tensor, ids: Tensor) -> Tensor:
    """Returns the fraction of a batch's crops whose nearest other crop shows the same identity."""
    unit = F.normalize(features.float(), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
    return (ids[nearest] == ids).float().mean()
