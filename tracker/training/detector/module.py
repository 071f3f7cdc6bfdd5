"""The Lightning module of a detector's training."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from tracker.config import DetectorTrainingConfig
from tracker.data import ImageSet
from tracker.errors import InputError
from tracker.evaluation.detection import average_precision
from tracker.models.detection import TorchDetector, added_parts, backbone_stages
from tracker.models.model_file import METADATA_KEY, ModelInfo
from tracker.structures.types import Detections
from tracker.training.detector.data import Batch
from tracker.training.detector.training_stages import PARTS, TrainingStage, compute_losses
from tracker.training.trainer import all_gather, with_warmup


class DetectorModule(L.LightningModule):
    """A stage of a detector's training: losses, validation, frozen parts and learning rates."""

    def __init__(
        self,
        model: nn.Module,
        proposal_network: nn.Module | None,
        stage: TrainingStage,
        config: DetectorTrainingConfig,
        info: ModelInfo,
        image_names: Sequence[str],
        val_set: ImageSet,
    ) -> None:
        """Takes a network with the interface of torchvision's detectors, and its training data.

        `proposal_network` is another network that makes the proposals, None if `model` does; `image_names` are those of
        the training images by index.
        """
        super().__init__()
        self.model: Any = model
        self.proposal_network = None if proposal_network is None else proposal_network.requires_grad_(False)
        self.stage = stage
        self.config = config
        self.info = info
        self.image_names = image_names
        self.val_set = val_set
        self.predictions: dict[int, Detections] = {}
        # Stages that are unfrozen later keep requires_grad, because DDP has to know all parameters from the beginning;
        # `on_before_optimizer_step` removes their gradients.
        model.requires_grad_(True)
        always_frozen = [getattr(model, name) for name in PARTS if name in stage.frozen]
        for part in [*always_frozen, *([] if config.unfreeze_every else self.frozen_backbone_stages())]:
            part.requires_grad_(False)
        if config.network.added_classes:
            model.requires_grad_(False)
            for part in added_parts(model):
                part.requires_grad_(True)

    def frozen_backbone_stages(self) -> list[nn.Module]:
        """Returns the stages of the backbone that are frozen at the current step."""
        every = self.config.unfreeze_every
        unfrozen = self.trainer.global_step // every if every and self._trainer else 0
        return backbone_stages(self.model)[: max(0, self.config.frozen_stages - unfrozen)]

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, targets = batch
        self._set_modes()
        # A seed for each step, so that a resumed training has the same random numbers.
        torch.manual_seed(self.config.seed + (index * self.trainer.world_size + self.global_rank) * 2**20)
        proposal_network = self.model if self.proposal_network is None else self.proposal_network
        losses = compute_losses(self.stage, self.model, proposal_network, [i.float() for i in images], list(targets))
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        if not torch.isfinite(total):
            raise self._not_finite(losses, targets)
        self.log_dict({**losses, "loss": total}, prog_bar=True, batch_size=len(images))
        return total

    def _set_modes(self) -> None:
        """Sets training mode. Frozen batch norms keep their statistics; RPNs make as many proposals as in training."""
        self.model.train()
        frozen_backbone = [self.model.backbone] if "backbone" in self.stage.frozen else []
        for part in [*self.frozen_backbone_stages(), *frozen_backbone]:
            part.eval()
        if self.proposal_network is not None:
            self.proposal_network.eval()
            self.proposal_network.get_submodule("rpn").train()

    def _not_finite(self, losses: dict[str, Tensor], targets: list[dict[str, Tensor]]) -> InputError:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        indices = dict.fromkeys(int(index) for target in targets for index in target["sources"])
        images = ", ".join(self.image_names[index] for index in indices)
        return InputError(
            f"the loss of step {self.global_step} is not finite ({parts}) on {images}: lower learning_rate or "
            "clip_grad_norm, use another precision, or check these images"
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        for stage in self.frozen_backbone_stages():
            for parameter in stage.parameters():
                parameter.grad = None

    def validation_step(self, batch: list[tuple[int, NDArray[np.uint8]]], index: int) -> None:
        with TorchDetector(self.model, self.info, self.device) as detector:
            predictions = detector.detect([image for _, image in batch])
        self.predictions |= {image_id: each for (image_id, _), each in zip(batch, predictions, strict=True)}

    def on_validation_epoch_end(self) -> None:
        predictions = all_gather(self.trainer, self.predictions)
        self.predictions = {}
        pairs = [(predictions[index], self.val_set.images[index]) for index in sorted(predictions)]
        self.log_dict(average_precision(pairs, self.info.categories), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA_KEY] = self.info.model_dump_json()
        checkpoint["stage"] = self.stage.name

    def configure_optimizers(self) -> Any:
        config, steps, groups = self.config, self.stage.steps, self._parameter_groups()
        if config.optimizer == "sgd":
            optimizer: Optimizer = SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)
        else:
            optimizer = AdamW(groups, weight_decay=config.weight_decay)
        warmup = max(1, min(config.warmup_steps, steps // 4))
        if config.schedule == "cosine":
            return with_warmup(optimizer, warmup, CosineAnnealingLR(optimizer, max(1, steps - warmup)))
        milestones = [max(0, round(fraction * steps) - warmup) for fraction in config.milestones]
        return with_warmup(optimizer, warmup, MultiStepLR(optimizer, milestones, config.gamma))

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Returns the trained parameters grouped by learning rate: backbone, head, and the rest."""
        head, config = getattr(self.model, "roi_heads", None) or self.model.head, self.config
        factors = {id(p): config.head_lr_factor for p in head.parameters()}
        factors |= {id(p): config.backbone_lr_factor for s in backbone_stages(self.model) for p in s.parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
        return [{"params": group, "lr": config.learning_rate * factor} for factor, group in groups.items()]
