"""Two processes learn what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from drawn_people import draw_people
from small_trainings import SMALL_TRAINING, settings
from tracker.config import EmbedderTrainingConfig, TrainingConfig
from tracker.models.model_file import load_model
from tracker.training import detector as training
from tracker.training.curves import read_metrics_log
from tracker.training.reid.embedder import train_embedder

pytestmark = [*SMALL_TRAINING, pytest.mark.slow]


TWO = {"accelerator": "cpu", "devices": "2", "strategy": "ddp"}


def in_two_processes(what: str, config: TrainingConfig) -> None:
    """Trains by the command line."""
    file = Path(config.folder).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tracker", "train", what, str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1:] == [str(Path(config.folder) / "model.safetensors")]


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
    in_two_processes("detector", settings(tmp_path, folder=str(tmp_path / "two"), **TWO, **changes))
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


def test_two_processes_learn_individuals_as_one_does_in_two_batches(tmp_path: Path) -> None:
    """No batch is drawn by both, and each of the 29 scored crops counts once: weights and figures are the same.

    Without batch norms, whose running statistics are those of the first process's batches.
    """
    people, strangers = draw_people(tmp_path / "people", 6), draw_people(tmp_path / "strangers", 5, seed=1)
    next(iter(sorted(strangers.iterdir()))).unlink()
    values = {
        "train": str(people), "val": (str(strangers),), "size": (32, 32), "individuals": 4, "crops": 3, "steps": 20,
        "warmup_steps": 5, "validate_every": 10, "ema": 0.5, "workers": 0,
        "network": {"architecture": "lenet", "neck": False},
    }  # fmt: skip
    train_embedder(EmbedderTrainingConfig.model_validate({**values, "accumulate": 2, "folder": str(tmp_path / "one")}))
    two = EmbedderTrainingConfig.model_validate({**values, **TWO, "folder": str(tmp_path / "two")})
    in_two_processes("embedder", two)
    (expected, info), (found, same) = (load_model(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(value), rtol=0, atol=1e-4, msg=name)
    assert abs(info.max_distance - same.max_distance) < 0.01
    courses = [read_metrics_log(tmp_path / name, {"embedder": 20}) for name in ("one", "two")]
    for name in ("mAP", "rank-1", "AUC"):
        assert list(courses[0][name]) == [10, 20]
        assert courses[1][name] == pytest.approx(courses[0][name], abs=0.01), name
    assert "29 crops of 5 individuals" in (tmp_path / "two" / "card.md").read_text()
