"""Stages of a detector's training: joint training, or the four steps of Faster R-CNN's alternating training."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.config import DetectorTrainingConfig
from tracker.errors import InputError

Targets = list[dict[str, Tensor]]
PARTS = ("backbone", "rpn", "roi_heads")


@dataclass(frozen=True)
class TrainingStage:
    """A stage of a training, with an optimizer and a learning rate schedule of its own."""

    name: str  # in logs and checkpoints
    steps: int  # of the optimizer
    frozen: tuple[str, ...] = ()  # names of the network's parts that are not trained
    reinitialize: bool = False
    """True if backbone and RoI heads start again from the initial weights. The network of the previous stage then makes
    the proposals."""


def training_stages(config: DetectorTrainingConfig) -> list[TrainingStage]:
    """Returns the stages of a recipe.

    joint: all losses at once, without gradients through the boxes of the proposals. four_step: the RPN; the RoI heads
    on a backbone of their own; the RPN again on that backbone, now frozen; the RoI heads again on it.

    Source: Ren et al. 2015, arXiv 1506.01497, section 3.2.
    """
    if config.recipe == "joint":
        return [TrainingStage("joint", config.steps)]
    fractions = config.stage_fractions
    if config.steps < len(fractions):
        raise InputError(f"four-step training needs four steps at least, not {config.steps}")
    ends = [round(config.steps * fraction / sum(fractions)) for fraction in accumulate(fractions)]
    first, second, third, fourth = (max(1, end - start) for start, end in pairwise([0, *ends]))
    return [
        TrainingStage("1-rpn", first, frozen=("roi_heads",)),
        TrainingStage("2-roi-heads", second, frozen=("rpn",), reinitialize=True),
        TrainingStage("3-rpn", third, frozen=("backbone", "roi_heads")),
        TrainingStage("4-roi-heads", fourth, frozen=("backbone", "rpn")),
    ]


def check_recipe(model: nn.Module, config: DetectorTrainingConfig) -> None:
    """Raises InputError if the network does not have the parts that the recipe trains."""
    if config.recipe == "four_step" and not isinstance(model, GeneralizedRCNN):
        raise InputError(f"four-step training is for R-CNNs: train {config.network.architecture} with the recipe joint")


def compute_losses(
    stage: TrainingStage, model: Any, proposal_network: Any, images: list[Tensor], targets: Targets
) -> dict[str, Tensor]:
    """Computes the losses of the parts that a stage trains.

    Args:
        stage: The stage.
        model: The network in training, with the interface of torchvision's detectors.
        proposal_network: The network that makes the proposals when only the RoI heads are trained; may be `model`.
        images: float32 (3, H, W) RGB from 0 to 255.
        targets: See `tracker.models.detection.partial_labels`.
    """
    if not stage.frozen:
        return model(images, targets)  # type: ignore[no-any-return]
    batch, targets = model.transform(images, targets)
    features = model.backbone(batch.tensors)
    if "rpn" not in stage.frozen:
        return model.rpn(batch, features, targets)[1]  # type: ignore[no-any-return]
    with torch.no_grad():
        rpn_features = features if proposal_network is model else proposal_network.backbone(batch.tensors)
        proposals, _ = proposal_network.rpn(batch, rpn_features, targets)
    return model.roi_heads(features, proposals, batch.image_sizes, targets)[1]  # type: ignore[no-any-return]
