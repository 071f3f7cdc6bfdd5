"""Training a detector: what it leaves behind, that it resumes, freezes and repeats, and what it says of mistakes."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from image_sets import draw_pictures, write_coco
from small_trainings import SIDE, SMALL_TRAINING, settings
from tracker.config import DetectorConfig, DetectorTrainingConfig
from tracker.errors import InputError
from tracker.models.detection import backbone_stages, build_detector, load_detector, read_weights
from tracker.models.model_file import ModelInfo, save_model
from tracker.training import detector as training
from tracker.training.curves import read_metrics_log
from tracker.training.detector.data import BatchesToCome
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.phases import phases_of
from tracker.training.detector.train import train_detector

pytestmark = SMALL_TRAINING


@pytest.fixture
def unfinished(monkeypatch):
    """Leaves out what is measured and drawn at the end."""
    monkeypatch.setattr(training, "finish", lambda *_: None)


def info_of(config: DetectorTrainingConfig, categories: tuple[str, ...] = ("ball", "box")) -> ModelInfo:
    network = config.network.model_dump(mode="json")
    return ModelInfo(
        task="detection", architecture=config.network.architecture, categories=categories, size=(SIDE, SIDE),
        license="", provenance="", network=network,
    )  # fmt: skip


def start_file(config: DetectorTrainingConfig, path: Path) -> dict[str, torch.Tensor]:
    """Saves untrained weights; the statistics of batch norms are those of no real picture."""
    torch.manual_seed(0)
    state = build_detector(config.network, 2).state_dict()
    save_model(path, {key: value.numpy() for key, value in state.items()}, info_of(config))
    return state


@pytest.mark.slow
def test_a_training_leaves_a_folder_to_look_at(tmp_path):
    config = settings(tmp_path, steps=3, validate_every=1, license="CC0", provenance="drawn")
    finished = train_detector(config)
    folder = tmp_path / "run"
    assert DetectorTrainingConfig.model_validate(yaml.safe_load((folder / "config.yaml").read_text())) == config
    card = (folder / "card.md").read_text()
    assert "CC0" in card
    assert "ball, box" in card
    assert "8 pictures, 0 of them without objects" in card
    assert (folder / "curves.png").stat().st_size > 10_000
    report = json.loads((folder / "report" / "report.json").read_text())
    assert set(read_metrics_log(folder, {phase.name: phase.steps for phase in phases_of(config)})["AP50"]) == {1, 2, 3}
    assert report["pictures"] == 8
    picture = draw_pictures(1, width=SIDE, height=SIDE)[0].image
    results = []
    for name in ("model.safetensors", "best.ckpt"):
        with load_detector(DetectorConfig(weights=str(folder / name), score=0.0)) as detector:
            assert detector.info.categories == ("ball", "box")
            assert detector.info.provenance == "drawn"
            results.append(detector.detect([picture])[0])
    assert finished == folder / "model.safetensors"
    np.testing.assert_array_equal(results[0].boxes, results[1].boxes)
    with pytest.raises(InputError, match="there is a training in"):
        train_detector(config)


# --- going on ---


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, unfinished):
    config = settings(tmp_path, steps=8, checkpoint_every=2, ema=0.9, validate_every=4)
    train_detector(config.model_copy(update={"folder": str(tmp_path / "whole")}))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tracker", "train", "detector", str(tmp_path / "config.yaml")]
    last = tmp_path / "run" / "last.ckpt"
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not last.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    step = torch.load(last, weights_only=True)["global_step"]
    assert 0 < step < 8
    train_detector(config, resume=True)
    expected, got = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "run"))
    assert got["global_step"] == 8
    for name, value in expected["state_dict"].items():
        assert torch.equal(got["state_dict"][name], value), name


def test_pictures_of_a_step_do_not_depend_on_the_processes(tmp_path):
    seen = []
    for world, accumulate, size in ((1, 1, 8), (1, 4, 2), (2, 2, 2), (4, 1, 2)):
        config = DetectorTrainingConfig(batch_size=size, accumulate=accumulate)
        batches = [
            list(BatchesToCome(SimpleNamespace(global_step=3, world_size=world, global_rank=rank), 5, config))
            for rank in range(world)
        ]
        assert {len(share) for share in batches} == {2 * accumulate}
        seen.append(
            [
                sorted(
                    n for share in batches for part in share[step * accumulate : (step + 1) * accumulate] for n in part
                )
                for step in range(2)
            ]
        )
    assert seen == [[list(range(24, 32)), list(range(32, 40))]] * 4


# --- what learns, and how fast ---


def test_frozen_stages_keep_weights_and_statistics(tmp_path, unfinished):
    config = settings(tmp_path, freeze=2, start_from=str(tmp_path / "start.safetensors"), learning_rate=0.01)
    before = start_file(config, Path(config.start_from))
    train_detector(config)
    assert changed_stages(config, before) == [False, False, True, True, True]


def test_frozen_stages_thaw_one_by_one(tmp_path, unfinished):
    start = str(tmp_path / "start.safetensors")
    config = settings(tmp_path, freeze=3, unfreeze_every=1, start_from=start, learning_rate=0.01)
    before = start_file(config, Path(start))
    train_detector(config)
    assert changed_stages(config, before) == [False, False, True, True, True]


def changed_stages(config: DetectorTrainingConfig, before: dict[str, torch.Tensor]) -> list[bool]:
    """Whether anything of each stage of the trunk differs after the training; all of it must, or nothing."""
    networks = []
    for state in (before, read_weights(Path(config.folder) / "last.ckpt")[0]):
        networks.append(build_detector(config.network, 2))
        networks[-1].load_state_dict(state)
    changes = []
    for old, new in zip(*map(backbone_stages, networks), strict=True):
        same = [torch.equal(value, new.state_dict()[key]) for key, value in old.state_dict().items()]
        assert len(set(same)) == 1
        changes.append(not same[0])
    return changes


def module_for(config: DetectorTrainingConfig) -> DetectorModule:
    return DetectorModule(
        build_detector(config.network, 2), [], phases_of(config)[0], config, info_of(config), [], SimpleNamespace()
    )


def test_each_part_has_its_learning_rate(tmp_path):
    config = settings(tmp_path, learning_rate=0.1, trunk_learning_rate=0.5, head_learning_rate=2, freeze=1)
    module = module_for(config)
    rates = {
        id(p): g["initial_lr"] for g in module.configure_optimizers()["optimizer"].param_groups for p in g["params"]
    }
    by_part = {}
    for name, parameter in module.model.named_parameters():
        part = "stem" if "stages.0." in name else next((p for p in ("body", "fpn", "rpn") if p in name), "roi_heads")
        by_part.setdefault(part, set()).add(rates.get(id(parameter)))
    assert by_part == {"stem": {None}, "body": {0.05}, "fpn": {0.1}, "rpn": {0.1}, "roi_heads": {0.2}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "multistep", "milestones": (0.5, 0.8), "gamma": 0.1}, {10: 1, 49: 1, 50: 0.1, 79: 0.1, 80: 0.01}),
        ({"schedule": "cosine"}, {10: 1, 55: 0.5, 100: 0}),
        ({"schedule": "cosine", "warmup_steps": 90}, {25: 1, 100: 0}),  # no more than a quarter of the steps
    ],
)
def test_the_learning_rate_over_the_steps(tmp_path, changes, expected):
    config = settings(tmp_path, **{"steps": 100, "warmup_steps": 10, "learning_rate": 1, **changes})
    made = module_for(config).configure_optimizers()
    rates = []
    for _ in range(101):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates[0] == pytest.approx(1e-3)
    assert {step: rates[step] for step in expected} == pytest.approx(expected, abs=1e-6)


def test_other_ways_to_compute_run(tmp_path, unfinished):
    config = settings(
        tmp_path, precision="bf16-mixed", activation_checkpointing=True, accumulate=2, batch_size=2, optimizer="sgd",
        schedule="multistep", ema=0.9,
    )  # fmt: skip
    train_detector(config)
    state, _ = read_weights(tmp_path / "run" / "last.ckpt")
    assert all(torch.isfinite(value).all() for value in state.values())
    build_detector(config.network, 2).load_state_dict(state)


def test_it_stops_early_when_nothing_gets_better(tmp_path, unfinished):
    # Batch norms that learn would change what is scored.
    frozen = {"freeze": 5, "learning_rate": 1e-12}
    train_detector(settings(tmp_path, pictures=2, steps=9, validate_every=1, patience=2, **frozen))
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 3


# --- mistakes ---


def test_a_loss_that_is_not_finite_names_its_parts_and_pictures(tmp_path):
    with pytest.raises(
        InputError, match=r"loss of step \d is not finite \(.*loss_\w+ .*\) on train/0\d\.png, "
    ) as caught:
        train_detector(settings(tmp_path, steps=5, learning_rate=1e30, warmup_steps=1, clip=1e30))
    assert "learning_rate" in str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_too_little_memory_says_what_to_lower(tmp_path, monkeypatch, device):
    def queue_stats(*_: Any) -> None:
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        torch.empty(2**50)

    monkeypatch.setattr("tracker.training.detector.module.compute_losses", queue_stats)
    with pytest.raises(InputError, match="batches of 4 pictures: lower batch_size"):
        train_detector(settings(tmp_path))


def test_settings_that_do_not_fit_each_other(tmp_path):
    config = settings(tmp_path)
    cases = {
        "learn from": {"train": ""},
        "to score": {"val": ""},
        "nothing to resume": {},
        "for R-CNNs": {"recipe": "four_step", "steps": 4, "network": {"architecture": "ssdlite320_mobilenet_v3_large"}},
        "four steps at least": {"recipe": "four_step", "steps": 3},
        "devices cannot be used": {"accelerator": "abacus"},
    }
    for message, changes in cases.items():
        with pytest.raises(InputError, match=message):
            train_detector(settings(tmp_path, **changes), resume=message == "nothing to resume")
    other = write_coco(tmp_path / "other", 1)
    other.write_text(other.read_text().replace('"box"', '"cube"'))
    with pytest.raises(InputError, match="same categories"):
        train_detector(config.model_copy(update={"val": str(other)}))


def test_a_checkpoint_of_another_training_is_refused(tmp_path, unfinished):
    config = settings(tmp_path, pictures=2, steps=1, batch_size=2)
    train_detector(config)
    with pytest.raises(InputError, match="another network or recipe"):
        train_detector(settings(tmp_path, recipe="four_step", steps=4), resume=True)
    truth = tmp_path / "train.json"
    truth.write_text(truth.read_text().replace('"box"', '"cube"'))
    with pytest.raises(InputError, match="ball, box against ball, cube"):
        train_detector(config, resume=True)


def test_one_stage_networks_say_that_they_cannot_honour_partial_labels(tmp_path, caplog):
    config = settings(tmp_path, pictures=2, network={"architecture": "ssdlite320_mobilenet_v3_large"})
    truth = tmp_path / "train.json"
    content = json.loads(truth.read_text())
    content["images"][1]["unlabelled"] = ["ball"]
    truth.write_text(json.dumps(content))
    pictures, scored = training._read(config)
    with caplog.at_level(logging.WARNING):
        training._Training(config, tmp_path, info_of(config), pictures, scored).start()
    assert "1 pictures, such as train/02.png" in caplog.text
