"""Two processes learn what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from trainings import QUIET, one_thread, settings  # noqa: F401 (pytest finds it here)

from tracker.training import detector as training

pytestmark = [*QUIET, pytest.mark.slow]


def test_two_processes_learn_what_one_does_in_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pictures and random numbers in each step: weights differ by rounding alone.

    The running statistics of batch norms are those of the first process's half of the pictures, so average precision
    may differ too, here by less than 0.1.
    """
    monkeypatch.setattr(training, "finish", lambda *_: None)
    start = str(tmp_path / "start" / "last.ckpt")
    training.train_detector(settings(tmp_path, steps=60, batch_size=8, folder=str(tmp_path / "start")))
    changes = {"steps": 4, "learning_rate": 1e-4, "start_from": start}
    training.train_detector(settings(tmp_path, accumulate=2, folder=str(tmp_path / "one"), **changes))
    flags = {"accelerator": "cpu", "devices": "2", "strategy": "ddp", "folder": str(tmp_path / "two")}
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path, **changes, **flags).model_dump(mode="json")))
    command = [sys.executable, "-m", "tracker.cli", "train", "detector", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1:] == [str(tmp_path / "two" / "model.safetensors")]
    one, two = (torch.load(tmp_path / name / "best.ckpt", weights_only=True) for name in ("one", "two"))
    assert one["global_step"] == two["global_step"] == 4
    for name, value in one["state_dict"].items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(two["state_dict"][name], value, rtol=0, atol=1e-4, msg=name)
    assert precision(one) > 0.2
    assert abs(precision(one) - precision(two)) < 0.1


def precision(checkpoint: dict[str, dict[str, dict[str, float]]]) -> float:
    """The AP for which a checkpoint was kept."""
    (state,) = (state for name, state in checkpoint["callbacks"].items() if "'monitor': 'AP'" in name)
    return float(state["best_model_score"])
