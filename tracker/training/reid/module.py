"""An appearance network as Lightning trains it, whatever its losses and scores are."""

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
from tracker.models.model_file import HEADER, ModelInfo
from tracker.models.reid.network import AppearanceNetwork
from tracker.training.reid.data import CropBatches
from tracker.training.reid.pretrained import backbone_stages, trunk
from tracker.training.trainer import all_gather, with_warmup


class CropModule(L.LightningModule):
    """Losses, scores, and which parts learn how fast; subclasses say which losses and scores.

    Attributes:
        KIND: What is trained, in a word.
        SCORES: The figures that are drawn over the steps; the first one says which model is best.
        model: The network.
        info: What it is.
        scored: The crops that are scored.
    """

    KIND: ClassVar[str]
    SCORES: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        model: AppearanceNetwork,
        config: CropTrainingConfig,
        info: ModelInfo,
        batches: CropBatches,
        scored: ReIDDataset,
    ) -> None:
        """Takes a network, how it shall learn, what it is, what it learns from, and what is scored."""
        super().__init__()
        self.model = model
        self.config = config
        self.info = info
        self.batches = batches
        self.scored = scored
        self.answers: dict[int, NDArray[np.float32]] = {}
        self.still = backbone_stages(model)[: config.freeze]
        for stage in self.still:
            stage.requires_grad_(False)

    def losses(self, images: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses of a batch, which are summed up, and other figures of it."""
        raise NotImplementedError

    def answer(self, images: Tensor) -> Tensor:
        """What is scored of crops, (B, 3, H, W) -> (B, K)."""
        raise NotImplementedError

    def score(self, answers: NDArray[np.float32]) -> Mapping[str, float]:
        """How good the answers on all scored crops are, `SCORES` and more."""
        raise NotImplementedError

    def report(self, folder: Path, device: torch.device) -> Mapping[str, float]:
        """Measures the finished network on a device, fills a folder with what there is to see, and gives figures."""
        raise NotImplementedError

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, ids = batch
        self.model.train()
        for stage in self.still:
            stage.eval()
        number = index * self.trainer.world_size + self.global_rank
        torch.manual_seed(self.config.seed + number * 2**20)  # this batch's own: the same after a resume
        losses, more = self.losses(images.contiguous(memory_format=torch.channels_last), ids)
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        if not torch.isfinite(total):
            raise self._not_finite(losses, number)
        named = {f"loss_{name}": value for name, value in losses.items()}
        self.log_dict({**named, "loss": total, **more}, prog_bar=True, batch_size=len(ids))
        return total

    def _not_finite(self, losses: Mapping[str, Tensor], number: int) -> InputError:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        files = dict.fromkeys(self.batches.crops.files[row].name for row in self.batches.drawn(number))
        return InputError(
            f"the loss of step {self.global_step} is not finite ({parts}) on {', '.join(files)}: lower learning_rate "
            "or clip, train with another precision, or look at these crops"
        )

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        rows, images = batch
        answers = self.answer(images.float().contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
        self.answers |= dict(zip(rows.tolist(), answers, strict=True))

    def on_validation_epoch_end(self) -> None:
        answers = all_gather(self.trainer, self.answers)
        self.answers = {}
        self.log_dict(dict(self.score(np.stack([answers[row] for row in sorted(answers)]))), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[HEADER] = self.info.model_dump_json()

    def configure_optimizers(self) -> Any:
        config = self.config
        slow = {id(parameter) for parameter in trunk(self.model).parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad:
                rate = config.trunk_learning_rate if id(parameter) in slow else 1.0
                groups.setdefault(rate, []).append(parameter)
        rates = [{"params": members, "lr": config.learning_rate * rate} for rate, members in groups.items()]
        optimizer = AdamW(rates, weight_decay=config.weight_decay)
        warmup = max(1, min(config.warmup_steps, config.steps // 4))
        return with_warmup(optimizer, warmup, CosineAnnealingLR(optimizer, max(1, config.steps - warmup)))
