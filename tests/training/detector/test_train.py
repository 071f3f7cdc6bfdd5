"""Training a detector: its files, resuming, frozen stages, learning rates and error messages."""

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

import pytest
import torch
import yaml

from image_sets import draw_images, write_coco
from small_trainings import SIDE, SMALL_TRAINING, small_training
from tracker.config import DetectorConfig, DetectorTrainingConfig
from tracker.errors import InputError
from tracker.models.detection import backbone_stages, build_detector, load_detector, read_weights
from tracker.models.model_file import ModelInfo, save_model
from tracker.training.curves import read_metrics_log
from tracker.training.detector import train
from tracker.training.detector.data import ResumableBatchSampler
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.train import train_detector
from tracker.training.detector.training_stages import training_stages

pytestmark = [*SMALL_TRAINING, pytest.mark.slow]


@pytest.fixture
def no_artifacts(monkeypatch):
    """Skips the evaluation and the model card at the end of a training."""
    monkeypatch.setattr(train, "write_artifacts", lambda *_: None)


def model_info(config: DetectorTrainingConfig, categories: tuple[str, ...] = ("ball", "box")) -> ModelInfo:
    network = config.network.model_dump(mode="json")
    return ModelInfo(
        task="detection", architecture=config.network.architecture, categories=categories, size=(SIDE, SIDE),
        license="", provenance="", network=network,
    )  # fmt: skip


def save_untrained(config: DetectorTrainingConfig, path: Path) -> dict[str, torch.Tensor]:
    """Saves untrained weights, whose batch norm statistics are not those of any image."""
    torch.manual_seed(0)
    state = build_detector(config.network, 2).state_dict()
    save_model(path, {key: value.numpy() for key, value in state.items()}, model_info(config))
    return state


def test_a_training_writes_all_files(tmp_path):
    config = small_training(tmp_path, steps=3, validate_every=1, license="CC0", provenance="drawn")
    model_path = train_detector(config)
    folder = tmp_path / "run"
    assert DetectorTrainingConfig.model_validate(yaml.safe_load((folder / "config.yaml").read_text())) == config
    card = (folder / "card.md").read_text()
    assert "CC0" in card
    assert "ball, box" in card
    assert "8 images, 0 of them without objects" in card
    assert (folder / "curves.png").stat().st_size > 10_000
    report = json.loads((folder / "report" / "report.json").read_text())
    metrics = read_metrics_log(folder, {stage.name: stage.steps for stage in training_stages(config)})
    assert set(metrics["AP50"]) == {1, 2, 3}
    assert report["images"] == 8
    image = draw_images(1, width=SIDE, height=SIDE)[0].image
    results = []
    for name in ("model.safetensors", "best.ckpt"):
        with load_detector(DetectorConfig(weights=str(folder / name), score=0.0)) as detector:
            assert detector.info.categories == ("ball", "box")
            assert detector.info.provenance == "drawn"
            results.append(detector.detect([image])[0])
    assert model_path == folder / "model.safetensors"
    # The calibrated scores of one of them may round scores to the same number, whose order is then another.
    assert len(results[0].boxes) and sorted(results[0].boxes.tolist()) == sorted(results[1].boxes.tolist())
    with pytest.raises(InputError, match="there is a training in"):
        train_detector(config)


# --- resuming ---


