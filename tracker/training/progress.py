"""Progress of a training: how long it takes, step, loss and time left; and the state that a stop or a crash leaves."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from tracker.training.checkpoint_files import LAST_CHECKPOINT

log = logging.getLogger(__name__)

FIRST_ESTIMATE = 20.0
"""Seconds of training after which the first estimate is told, if a step is that quick; it is told within a minute."""
INTERVAL = 30.0
"""Seconds between two lines."""
SAVE_INTERVAL = 600.0
"""Most seconds between two checkpoints, and about those between two validations."""
_SIGNALS = signal.SIGINT, signal.SIGTERM
_FIRST_STEPS = 3
"""Steps after which time is measured: the first ones also start the processes that load data."""


class StoppedBySignal(Exception):
    """Raised by `SaveOnSignal` after it has saved the checkpoint; `signal` is the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class TrainingProgress(Callback):
    """Logs the progress as lines, with or without a terminal.

    In a training by one process, a checkpoint is saved at least every `SAVE_INTERVAL` seconds, and validations come
    more often than `validate_every` where that takes longer.
    """

    def __init__(self, folder: Path, steps: int, monitor: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the folder of the training, its steps, the metric of a validation, and a clock in seconds."""
        self._folder, self._steps, self._monitor, self._clock = folder, steps, monitor, clock
        self._first: tuple[int, float] | None = None  # step and time from which on the speed is measured
        self._started = self._told = self._saved = 0.0
        self._start_step = 0
        self._validation_began = 0.0
        self._validation_seconds: list[float] = []
        self._best = float("-inf")
        self._has_told = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._started = self._told = self._saved = self._clock()
        self._start_step = trainer.global_step

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._saved = self._clock()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, step = self._clock(), trainer.global_step
        done = step - self._start_step
        if self._first is None and done >= _FIRST_STEPS:
            self._first = step, now
        due = INTERVAL if self._has_told else FIRST_ESTIMATE
        if self._first is not None and step > self._first[0] and now - self._told >= due:
            self._tell(trainer, step, now)
        if trainer.world_size == 1 and now - self._saved >= SAVE_INTERVAL and step > self._start_step:
            trainer.save_checkpoint(self._folder / LAST_CHECKPOINT, weights_only=False)

    def _tell(self, trainer: L.Trainer, step: int, now: float) -> None:
        assert self._first is not None
        validating = sum(self._validation_seconds)
        a_step = max(0.0, now - self._first[1] - validating) / (step - self._first[0])
        if not self._has_told and trainer.world_size == 1:
            self._validate_in_time(trainer, a_step)
        left = (self._steps - step) * a_step + self._time_of_validations(trainer, step)
        loss = trainer.callback_metrics.get("loss")
        text = "" if loss is None else f", loss {float(loss):.3f}"
        end = time.strftime("%H:%M", time.localtime(time.time() + left))
        log.info("step %d of %d%s, %s left, until about %s", step, self._steps, text, duration_text(left), end)
        self._told, self._has_told = now, True

    def _validate_in_time(self, trainer: L.Trainer, step_seconds: float) -> None:
        """Shortens the interval of validations to about `SAVE_INTERVAL`, to a part of it without a remainder."""
        every, accumulated = trainer.val_check_batch, trainer.accumulate_grad_batches
        if not self._monitor or not isinstance(every, int) or step_seconds <= 0:
            return
        most = max(1, int(SAVE_INTERVAL / step_seconds)) * accumulated
        if every > most:
            parts = [part for part in range(accumulated, every + 1, accumulated) if every % part == 0 and part <= most]
            trainer.val_check_batch = max(parts, default=every)

    def _time_of_validations(self, trainer: L.Trainer, step: int) -> float:
        every = trainer.val_check_batch
        if not self._validation_seconds or not isinstance(every, int):
            return 0.0
        left = (self._steps - step) * trainer.accumulate_grad_batches / every
        return left * sum(self._validation_seconds) / len(self._validation_seconds)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._validation_began = self._clock()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._validation_seconds.append(self._clock() - self._validation_began)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._monitor not in metrics:
            return
        value = metrics[self._monitor]
        names = dict.fromkeys((self._monitor, "AP50"))
        figures = ", ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics)
        is_best = value > self._best
        self._best = max(self._best, value)
        best = "the best so far" if is_best else f"the best {self._monitor} is {self._best:.3f}"
        log.info("validated at step %d of %d: %s (%s)", trainer.global_step, self._steps, figures, best)


class SaveOnSignal(Callback):
    """Saves a checkpoint after the step in which Ctrl-C or SIGTERM comes, and ends the training.

    A second Ctrl-C ends it at once. Only in the main thread of a training by one process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signal = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.world_size == 1 and _may_set_handlers():
            for number in _SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        log.info("stopping after this step; the state is saved")

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._signal:
            trainer.save_checkpoint(self._folder / LAST_CHECKPOINT, weights_only=False)
            raise StoppedBySignal(self._signal)


@contextmanager
def restored_handlers() -> Iterator[None]:
    """Restores the handlers of the signals at its end, which Lightning and `SaveOnSignal` replace."""
    previous = {number: signal.getsignal(number) for number in _SIGNALS} if _may_set_handlers() else {}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _may_set_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()


def duration_text(seconds: float) -> str:
    """Returns a duration as people say it.

    Example:
        >>> duration_text(40), duration_text(400), duration_text(9000)
        ('40 s', '7 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
