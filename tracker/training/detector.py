"""Trains a detector: a LightningModule, and `train_detector`, which reads the pictures and runs it."""

import logging
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tracker.config import DetectorTraining
from tracker.detection.builtin import build_builtin
from tracker.detection.detector import Detector
from tracker.errors import InputError
from tracker.evaluation.detection import Truth, average_precision
from tracker.networks import load_imagenet_trunk
from tracker.training.pictures import Picture, ScoredPictures, TrainingPictures, read_coco
from tracker.types import Detections
from tracker.weights import ModelInfo, load_model, save_model

log = logging.getLogger(__name__)
CHECKPOINT_EVERY = 500  # steps
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class DetectorModule(L.LightningModule):
    """Approximate joint training of RPN and RoI heads. Source: Ren et al. 2015, arXiv 1506.01497, section 3.2."""

    def __init__(
        self, config: DetectorTraining, info: ModelInfo, pictures: list[Picture], scored: list[Picture]
    ) -> None:
        super().__init__()
        self.config = config
        self.info = info
        self.pictures = TrainingPictures(pictures, list(info.categories), config)
        self.scored = ScoredPictures(scored)
        self.truths = [truth_of(picture) for picture in scored]
        self.model = build_builtin(len(info.categories) + 1).to(memory_format=torch.channels_last)
        # The first convolution keeps its ImageNet weights: a third of a step's time for filters that hardly change.
        self._stem().requires_grad_(False)
        self.pairs: list[tuple[Detections, Truth]] = []

    def _stem(self) -> nn.Module:
        return self.model.backbone.body.first_conv  # type: ignore[no-any-return]

    def train_dataloader(self) -> DataLoader[Any]:
        """The pictures that are still to come: after a resume, those from the checkpoint's step on."""
        size, workers = self.config.batch_size, self.config.workers
        rest = range(self.global_step * size, self.config.steps * size)
        return DataLoader(self.pictures, size, sampler=rest, collate_fn=_collate, num_workers=workers)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.scored, self.config.batch_size, collate_fn=list, num_workers=self.config.workers)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, targets = batch
        self._stem().eval()
        losses = self.model([image.float() for image in images], list(targets))
        total: Tensor = sum(losses.values())
        if not torch.isfinite(total):
            parts = ", ".join(f"{name} {float(value):g}" for name, value in losses.items())
            raise FloatingPointError(f"the loss of step {self.global_step} is not finite: {parts}")
        self.log_dict({**losses, "loss": total}, prog_bar=True, batch_size=len(images))
        return total

    def validation_step(self, batch: list[tuple[int, NDArray[np.uint8]]], index: int) -> None:
        with Detector(self.model, self.info, self.device) as detector:
            found = detector.detect([image for _, image in batch])
        self.pairs += [(f, self.truths[number]) for f, (number, _) in zip(found, batch, strict=True)]

    def on_validation_epoch_end(self) -> None:
        figures = average_precision(self.pairs, list(self.info.categories))
        self.pairs = []
        self.log_dict(figures)

    def configure_optimizers(self) -> Any:
        config = self.config
        trunk = list(self.model.backbone.body.parameters())
        inside = {id(p) for p in trunk}
        rest = [p for p in self.parameters() if id(p) not in inside]
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in trunk if p.requires_grad],
                    "lr": config.learning_rate * config.trunk_learning_rate,
                },
                {"params": rest, "lr": config.learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
        warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, 1.0, config.warmup_steps)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.steps - config.warmup_steps))
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [config.warmup_steps])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def truth_of(picture: Picture) -> Truth:
    """A picture's annotation with labels counted from 0, as detections have them."""
    return Truth(picture.boxes, picture.labels - 1, picture.ignore, tuple(n - 1 for n in picture.unlabelled))


def train_detector(config: DetectorTraining, resume: bool = False) -> Path:
    """Trains a detector of the built-in architecture.

    Args:
        config: What to train on, how, and where to put it.
        resume: Go on from the last checkpoint in `config.folder`, to the same result.

    Returns:
        The finished model: a .safetensors file that `Detector` loads; beside it are the checkpoints and logs.

    Raises:
        InputError: The pictures, the starting weights or the checkpoint cannot be used.
    """
    pictures, categories = read_coco(Path(config.train))
    scored, scored_categories = read_coco(Path(config.val))
    if categories != scored_categories:
        raise InputError(f"{config.train} and {config.val} do not have the same categories")
    L.seed_everything(config.seed, workers=True)
    info = ModelInfo(
        task="detection",
        architecture="builtin",
        categories=tuple(categories),
        size=config.size,
        license=config.license,
        provenance=config.provenance,
    )
    module = DetectorModule(config, info, pictures, scored)
    if config.start_from:
        _start(module, Path(config.start_from))
    folder = Path(config.folder)
    last = folder / "last.ckpt"
    if resume and not last.is_file():
        raise InputError(f"there is nothing to resume: no checkpoint {last}")
    trainer = _trainer(config, folder)
    trainer.fit(module, ckpt_path=str(last) if resume else None)
    finished = folder / "model.safetensors"
    save_model(finished, {key: value.cpu().numpy() for key, value in module.model.state_dict().items()}, info)
    log.info("the finished model is %s", finished)
    return finished


def _start(module: DetectorModule, path: Path) -> None:
    if path.suffix == ".safetensors":
        state, info = load_model(path)
        if info.categories != module.info.categories:
            raise InputError(f"{path} knows other categories than the training pictures have")
        module.model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        return
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        load_imagenet_trunk(module.model.backbone.body, state)
    except OSError as error:
        raise InputError(f"cannot read the starting weights {path}: {error.strerror}") from None
    except (RuntimeError, KeyError, pickle.UnpicklingError):
        raise InputError(f"{path} does not hold ImageNet weights of the trunk") from None


def _trainer(config: DetectorTraining, folder: Path) -> L.Trainer:
    return L.Trainer(
        max_steps=config.steps,
        precision=config.precision,
        gradient_clip_val=config.clip,
        val_check_interval=min(config.validate_every, config.steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        logger=[CSVLogger(folder, "log", ""), TensorBoardLogger(folder, "tensorboard", "")],
        log_every_n_steps=20,
        callbacks=[
            EMAWeightAveraging(decay=config.ema, use_buffers=True),
            ModelCheckpoint(folder, "last", every_n_train_steps=CHECKPOINT_EVERY, enable_version_counter=False),
            LearningRateMonitor("step"),
        ],
    )


def _collate(items: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
    return [image for image, _ in items], [target for _, target in items]