def test_a_killed_training_resumes_to_the_same_weights(tmp_path, no_artifacts):
    config = small_training(tmp_path, steps=8, checkpoint_every=2, ema_decay=0.9, validate_every=4)
    train_detector(config.model_copy(update={"folder": str(tmp_path / "uninterrupted")}))
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
    paths = [tmp_path / name / "last.ckpt" for name in ("uninterrupted", "run")]
    expected, resumed = (torch.load(path, weights_only=True) for path in paths)
    assert resumed["global_step"] == 8
    for name, value in expected["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value), name


def test_images_of_a_step_do_not_depend_on_the_processes(tmp_path):
    images_by_step = []
    for world_size, accumulate, batch_size in ((1, 1, 8), (1, 4, 2), (2, 2, 2), (4, 1, 2)):
        config = DetectorTrainingConfig(batch_size=batch_size, accumulate_grad_batches=accumulate)
        trainers = [SimpleNamespace(global_step=3, world_size=world_size, global_rank=r) for r in range(world_size)]
        batches = [list(ResumableBatchSampler(trainer, 5, config)) for trainer in trainers]
        assert {len(of_rank) for of_rank in batches} == {2 * accumulate}
        steps = [slice(step * accumulate, (step + 1) * accumulate) for step in range(2)]
        images_by_step.append(
            [sorted(index for of_rank in batches for batch in of_rank[step] for index in batch) for step in steps]
        )
    assert images_by_step == [[list(range(24, 32)), list(range(32, 40))]] * 4


# --- frozen stages and learning rates ---


def test_frozen_stages_keep_weights_and_statistics(tmp_path, no_artifacts):
    start = str(tmp_path / "start.safetensors")
    config = small_training(tmp_path, frozen_stages=2, pretrained=start, learning_rate=0.01)
    before = save_untrained(config, Path(start))
    train_detector(config)
    assert changed_stages(config, before) == [False, False, True, True, True, True]


def test_frozen_stages_are_unfrozen_one_by_one(tmp_path, no_artifacts):
    start = str(tmp_path / "start.safetensors")
    config = small_training(tmp_path, frozen_stages=3, unfreeze_every=1, pretrained=start, learning_rate=0.01)
    before = save_untrained(config, Path(start))
    train_detector(config)
    assert changed_stages(config, before) == [False, False, True, True, True, True]


def changed_stages(config: DetectorTrainingConfig, before: dict[str, torch.Tensor]) -> list[bool]:
    """Returns True for each stage of the backbone that changed in the training; all of it must, or nothing."""
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


def build_module(config: DetectorTrainingConfig) -> DetectorModule:
    model, stage = build_detector(config.network, 2), training_stages(config)[0]
    return DetectorModule(model, None, stage, config, model_info(config), [], SimpleNamespace())


def test_each_part_has_its_learning_rate(tmp_path):
    config = small_training(tmp_path, learning_rate=0.1, backbone_lr_factor=0.5, head_lr_factor=2, frozen_stages=1)
    module = build_module(config)
    rates = {
        id(p): g["initial_lr"] for g in module.configure_optimizers()["optimizer"].param_groups for p in g["params"]
    }
    by_part = {}
    for name, parameter in module.model.named_parameters():
        parts = ("body", "neck", "fine", "aggregation", "rpn")
        part = "stem" if "stages.0." in name else next((p for p in parts if f"{p}." in name), "roi_heads")
        by_part.setdefault(part, set()).add(rates.get(id(parameter)))
    assert by_part == {
        **{"stem": {None}, "body": {0.05}, "neck": {0.05}, "fine": {0.1}, "aggregation": {0.1}, "rpn": {0.1}},
        "roi_heads": {0.2},
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "multistep", "milestones": (0.5, 0.8), "gamma": 0.1}, {10: 1, 49: 1, 50: 0.1, 79: 0.1, 80: 0.01}),
        ({"schedule": "cosine"}, {10: 1, 55: 0.5, 100: 0}),
        ({"schedule": "cosine", "warmup_steps": 90}, {25: 1, 100: 0}),  # at most a quarter of the steps
    ],
)
def test_the_learning_rate_over_the_steps(tmp_path, changes, expected):
    config = small_training(tmp_path, **{"steps": 100, "warmup_steps": 10, "learning_rate": 1, **changes})
    optimization = build_module(config).configure_optimizers()
    rates = []
    for _ in range(101):
        rates.append(optimization["optimizer"].param_groups[0]["lr"])
        optimization["optimizer"].step()
        optimization["lr_scheduler"]["scheduler"].step()
    assert rates[0] == pytest.approx(1e-3)
    assert {step: rates[step] for step in expected} == pytest.approx(expected, abs=1e-6)


