"""Trains an embedder: a LightningModule, and `train_embedder`, which reads the crops and runs it."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tracker.appearance import build_embedder, read_network
from tracker.appearance.network import AppearanceNetwork
from tracker.config import EmbedderTraining
from tracker.data import Crops, read_crops
from tracker.errors import InputError
from tracker.evaluation.reid import Retrieval, ranks
from tracker.networks import load_imagenet_trunk, load_pickled
from tracker.training.crops import IndividualBatches, load_images
from tracker.training.fitting import (
    StepsToCome,
    checkpoint_and_watch,
    checkpoint_to_resume,
    fit,
    loggers,
    moving_average,
    warmed_up,
)
from tracker.weights import ModelInfo, save_model

log = logging.getLogger(__name__)
Batch = tuple[Tensor, Tensor]
CHECKPOINT_EVERY = 100  # steps
SHARPNESS = 16.0  # factor on cosine similarities before the softmax. Source: Wang et al. 2017, arXiv 1704.06369


class EmbedderModule(L.LightningModule):
    """Classification of the individuals by cosine, and the batch-hard triplet loss, on the same unit embedding."""

    def __init__(self, config: EmbedderTraining, crops: Crops, scored: Crops | None) -> None:
        super().__init__()
        self.config = config
        self.crops = crops
        self.scored = scored
        self.model = build_embedder(config.network, config.size)
        self.trunk: Any = self.model.get_submodule("body.trunk")
        self.stem: Any = self.trunk.first_conv
        if config.start_from:  # The first convolution is costly to train, and its ImageNet weights hardly change.
            self.stem.requires_grad_(False)
        self.classes = nn.Parameter(torch.randn(len(crops.individuals), self.model.dimension))
        self.embeddings: list[Tensor] = []

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches that are still to come: after a resume, those from the checkpoint's step on."""
        batches = IndividualBatches(self.crops, load_images(self.crops, self.config.size), self.config)
        rest = StepsToCome(self.trainer, self.config.steps)
        return DataLoader(batches, batch_size=None, sampler=rest, num_workers=self.config.workers)

    def val_dataloader(self) -> list[DataLoader[Tensor]]:
        if self.scored is None:
            return []
        return [DataLoader(load_images(self.scored, self.config.size), batch_size=64)]  # type: ignore[arg-type]

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, ids = batch
        if self.config.start_from:
            self.stem.eval()
        embeddings = self.model(images.contiguous(memory_format=torch.channels_last))
        cosine = embeddings @ F.normalize(self.classes, dim=1).T
        classification = F.cross_entropy(SHARPNESS * cosine, ids, label_smoothing=self.config.label_smoothing)
        triplet = batch_hard_triplet(embeddings, ids, self.config.margin)
        total = classification + triplet
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss of step {self.global_step} is not finite")
        accuracy = (cosine.argmax(1) == ids).float().mean()
        self.log_dict(
            {"loss": total, "classification": classification, "triplet": triplet, "accuracy": accuracy},
            prog_bar=True,
            batch_size=len(ids),
        )
        return total

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.embeddings.append(self.model(batch.float()).cpu())

    def on_validation_epoch_end(self) -> None:
        if self.scored is not None:
            figures = score(torch.cat(self.embeddings).numpy(), self.scored)
            self.log_dict({"rank-1": float(figures.cmc[0]), "mAP": figures.mean_ap})
        self.embeddings = []

    def configure_optimizers(self) -> Any:
        config = self.config
        trunk = list(self.trunk.parameters())
        inside = {id(p) for p in trunk}
        rest = [p for p in self.parameters() if id(p) not in inside]
        groups = [
            {"params": [p for p in trunk if p.requires_grad], "lr": config.learning_rate * config.trunk_learning_rate},
            {"params": rest, "lr": config.learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.steps - config.warmup_steps))
        return warmed_up(optimizer, config.warmup_steps, cosine)


def batch_hard_triplet(embeddings: Tensor, ids: Tensor, margin: float) -> Tensor:
    """Mean over the batch of how much nearer than `margin` the nearest other is, compared with the farthest same.

    Source: Hermans et al. 2017, arXiv 1703.07737, equation 5, with cosine distance.

    Args:
        embeddings: (B, D) unit rows.
        ids: (B,) individuals, at least two different ones.
        margin: Cosine distance.
    """
    distance = 1 - embeddings @ embeddings.T
    same = ids[:, None] == ids[None]
    farthest_same = distance.masked_fill(~same, -1).max(1).values
    nearest_other = distance.masked_fill(same, 3).min(1).values
    return F.relu(margin + farthest_same - nearest_other).mean()


def score(embeddings: NDArray[np.float32], crops: Crops) -> Retrieval:
    """Each crop looks for its like among all crops of the other cameras."""
    rows = (embeddings, crops.ids, crops.cameras)
    return ranks(*rows, *rows, same_file=np.eye(len(embeddings), dtype=bool))


def train_embedder(config: EmbedderTraining, resume: bool = False) -> Path:
    """Trains an embedder of the built-in architecture.

    Args:
        config: What to train on, how, and where to put it.
        resume: Go on from the last checkpoint in `config.folder`, to the same result.

    Returns:
        The finished model: a .safetensors file that `load_embedder` takes; beside it are the checkpoints and logs.

    Raises:
        InputError: The crops, the starting weights or the checkpoint cannot be used.
    """
    crops = read_crops([Path(config.train)])
    if len(crops.individuals) < 2:
        raise InputError(f"{config.train} shows one individual only: there is nothing to tell apart, give at least two")
    scored = read_crops([Path(f) for f in config.val]) if config.val else None
    L.seed_everything(config.seed, workers=True)
    module = EmbedderModule(config, crops, scored)
    if config.start_from:
        _start(module.model, Path(config.start_from))
    folder = Path(config.folder)
    checkpoint = [checkpoint_to_resume(folder)] if resume else []
    fit(_trainer(config, folder), module, None, *checkpoint)
    return _save(module, config, folder / "model.safetensors")


def _save(module: EmbedderModule, config: EmbedderTraining, path: Path) -> Path:
    info = ModelInfo(
        task="embedding",
        architecture="builtin",
        categories=config.categories,
        size=config.size,
        license=config.license,
        provenance=config.provenance,
        network=config.network.model_dump(mode="json"),
    )
    save_model(path, {key: value.cpu().numpy() for key, value in module.model.state_dict().items()}, info)
    log.info("the finished model is %s", path)
    return path


def _start(network: AppearanceNetwork, path: Path) -> None:
    if path.suffix == ".safetensors":
        network.load_state_dict(read_network(path, "embedding")[0].state_dict())
        return
    try:
        load_imagenet_trunk(network.get_submodule("body.trunk"), dict(load_pickled(path)))  # type: ignore[arg-type]
    except (RuntimeError, KeyError):
        raise InputError(f"{path} does not hold trunk weights: give its .pth or a .safetensors of ours") from None


def _trainer(config: EmbedderTraining, folder: Path) -> L.Trainer:
    return L.Trainer(
        max_steps=config.steps,
        precision=config.precision,
        val_check_interval=min(config.validate_every, config.steps),
        num_sanity_val_steps=0,
        default_root_dir=folder,
        logger=loggers(folder),
        log_every_n_steps=20,
        callbacks=[*moving_average(config.ema), *checkpoint_and_watch(folder, CHECKPOINT_EVERY)],
    )
