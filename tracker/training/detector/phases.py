"""In which order the parts of a Faster R-CNN learn, and from what."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.config import DetectorTrainingConfig
from tracker.errors import InputError

Targets = list[dict[str, Tensor]]
PARTS = ("backbone", "rpn", "roi_heads")


@dataclass(frozen=True)
class TrainingStage:
    """A part of a training with an optimiser and a schedule of its own.

    Attributes:
        name: For logs and checkpoints.
        steps: Optimiser steps.
        fixed: Names of the network's parts that do not learn.
        afresh: Whether trunk and RoI heads start again from the starting weights, on the proposals of a copy of the
            network as the last phase left it.
    """

    name: str
    steps: int
    fixed: tuple[str, ...] = ()
    reinitialize: bool = False


def phases_of(config: DetectorTrainingConfig) -> list[TrainingStage]:
    """What a recipe consists of.

    joint: all losses at once; the proposals' boxes are taken as given. four_step: the RPN; the RoI heads on a trunk of
    their own; the RPN again on that trunk, which is fixed now; the RoI heads again on it.

    Source: Ren et al. 2015, arXiv 1506.01497, section 3.2.

    Raises:
        InputError: There are fewer steps than phases.
    """
    if config.recipe == "joint":
        return [TrainingStage("joint", config.steps)]
    if config.steps < len(config.step_shares):
        raise InputError(f"four-step training needs four steps at least, not {config.steps}")
    ends = [round(config.steps * share / sum(config.step_shares)) for share in accumulate(config.step_shares)]
    first, second, third, fourth = (max(1, end - start) for start, end in pairwise([0, *ends]))
    return [
        TrainingStage("1-rpn", first, fixed=("roi_heads",)),
        TrainingStage("2-roi-heads", second, fixed=("rpn",), reinitialize=True),
        TrainingStage("3-rpn", third, fixed=("backbone", "roi_heads")),
        TrainingStage("4-roi-heads", fourth, fixed=("backbone", "rpn")),
    ]


def check_recipe(model: nn.Module, config: DetectorTrainingConfig) -> None:
    """Raises InputError where a network is not made of the parts that the recipe trains one by one."""
    if config.recipe == "four_step" and not isinstance(model, GeneralizedRCNN):
        raise InputError(f"four-step training is for R-CNNs: train {config.network.architecture} with the recipe joint")


def compute_losses(
    phase: TrainingStage, model: nn.Module, proposal_network: nn.Module, images: list[Tensor], targets: Targets
) -> dict[str, Tensor]:
    """The losses of the parts that learn.

    Args:
        phase: Says which.
        model: The network that learns.
        proposal_network: The network on whose proposals RoI heads learn alone; it may be the same.
        images: float32 (3, H, W) RGB from 0 to 255.
        targets: See `tracker.detection.partial`.
    """
    if not phase.fixed:
        return model(images, targets)  # type: ignore[no-any-return]
    return _losses_of_parts(phase, model, proposal_network, images, targets)


def _losses_of_parts(
    phase: TrainingStage,
    model: GeneralizedRCNN,
    proposal_network: GeneralizedRCNN,
    images: list[Tensor],
    targets: Targets,
) -> dict[str, Tensor]:
    batch, targets = model.transform(images, targets)
    features = model.backbone(batch.tensors)
    if "rpn" not in phase.fixed:
        return model.rpn(batch, features, targets)[1]  # type: ignore[no-any-return]
    with torch.no_grad():
        seen = features if proposal_network is model else proposal_network.backbone(batch.tensors)
        proposals, _ = proposal_network.rpn(batch, seen, targets)
    return model.roi_heads(features, proposals, batch.image_sizes, targets)[1]  # type: ignore[no-any-return]