def test_other_precisions_and_optimizers_run(tmp_path, no_artifacts):
    config = small_training(
        tmp_path, precision="bf16-mixed", activation_checkpointing=True, accumulate_grad_batches=2, batch_size=2,
        optimizer="sgd", schedule="multistep", ema_decay=0.9,
    )  # fmt: skip
    train_detector(config)
    state, _ = read_weights(tmp_path / "run" / "last.ckpt")
    assert all(torch.isfinite(value).all() for value in state.values())
    build_detector(config.network, 2).load_state_dict(state)


def test_early_stopping(tmp_path, no_artifacts):
    # Batch norms that are trained would change the score.
    unchanged = {"frozen_stages": 5, "learning_rate": 1e-12}
    train_detector(small_training(tmp_path, images=2, steps=9, validate_every=1, patience=2, **unchanged))
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 3


# --- errors ---


def test_a_loss_that_is_not_finite_is_reported_with_its_parts_and_images(tmp_path):
    config = small_training(tmp_path, steps=5, learning_rate=1e30, warmup_steps=1, clip_grad_norm=1e30)
    message = r"loss of step \d is not finite \(.*loss_\w+ .*\) on train/0\d\.png, "
    with pytest.raises(InputError, match=message) as caught:
        train_detector(config)
    assert "learning_rate" in str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_too_little_memory_says_what_to_lower(tmp_path, monkeypatch, device):
    def out_of_memory(*_: Any) -> None:
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        torch.empty(2**50)

    monkeypatch.setattr("tracker.training.detector.module.compute_losses", out_of_memory)
    with pytest.raises(InputError, match="batches of 4 images: lower batch_size"):
        train_detector(small_training(tmp_path))


def test_invalid_settings(tmp_path):
    config = small_training(tmp_path)
    cases = {
        "no images for training": {"train": ""},
        "no images for validation": {"val": ""},
        "nothing to resume": {},
        "for R-CNNs": {"recipe": "four_step", "steps": 4, "network": {"architecture": "ssdlite320_mobilenet_v3_large"}},
        "four steps at least": {"recipe": "four_step", "steps": 3},
        "devices cannot be used": {"accelerator": "abacus"},
    }
    for message, changes in cases.items():
        with pytest.raises(InputError, match=message):
            train_detector(small_training(tmp_path, **changes), resume=message == "nothing to resume")
    other = write_coco(tmp_path / "other", 1)
    other.write_text(other.read_text().replace('"box"', '"cube"'))
    with pytest.raises(InputError, match="same categories"):
        train_detector(config.model_copy(update={"val": str(other)}))


def test_a_checkpoint_of_another_training_is_refused(tmp_path, no_artifacts):
    config = small_training(tmp_path, images=2, steps=1, batch_size=2)
    train_detector(config)
    with pytest.raises(InputError, match="another network or recipe"):
        train_detector(small_training(tmp_path, recipe="four_step", steps=4), resume=True)
    annotations = tmp_path / "train.json"
    annotations.write_text(annotations.read_text().replace('"box"', '"cube"'))
    with pytest.raises(InputError, match="ball, box against ball, cube"):
        train_detector(config, resume=True)


def test_one_stage_networks_warn_that_they_do_not_support_partial_labels(tmp_path, caplog):
    config = small_training(tmp_path, images=2, network={"architecture": "ssdlite320_mobilenet_v3_large"})
    annotations = tmp_path / "train.json"
    content = json.loads(annotations.read_text())
    content["images"][1]["unlabelled"] = ["ball"]
    annotations.write_text(json.dumps(content))
    train_set, val_set = train._read_datasets(config)
    with caplog.at_level(logging.WARNING):
        train._TrainingRun(config, tmp_path, model_info(config), train_set, val_set).initial_model()
    assert "1 images such as train/02.png" in caplog.text


def test_scores_are_calibrated_on_images_of_their_own(tmp_path):
    config = small_training(tmp_path, steps=1)
    write_coco(tmp_path / "other", 4, width=SIDE, height=SIDE)
    calibrated = config.model_copy(update={"calibration": str(tmp_path / "other" / "train.json")})
    path = train_detector(calibrated)
    categories = read_weights(path)[1].categories
    assert len(read_weights(path)[1].calibration) == len(categories)
    assert all(factor > 0 for factor, _ in read_weights(path)[1].calibration)
