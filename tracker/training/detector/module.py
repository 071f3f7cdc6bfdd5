"""A detector as Lightning trains it."""

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
from tracker.models.detection import Detector, backbone_stages
from tracker.models.model_file import HEADER, ModelInfo
from tracker.structures.types import Detections
from tracker.training.detector.data import Batch
from tracker.training.detector.phases import PARTS, TrainingStage, compute_losses
from tracker.training.trainer import all_gather, with_warmup


class DetectorModule(L.LightningModule):
    """One phase of a detector's training: losses, scoring, and which parts learn how fast."""

    def __init__(
        self,
        model: nn.Module,
        earlier: Sequence[nn.Module],
        phase: TrainingStage,
        config: DetectorTrainingConfig,
        info: ModelInfo,
        names: Sequence[str],
        scored: ImageSet,
    ) -> None:
        """Takes a network and what it shall learn from.

        Args:
            model: The network, in torchvision's detection form.
            earlier: The network on whose proposals this one learns, where that is not itself.
            phase: What learns.
            config: How.
            info: What the network is.
            names: Of the training pictures, by their number.
            scored: The pictures that are scored.
        """
        super().__init__()
        self.model: Any = model
        self.earlier = nn.ModuleList(earlier).requires_grad_(False)
        self.phase = phase
        self.config = config
        self.info = info
        self.names = names
        self.scored = scored
        self.found: dict[int, Detections] = {}
        # Parts that learn later than others are left out by their gradients (`on_before_optimizer_step`), because DDP
        # has to know all parts that will ever learn from the beginning.
        model.requires_grad_(True)
        for part in [*self._fixed_parts(), *([] if config.unfreeze_every else self.frozen_stages())]:
            part.requires_grad_(False)

    def _fixed_parts(self) -> list[nn.Module]:
        return [getattr(self.model, name) for name in PARTS if name in self.phase.fixed]

    def frozen_stages(self) -> list[nn.Module]:
        """The stages of the trunk that do not learn now."""
        every = self.config.unfreeze_every
        thawed = self.trainer.global_step // every if every and self._trainer else 0
        return backbone_stages(self.model)[: max(0, self.config.freeze - thawed)]

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, targets = batch
        self._set_modes()
        # Random numbers of this step's own: the same ones after a resume.
        torch.manual_seed(self.config.seed + (index * self.trainer.world_size + self.global_rank) * 2**20)
        proposal_network = self.earlier[0] if len(self.earlier) else self.model
        losses = compute_losses(
            self.phase, self.model, proposal_network, [image.float() for image in images], list(targets)
        )
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        if not torch.isfinite(total):
            raise self._not_finite(losses, targets)
        self.log_dict({**losses, "loss": total}, prog_bar=True, batch_size=len(images))
        return total

    def _set_modes(self) -> None:
        """Batch norms of what does not learn keep their statistics; RPNs make as many proposals as in training."""
        self.model.train()
        self.earlier.eval()
        still = [*self.frozen_stages(), *([self.model.backbone] if "backbone" in self.phase.fixed else [])]
        for part in still:
            part.eval()
        for network in self.earlier:
            network.get_submodule("rpn").train()

    def _not_finite(self, losses: dict[str, Tensor], targets: list[dict[str, Tensor]]) -> InputError:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        numbers = dict.fromkeys(int(number) for target in targets for number in target["sources"])
        pictures = ", ".join(self.names[number] for number in numbers)
        return InputError(
            f"the loss of step {self.global_step} is not finite ({parts}) on {pictures}: lower learning_rate or clip, "
            "train with another precision, or look at these pictures"
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        for stage in self.frozen_stages():
            for parameter in stage.parameters():
                parameter.grad = None

    def validation_step(self, batch: list[tuple[int, NDArray[np.uint8]]], index: int) -> None:
        with Detector(self.model, self.info, self.device) as detector:
            found = detector.detect([image for _, image in batch])
        self.found |= {number: detections for (number, _), detections in zip(batch, found, strict=True)}

    def on_validation_epoch_end(self) -> None:
        found = all_gather(self.trainer, self.found)
        self.found = {}
        pairs = [(found[number], self.scored.pictures[number]) for number in sorted(found)]
        figures = average_precision(pairs, self.info.categories)
        self.log_dict(figures, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[HEADER] = self.info.model_dump_json()
        checkpoint["phase"] = self.phase.name

    def configure_optimizers(self) -> Any:
        config, steps = self.config, self.phase.steps
        if config.optimizer == "sgd":
            optimizer: Optimizer = SGD(self._groups(), momentum=config.momentum, weight_decay=config.weight_decay)
        else:
            optimizer = AdamW(self._groups(), weight_decay=config.weight_decay)
        warmup = max(1, min(config.warmup_steps, steps // 4))
        if config.schedule == "cosine":
            return with_warmup(optimizer, warmup, CosineAnnealingLR(optimizer, max(1, steps - warmup)))
        falls = [max(0, round(share * steps) - warmup) for share in config.milestones]
        return with_warmup(optimizer, warmup, MultiStepLR(optimizer, falls, config.gamma))

    def _groups(self) -> list[dict[str, Any]]:
        """The parameters that learn, by their learning rate: the trunk, what judges regions or places, the rest."""
        head = getattr(self.model, "roi_heads", None) or self.model.head
        rates = {id(p): self.config.head_learning_rate for p in head.parameters()}
        rates |= {
            id(p): self.config.trunk_learning_rate for stage in backbone_stages(self.model) for p in stage.parameters()
        }
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.setdefault(rates.get(id(parameter), 1.0), []).append(parameter)
        return [{"params": members, "lr": self.config.learning_rate * rate} for rate, members in groups.items()]
