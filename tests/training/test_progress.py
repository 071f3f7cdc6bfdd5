"""Progress of a training: lines, checkpoints in time, and a stop by a signal."""

import logging
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("lightning", reason="the extra [train] is not installed")

from small_trainings import SMALL_TRAINING, small_training
from tracker import train_detector
from tracker.models.detection import read_weights
from tracker.training.detector.module import DetectorModule
from tracker.training.progress import TrainingProgress


class FakeTrainer(SimpleNamespace):
    def save_checkpoint(self, path: Path, weights_only: bool) -> None:
        self.saved.append((self.global_step, path.name))
        self.progress.on_save_checkpoint(self, None, {})


def run(step_seconds: float, steps: int, val_check_batch: int = 500) -> FakeTrainer:
    """Plays a training whose steps take a given time."""
    now = [0.0]
    progress = TrainingProgress(Path("run"), steps, "AP", clock=lambda: now[0])
    trainer = FakeTrainer(
        global_step=0, world_size=1, accumulate_grad_batches=1, val_check_batch=val_check_batch, saved=[],
        callback_metrics={"loss": torch.tensor(0.5), "AP": torch.tensor(0.25)}, progress=progress,
    )  # fmt: skip
    module: Any = None
    progress.on_train_start(trainer, module)
    for step in range(1, steps + 1):
        now[0] += step_seconds
        trainer.global_step = step
        progress.on_train_batch_end(trainer, module, None, None, step)
        if step % trainer.val_check_batch == 0:
            progress.on_validation_start(trainer, module)
            now[0] += 5
            progress.on_validation_end(trainer, module)
    return trainer


def test_lines_tell_the_time_left_within_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tracker.training")
    run(2.0, 100, 50)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("step 10 of 100, loss 0.500, 3 min left, until about ")
    assert sum(line.startswith("step ") for line in lines) == 7
    assert [line for line in lines if "validated" in line] == [
        "validated at step 50 of 100: AP 0.250 (the best so far)",
        "validated at step 100 of 100: AP 0.250 (the best AP is 0.250)",
    ]


def test_a_slow_training_saves_and_validates_every_ten_minutes() -> None:
    trainer = run(19.0, 120, 60)
    assert trainer.val_check_batch == 30  # 9.5 minutes
    assert [step for step, _ in trainer.saved] == [32, 64, 96] and trainer.saved[0][1] == "last.ckpt"


def test_a_quick_training_saves_no_more_than_its_settings_say() -> None:
    trainer = run(0.1, 1000)
    assert trainer.saved == [] and trainer.val_check_batch == 500


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_a_resumed_training_ends_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole = train_detector(small_training(tmp_path, steps=4, folder=str(tmp_path / "whole")))
    training_step = DetectorModule.training_step

    def interrupted(module: DetectorModule, *arguments: Any) -> Any:
        if module.global_step == 1:
            signal.raise_signal(number)
        return training_step(module, *arguments)

    class Terminated(BaseException):
        pass

    def on_sigterm(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(DetectorModule, "training_step", interrupted)
            with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated):
                train_detector(small_training(tmp_path, steps=4))
        assert signal.getsignal(signal.SIGTERM) is on_sigterm
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 2
    resumed = train_detector(small_training(tmp_path, steps=4), resume=True)
    one, other = read_weights(whole)[0], read_weights(resumed)[0]
    assert all(torch.equal(one[key], other[key]) for key in one)


pytestmark = SMALL_TRAINING
