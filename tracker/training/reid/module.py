"""The Lightning module of trainings on crops, for any losses and metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tracker.config import CropTrainingConfig
from tracker.data import ReIDDataset
from tracker.errors import InputError
from tracker.models.model_file import METADATA_KEY, ModelInfo
from tracker.models.reid.network import AppearanceNetwork
from tracker.training.reid.data import CropBatchDataset
from tracker.training.reid.pretrained import backbone, backbone_stages
from tracker.training.trainer import all_gather, with_warmup


class CropModule(L.LightningModule):
    """Training and validation steps, frozen stages and learning rates; subclasses define losses and metrics."""

    KIND: ClassVar[str]  # "embedder" or "classifier"
    METRICS: ClassVar[tuple[str, ...]]
    """Metrics that are plotted over the steps; the best model is the one with the highest first metric."""

    def __init__(
        self,
        model: AppearanceNetwork,
        config: CropTrainingConfig,
        info: ModelInfo,
        train_set: CropBatchDataset,
        val_set: ReIDDataset,
    ) -> None:
        """Takes a network, the settings, the network's description, and the training and validation data."""
        super().__init__()
        self.model = model
        self.config = config
        self.info = info
        self.train_set = train_set
        self.val_set = val_set
        self.outputs: dict[int, NDArray[np.float32]] = {}
        self.frozen_stages = backbone_stages(model)[: config.frozen_stages]
        for stage in self.frozen_stages:
            stage.requires_grad_(False)

    def compute_losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Computes the losses of a batch, which are summed, and other values to log."""
        raise NotImplementedError

    def forward_eval(self, images: Tensor) -> Tensor:
        """Computes the outputs (B, K) that validation needs of crops (B, 3, H, W)."""
        raise NotImplementedError

    def compute_metrics(self, outputs: NDArray[np.float32]) -> Mapping[str, float]:
        """Computes `METRICS`, and more, from the outputs (N, K) of all validation crops."""
        raise NotImplementedError

    def write_report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        """Evaluates the finished network on a device, writes a report into a folder, and returns the metrics."""
        raise NotImplementedError

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, ids = batch
        self.model.train()
        for stage in self.frozen_stages:
            stage.eval()
        batch_index = index * self.trainer.world_size + self.global_rank
        torch.manual_seed(self.config.seed + batch_index * 2**20)  # for each batch, so that a resume changes nothing
        losses, values = self.compute_losses(images.contiguous(memory_format=torch.channels_last), ids)
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        if not torch.isfinite(total):
            raise self._not_finite(losses, batch_index)
        named_losses = {f"loss_{name}": value for name, value in losses.items()}
        self.log_dict({**named_losses, "loss": total, **values}, prog_bar=True, batch_size=len(ids))
        return total

    def _not_finite(self, losses: Mapping[str, Tensor], batch_index: int) -> InputError:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        crops = self.train_set.crops
        files = dict.fromkeys(crops.files[index].name for index in self.train_set.sample_batch(batch_index))
        return InputError(
            f"the loss of step {self.global_step} is not finite ({parts}) on {', '.join(files)}: lower learning_rate "
            "or clip_grad_norm, use another precision, or check these crops"
        )

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        indices, images = batch
        outputs = self.forward_eval(images.float().contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
        self.outputs |= dict(zip(indices.tolist(), outputs, strict=True))

    def on_validation_epoch_end(self) -> None:
        outputs = all_gather(self.trainer, self.outputs)
        self.outputs = {}
        metrics = self.compute_metrics(np.stack([outputs[index] for index in sorted(outputs)]))
        self.log_dict(dict(metrics), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA_KEY] = self.info.model_dump_json()

    def configure_optimizers(self) -> Any:
        config = self.config
        in_backbone = {id(parameter) for parameter in backbone(self.model).parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad:
                factor = config.backbone_lr_factor if id(parameter) in in_backbone else 1.0
                groups.setdefault(factor, []).append(parameter)
        parameter_groups = [{"params": group, "lr": config.learning_rate * factor} for factor, group in groups.items()]
        optimizer = AdamW(parameter_groups, weight_decay=config.weight_decay)
        warmup = max(1, min(config.warmup_steps, config.steps // 4))
        return with_warmup(optimizer, warmup, CosineAnnealingLR(optimizer, max(1, config.steps - warmup)))
