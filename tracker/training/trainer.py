"""Parts that the trainings of all networks share: samplers, the Lightning trainer, the learning rate, checkpoints."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import Sampler

from tracker.config import TrainingConfig
from tracker.data.files import remove_file
from tracker.errors import InputError
from tracker.training.checkpoint_files import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    CheckpointFiles,
    explain_full_disk,
    find_checkpoint,
)
from tracker.training.logs import EventLogger, MetricsLogger, quiet_log_threads
from tracker.training.progress import SaveOnSignal, StoppedBySignal, TrainingProgress, restored_handlers

LOG_FOLDER, METRICS_FILE = "log", "metrics.csv"  # the second is Lightning's name
T = TypeVar("T")
log = logging.getLogger(__name__)


class ResumableSampler(Sampler[int]):
    """Yields the indices of this process's remaining batches; after a resume, from the checkpoint's step on.

    Batch k of process r of R has index k R + r, so the data of a step depends on devices x nodes x
    accumulate_grad_batches alone. The sampler has no length: Lightning would take it for the length of the whole
    training, and start a new epoch before its end.
    """

    def __init__(self, trainer: L.Trainer, steps: int, accumulate_grad_batches: int) -> None:
        """Takes the trainer, which knows the current step, the total number of steps, and the batches in a step."""
        self.trainer = trainer
        self.steps = steps
        self.accumulate_grad_batches = accumulate_grad_batches

    def __iter__(self) -> Iterator[int]:
        first = self.trainer.global_step * self.accumulate_grad_batches
        for batch in range(first, self.steps * self.accumulate_grad_batches):
            yield batch * self.trainer.world_size + self.trainer.global_rank


def distributed_eval_indices(trainer: L.Trainer, count: int) -> list[int]:
    """Returns the indices, of `count` validation samples, that this process evaluates.

    All processes get equally many, so that none waits for another: some samples are evaluated twice.
    """
    world, rank = trainer.world_size, trainer.global_rank
    return [index % count for index in range(rank, rank + world * -(-count // world), world)]


def all_gather(trainer: L.Trainer, results: dict[int, T]) -> dict[int, T]:
    """Merges the results of all processes, by index of the sample; every process gets all of them."""
    if trainer.world_size == 1:
        return results
    gathered: list[dict[int, T]] = [{}] * trainer.world_size
    torch.distributed.all_gather_object(gathered, results)
    return {index: result for part in gathered for index, result in part.items()}


def ema_callbacks(decay: float) -> list[Callback]:
    """Returns the callback that averages the weights for validation and checkpoints; none for a decay of 0.

    After n steps the decay is at most (1 + n) / (10 + n), as in TensorFlow's ExponentialMovingAverage, so that the
    average leaves the initial weights soon enough in a short training too.
    """

    def update(average: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        steps = float(count)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(average, weights, count)  # type: ignore[no-untyped-call]

    return [WeightAveraging(use_buffers=True, multi_avg_fn=update)] if decay else []


def build_trainer(config: TrainingConfig, steps: int, log_name: str, monitor: str) -> L.Trainer:
    """Builds Lightning's trainer with its loggers, checkpoints and devices.

    Args:
        config: Settings of the training.
        steps: Optimizer steps of the training, or of this stage of it.
        log_name: Folder of this run's logs: log/LOG_NAME/metrics.csv has all metrics, and so has TensorBoard.
        monitor: Metric of which more is better: the best model is saved, and early stopping watches it. If it is empty,
            nothing is validated.
    """
    folder, validations = Path(config.folder), -(-steps // config.validate_every)
    for name in ("lightning.pytorch", "lightning.fabric"):  # what they say is about themselves
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return L.Trainer(
            max_steps=steps,
            precision=config.precision,
            gradient_clip_val=config.clip_grad_norm or None,
            accumulate_grad_batches=config.accumulate_grad_batches,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            sync_batchnorm=config.sync_batchnorm,
            use_distributed_sampler=False,
            val_check_interval=steps // validations * config.accumulate_grad_batches,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if monitor else 0,
            num_sanity_val_steps=0,
            default_root_dir=folder,
            logger=[MetricsLogger(folder, LOG_FOLDER, log_name), EventLogger(folder, "tensorboard", log_name)],
            plugins=[CheckpointFiles()],
            log_every_n_steps=max(1, min(20, steps // 50)),
            callbacks=_callbacks(config, folder, steps, monitor),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"these settings of the devices cannot be used: {error}") from None


def _callbacks(config: TrainingConfig, folder: Path, steps: int, monitor: str) -> list[Callback]:
    every = config.checkpoint_every
    last = partial(ModelCheckpoint, folder, Path(LAST_CHECKPOINT).stem, enable_version_counter=False)
    callbacks = [*ema_callbacks(config.ema_decay), last(every_n_train_steps=every), LearningRateMonitor("step")]
    callbacks += [TrainingProgress(folder, steps, monitor), SaveOnSignal(folder)]  # after the averaging of the weights
    if monitor:
        best = Path(BEST_CHECKPOINT).stem
        callbacks.append(ModelCheckpoint(folder, best, monitor, mode="max", enable_version_counter=False))
        # Saved again after each validation, so that a resumed training knows the best score.
        callbacks.append(last(every_n_epochs=1, save_on_train_epoch_end=False))
    if monitor and config.patience:
        callbacks.append(EarlyStopping(monitor, mode="max", patience=config.patience))
    return callbacks


@contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Turns an out-of-memory error into an InputError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = ("can't allocate memory", "DefaultCPUAllocator", "out of memory")
        if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in known)):
            raise
        raise InputError(f"out of memory with {advice}") from None


def with_warmup(optimizer: Optimizer, warmup_steps: int, after: LRScheduler) -> dict[str, Any]:
    """Returns the result of Lightning's `configure_optimizers`: a linear warm-up, then the schedule `after`."""
    warmup = LinearLR(optimizer, 1e-3, 1.0, warmup_steps)
    schedule = SequentialLR(optimizer, [warmup, after], [warmup_steps])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def open_run_folder(folder: Path, resume: bool) -> Path | None:
    """Returns the checkpoint from which to resume a training, or creates the folder of a new one and returns None.

    Raises:
        InputError: There is no checkpoint that can be read; or the folder of a new training has some, or cannot be
            created.
    """
    if resume:
        return find_checkpoint(folder)
    if list(folder.glob("*.ckpt")):
        raise InputError(f"there is a training in {folder}: resume it (--resume), or give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    return None


def fit(
    trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule, folder: Path, checkpoint: Path | None
) -> None:
    """Trains from a checkpoint, if any, and saves the last one in the folder.

    After Ctrl-C or SIGTERM the state is saved, from which the training can be resumed; then KeyboardInterrupt is
    raised, or the handler of SIGTERM called that was there before.

    Raises:
        InputError: The disk is full, or an image cannot be read.
    """
    try:
        with explain_full_disk(folder), quiet_log_threads(), restored_handlers(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")  # about its own parts and settings, which are ours
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            trainer.save_checkpoint(folder / LAST_CHECKPOINT, weights_only=False)
        if trainer.is_global_zero:
            remove_file(folder / PREVIOUS_CHECKPOINT)  # nothing is left to be resumed from it
    except StoppedBySignal as stop:
        log.warning(
            "stopped at step %d of %d: the same command with --resume goes on from there",
            *(trainer.global_step, trainer.max_steps),
        )
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt from None
        signal.raise_signal(stop.signal)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
    except InputError as error:
        raise InputError(_own_message(error)) from None


def _own_message(error: InputError) -> str:
    """Returns the message of an error; of one in a process that loads data, without the traceback that PyTorch adds."""
    message = str(error).rstrip().splitlines()[-1]
    return message.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")
