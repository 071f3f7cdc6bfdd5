"""What the trainings of all networks have in common."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import Sampler

from tracker.config import TrainingConfig
from tracker.errors import InputError

BEST, LAST = "best.ckpt", "last.ckpt"
LOG, TABLE = "log", "metrics.csv"  # Lightning's name of the table
T = TypeVar("T")


class BatchesToCome(Sampler[int]):
    """The numbers of this process's batches from now on; after a resume, from the checkpoint's step on.

    Batch k of process r of R has number k R + r: what is learned from in a step depends on devices x nodes x accumulate
    alone. It has no length: Lightning would take it for that of the whole training, and begin anew before its end.
    """

    def __init__(self, trainer: L.Trainer, steps: int, accumulate: int) -> None:
        """Takes the trainer, who knows the present step, the number of steps in all, and the batches in a step."""
        self.trainer = trainer
        self.steps = steps
        self.accumulate = accumulate

    def __iter__(self) -> Iterator[int]:
        for batch in range(self.trainer.global_step * self.accumulate, self.steps * self.accumulate):
            yield batch * self.trainer.world_size + self.trainer.global_rank


def distributed_eval_indices(trainer: L.Trainer, count: int) -> list[int]:
    """The numbers, of `count` things that are scored, that fall to this process.

    All shares are equally large, so that no process waits for one with nothing to do: some things come twice.
    """
    world, rank = trainer.world_size, trainer.global_rank
    return [number % count for number in range(rank, rank + world * -(-count // world), world)]


def all_gather(trainer: L.Trainer, own: dict[int, T]) -> dict[int, T]:
    """What all processes made of their shares, in each of them."""
    if trainer.world_size == 1:
        return own
    shares: list[dict[int, T]] = [{}] * trainer.world_size
    torch.distributed.all_gather_object(shares, own)
    return {number: thing for share in shares for number, thing in share.items()}


def moving_average(decay: float) -> list[Callback]:
    """Keeps a moving average of the weights, which is the model that is scored and saved; none for a decay of 0.

    In the first steps the decay is smaller, so that the average leaves the weights of the start soon enough in a short
    training too: (1 + n) / (10 + n) after n steps, as in TensorFlow's ExponentialMovingAverage.
    """

    def update(average: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        done = float(count)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(average, weights, count)  # type: ignore[no-untyped-call]

    return [WeightAveraging(use_buffers=True, multi_avg_fn=update)] if decay else []


def new_trainer(config: TrainingConfig, steps: int, part: str, score: str) -> L.Trainer:
    """Lightning's trainer: what every training writes down, keeps and computes on.

    Args:
        config: How it runs, and its folder.
        steps: Of the training, or of this phase of it.
        part: Of the logs that are written now.
        score: The figure that is best where it is greatest: of this model a checkpoint is kept, and training may stop
            where it no longer grows. Without a name nothing is scored.

    Raises:
        InputError: Lightning refuses the settings of the devices.
    """
    folder = Path(config.folder)
    scorings = -(-steps // config.validate_every)
    try:
        return L.Trainer(
            max_steps=steps,
            precision=config.precision,
            gradient_clip_val=config.clip or None,
            accumulate_grad_batches=config.accumulate,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            sync_batchnorm=config.sync_batchnorm,
            use_distributed_sampler=False,
            val_check_interval=steps // scorings * config.accumulate,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if score else 0,
            num_sanity_val_steps=0,
            default_root_dir=folder,
            logger=_loggers(folder, part),
            log_every_n_steps=max(1, min(20, steps // 50)),
            callbacks=_callbacks(config, folder, score),
        )
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"these settings of the devices cannot be used: {error}") from None


def _callbacks(config: TrainingConfig, folder: Path, score: str) -> list[Callback]:
    every = config.checkpoint_every
    last = partial(ModelCheckpoint, folder, Path(LAST).stem, enable_version_counter=False)
    callbacks = [*moving_average(config.ema), last(every_n_train_steps=every), LearningRateMonitor("step")]
    if score:
        callbacks.append(ModelCheckpoint(folder, Path(BEST).stem, score, mode="max", enable_version_counter=False))
        callbacks.append(last(every_n_epochs=1, save_on_train_epoch_end=False))  # once more, knowing of the best
    if score and config.patience:
        callbacks.append(EarlyStopping(score, mode="max", patience=config.patience))
    return callbacks


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Says in one sentence what to lower where memory does not suffice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = ("can't allocate memory", "DefaultCPUAllocator", "out of memory")
        if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in known)):
            raise
        raise InputError(f"out of memory with {advice}") from None


def _loggers(folder: Path, part: str) -> list[Logger]:
    """A table of all figures, log/PART/metrics.csv, and the same for TensorBoard."""
    return [CSVLogger(folder, LOG, part), TensorBoardLogger(folder, "tensorboard", part)]


def with_warmup(optimizer: Optimizer, warmup: int, after: LRScheduler) -> dict[str, Any]:
    """What Lightning's `configure_optimizers` returns: the learning rate rises for some steps, then `after` rules."""
    rise = LinearLR(optimizer, 1e-3, 1.0, warmup)
    schedule = SequentialLR(optimizer, [rise, after], [warmup])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def checkpoint_to_resume(folder: Path) -> Path:
    """The last checkpoint of a training.

    Raises:
        InputError: There is none.
    """
    last = folder / LAST
    if not last.is_file():
        raise InputError(f"there is nothing to resume: no checkpoint {last}")
    return last


def new_folder(folder: Path) -> None:
    """Makes a folder for a training.

    Raises:
        InputError: There is a training in it already, or it cannot be made.
    """
    if list(folder.glob("*.ckpt")):
        raise InputError(f"there is a training in {folder}: go on with it (--resume), or give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None


def fit(trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule, *checkpoint: Path) -> None:
    """`Trainer.fit`, which a KeyboardInterrupt leaves as one.

    Args:
        trainer: Lightning's.
        module: What is trained.
        data: On what.
        checkpoint: What to go on from, if anything.
    """
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint[0] if checkpoint else None, weights_only=True)
    except SystemExit as end:  # Lightning's answer to Ctrl-C
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
