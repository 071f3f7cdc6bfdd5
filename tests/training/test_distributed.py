"""Training in two processes gives the same result as in one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from drawn_people import draw_people
from small_trainings import SMALL_NETWORK, SMALL_TRAINING, small_training
from tracker.config import EmbedderTrainingConfig, TrainingConfig
from tracker.models.model_file import load_model
from tracker.training.curves import read_metrics_log
from tracker.training.detector import train
from tracker.training.reid.embedder import train_embedder

pytestmark = [*SMALL_TRAINING, pytest.mark.slow]


TWO_PROCESSES = {"accelerator": "cpu", "devices": "2", "strategy": "ddp"}


def run_command(kind: str, config: TrainingConfig) -> None:
    """Trains with the command line."""
    file = Path(config.folder).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tracker", "train", kind, str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1:] == [str(Path(config.folder) / "model.safetensors")]


def test_two_processes_learn_the_same_as_one_with_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images and random numbers of each step are the same, so weights differ only by rounding.

    The running statistics of batch norms are those of the first process's half of the images, so the average precision
    may differ too: after two steps by less than 0.1.
    """
    monkeypatch.setattr(train, "write_artifacts", lambda *_: None)
    start = str(tmp_path / "start" / "last.ckpt")
    network = {**SMALL_NETWORK, "backbone": "mobilenet_v2"}  # with batch norms
    start_folder = str(tmp_path / "start")
    train.train_detector(small_training(tmp_path, steps=60, batch_size=8, folder=start_folder, network=network))
    changes = {"steps": 2, "learning_rate": 1e-4, "pretrained": start, "network": network}
    train.train_detector(small_training(tmp_path, accumulate_grad_batches=2, folder=str(tmp_path / "one"), **changes))
    run_command("detector", small_training(tmp_path, folder=str(tmp_path / "two"), **TWO_PROCESSES, **changes))
    one, two = (torch.load(tmp_path / name / "best.ckpt", weights_only=True) for name in ("one", "two"))
    assert one["global_step"] == two["global_step"] == 2
    for name, value in one["state_dict"].items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(two["state_dict"][name], value, rtol=0, atol=1e-4, msg=name)
    assert best_ap(one) > 0.2
    assert abs(best_ap(one) - best_ap(two)) < 0.1


def best_ap(checkpoint: dict[str, dict[str, dict[str, float]]]) -> float:
    """Returns the AP for which a checkpoint was saved."""
    (state,) = (state for name, state in checkpoint["callbacks"].items() if "'monitor': 'AP'" in name)
    return float(state["best_model_score"])


@pytest.mark.long
def test_two_processes_learn_the_same_embedder_as_one_with_two_batches(tmp_path: Path) -> None:
    """No batch is sampled by both, and each of the 29 validation crops counts once: weights and metrics are the same.

    The network has no batch norms, because their running statistics are those of the first process's batches.
    """
    people, strangers = draw_people(tmp_path / "people", 6), draw_people(tmp_path / "strangers", 5, seed=1)
    next(iter(sorted(strangers.iterdir()))).unlink()
    values = {
        "train": str(people), "val": (str(strangers),), "size": (32, 32), "identities_per_batch": 4,
        "crops_per_identity": 3, "steps": 20, "warmup_steps": 5, "validate_every": 10, "ema_decay": 0.5, "workers": 0,
        "network": {"architecture": "lenet", "neck": False},
    }  # fmt: skip
    train_embedder(
        EmbedderTrainingConfig.model_validate({**values, "accumulate_grad_batches": 2, "folder": str(tmp_path / "one")})
    )
    run_command(
        "embedder",
        EmbedderTrainingConfig.model_validate({**values, **TWO_PROCESSES, "folder": str(tmp_path / "two")}),
    )
    (one, one_info), (two, two_info) = (load_model(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(value), rtol=0, atol=1e-4, msg=name)
    assert abs(one_info.max_distance - two_info.max_distance) < 0.01
    metrics = [read_metrics_log(tmp_path / name, {"embedder": 20}) for name in ("one", "two")]
    for name in ("mAP", "rank-1", "AUC"):
        assert list(metrics[0][name]) == [10, 20]
        assert metrics[1][name] == pytest.approx(metrics[0][name], abs=0.01), name
    assert "29 crops of 5 identities" in (tmp_path / "two" / "card.md").read_text()
