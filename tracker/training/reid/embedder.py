"""Trains an embedder: `train_embedder` reads the crops of known individuals and goes through the training."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tracker.config import EmbedderTrainingConfig
from tracker.data import ReIDDataset, read_crops, split_by_individual
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, measured, write_report
from tracker.models.model_file import ModelInfo
from tracker.models.reid import Embedder
from tracker.training.reid.data import IndividualBatches
from tracker.training.reid.losses import IndividualLosses
from tracker.training.reid.module import CropModule
from tracker.training.reid.tracklet_sampler import SimultaneousTracklets
from tracker.training.reid.train import new_network, train_on_crops, with_size

log = logging.getLogger(__name__)
FEWEST_TO_SPLIT = 5  # individuals seen several times, of whom some can be spared for scoring


def train_embedder(config: EmbedderTrainingConfig, resume: bool = False) -> Path:
    """Trains an embedder.

    In `config.folder` are left: best.ckpt and last.ckpt; model.safetensors, the best model, which says at which
    distance two crops are as likely of one individual as of two; card.md, which describes it; config.yaml; curves.png;
    all figures of the training in log/ and, for TensorBoard, tensorboard/; and in report/ how good the model is.

    Args:
        config: What to train on, how, and where to put it.
        resume: Go on from the last checkpoint in `config.folder`, to the same result.

    Returns:
        The finished model: a .safetensors file that `load_embedder` takes.

    Raises:
        InputError: The crops, the network, the starting weights, the checkpoint or Lightning's settings cannot be used;
            memory does not suffice; a loss is not finite.
    """
    config = with_size(config)
    crops, scored = _read(config)
    batches = (SimultaneousTracklets if config.tracklets else IndividualBatches)(crops, config)
    return train_on_crops(EmbedderModule(config, batches, scored), resume)


def _read(config: EmbedderTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    """The crops that are learned from, and those that are scored: no individual is in both."""
    if not config.train:
        raise InputError("training needs crops to learn from: give train")
    crops = read_crops([Path(config.train)])
    if len(crops.identities) < 2:
        raise InputError(f"{config.train} shows one individual only: there is nothing to tell apart, give at least two")
    if config.val:
        scored = read_crops([Path(path) for path in config.val])
        if not scored.seen_again().any() or len(scored.identities) < 2:
            raise InputError(
                f"nobody in {', '.join(config.val)} can be looked for: at least two individuals are needed, and one of "
                "them in two pictures, by different cameras where these are known"
            )
        return crops, scored
    return _split(crops, config)


def _split(crops: ReIDDataset, config: EmbedderTrainingConfig) -> tuple[ReIDDataset, ReIDDataset]:
    again = int(crops.seen_again().sum())
    spared = again >= FEWEST_TO_SPLIT and round(config.val_share * again) >= 2
    learned, scored = split_by_individual(crops, config.val_share if spared else 0.0, config.seed)
    if spared:
        names = ", ".join(scored.identities[:20]) + (", ..." if len(scored.identities) > 20 else "")
        log.warning(
            "%d of %d individuals in %s are not learned from but scored: %s",
            *(len(scored.identities), len(crops.identities), config.train, names),
        )
    else:
        log.warning(
            "nothing is scored: %d individuals in %s were seen several times, and none is left out for val_share %g",
            *(again, config.train, config.val_share),
        )
    return learned, scored


class EmbedderModule(CropModule):
    """Individuals are told apart by the directions of their crops' features."""

    KIND = "embedder"
    SCORES = ("mAP", "rank-1", "mINP")

    def __init__(self, config: EmbedderTrainingConfig, batches: IndividualBatches, scored: ReIDDataset) -> None:
        """Takes how it shall learn, and what from, and what is scored.

        Raises:
            InputError: The network, its starting weights or the losses cannot be used.
        """
        model = new_network(config)
        super().__init__(model, config, _info(config), batches, scored)
        self.parts = IndividualLosses(config, model.dimension, len(batches.crops.identities))

    def losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        projected = self.model.projected(images)
        features = self.model.neck(projected)
        return self.parts(projected, features, ids), {"nearest_is_same": _nearest_is_same(features.detach(), ids)}

    def answer(self, images: Tensor) -> Tensor:
        return self.model(images)  # type: ignore[no-any-return]

    def score(self, answers: NDArray[np.float32]) -> Mapping[str, float]:
        likeness = measured(answers, self.scored)
        self.info = self.info.model_copy(update={"max_distance": likeness.figures["max distance"]})
        return likeness.figures

    def report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        with Embedder(self.model, self.info, device) as embedder:
            embeddings = embed_crops(embedder, self.scored)
        return write_report(folder, embeddings, self.scored).figures


def _info(config: EmbedderTrainingConfig) -> ModelInfo:
    return ModelInfo(
        task="embedding",
        architecture=config.network.architecture,
        categories=config.categories,
        size=config.size,
        license=config.license,
        provenance=config.provenance,
        network=config.network.model_dump(mode="json"),
    )


def _nearest_is_same(features: Tensor, ids: Tensor) -> Tensor:
    """Share of a batch's crops whose most similar other one shows the same individual."""
    unit = F.normalize(features.float(), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
    return (ids[nearest] == ids).float().mean()
