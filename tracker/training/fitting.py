"""What the trainings of all networks have in common."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import Sampler

from tracker.errors import InputError

LAST = "last.ckpt"
LOG, TABLE = "log", "metrics.csv"  # Lightning's name of the table


class StepsToCome(Sampler[int]):
    """The numbers of a training's steps from now on; after a resume, from the checkpoint's step on.

    It has no length: Lightning would take it for that of the whole training, and begin anew before its end.
    """

    def __init__(self, trainer: L.Trainer, steps: int) -> None:
        """Takes the trainer, who knows the present step, and the number of steps in all."""
        self.trainer = trainer
        self.steps = steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.trainer.global_step, self.steps))


def moving_average(decay: float) -> list[Callback]:
    """Keeps a moving average of the weights, which is the model that is scored and saved; none for a decay of 0.

    In the first steps the decay is smaller, so that the average leaves the weights of the start soon enough in a short
    training too: (1 + n) / (10 + n) after n steps, as in TensorFlow's ExponentialMovingAverage.
    """

    def update(average: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        done = float(count)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(average, weights, count)  # type: ignore[no-untyped-call]

    return [WeightAveraging(use_buffers=True, multi_avg_fn=update)] if decay else []


def checkpoint_and_watch(folder: Path, every: int) -> list[Callback]:
    """Writes `last.ckpt` at every so many steps, and logs the learning rates."""
    last = ModelCheckpoint(folder, Path(LAST).stem, every_n_train_steps=every, enable_version_counter=False)
    return [last, LearningRateMonitor("step")]


def loggers(folder: Path, part: str = "") -> list[Logger]:
    """A table of all figures, log/PART/metrics.csv, and the same for TensorBoard."""
    return [CSVLogger(folder, LOG, part), TensorBoardLogger(folder, "tensorboard", part)]


def warmed_up(optimizer: Optimizer, warmup: int, after: LRScheduler) -> dict[str, Any]:
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


def fit(trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule | None, *checkpoint: Path) -> None:
    """`Trainer.fit`, which a KeyboardInterrupt leaves as one.

    Args:
        trainer: Lightning's.
        module: What is trained.
        data: On what, unless the module says so itself.
        checkpoint: What to go on from, if anything.
    """
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint[0] if checkpoint else None, weights_only=True)
    except SystemExit as end:  # Lightning's answer to Ctrl-C
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
