"""Joint and four-step training: every architecture learns eight images, and each stage trains its own parts."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torchvision.models import mobilenet_v3_small, resnet18
from torchvision.models.detection import ssdlite

from small_trainings import SIDE, SMALL_TRAINING, small_training
from tracker.training.curves import read_metrics_log
from tracker.training.detector import train
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.train import train_detector
from tracker.training.detector.training_stages import training_stages

pytestmark = SMALL_TRAINING

SMALL = {"min_size": SIDE, "max_size": SIDE}
FEW = {
    "rpn_pre_nms_top_n_train": 200, "rpn_post_nms_top_n_train": 100, "rpn_post_nms_top_n_test": 50,
    "box_batch_size_per_image": 32,
}  # fmt: skip
FPN = {**SMALL, **FEW, "anchor_sizes": ((16,), (24,), (32,), (48,), (64,)), "fpn_channels": 32, "head_width": 64}
NETWORKS: dict[str, dict[str, Any]] = {
    "builtin": {"architecture": "builtin", **FEW},
    "resnet18": {"architecture": "fasterrcnn_fpn", "backbone": "resnet18", **FPN},
    "shufflenet": {"architecture": "fasterrcnn_fpn", "backbone": "shufflenet_v2_x0_5", **FPN},
    "mask": {"architecture": "maskrcnn_fpn", "backbone": "resnet18", **FPN},
    "vgg": {
        "architecture": "fasterrcnn_vgg16", "backbone": "vgg11_bn", **SMALL, **FEW,
        "anchor_sizes": ((16, 32, 64),), "head_width": 256, "head_dropout": 0,
    },
    "c4": {
        "architecture": "fasterrcnn_resnet50_c4", "backbone": "resnet18", **SMALL, **FEW,
        "anchor_sizes": ((16, 32, 64),), "roi_size": 4, "box_batch_size_per_image": 8, "rpn_post_nms_top_n_test": 30,
    },
    "retinanet": {"architecture": "retinanet_resnet50_fpn", **SMALL},
    "fcos": {"architecture": "fcos_resnet50_fpn", **SMALL},
    "ssdlite": {"architecture": "ssdlite320_mobilenet_v3_large"},
}  # fmt: skip


@pytest.fixture
def small_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives torchvision's one-stage detectors small backbones, whose statistics adapt within a test's few steps."""
    for name in ("retinanet", "fcos"):
        module = getattr(torchvision.models.detection, name)
        monkeypatch.setattr(module, "resnet50", lambda progress, **settings: resnet18(**settings))
    monkeypatch.setattr(ssdlite, "mobilenet_v3_large", lambda progress, **settings: mobilenet_v3_small(**settings))
    monkeypatch.setattr(ssdlite, "partial", lambda layer, eps, momentum: partial(layer, eps=eps))


@pytest.fixture(autouse=True)
def no_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the evaluation and the model card at the end of a training."""
    monkeypatch.setattr(train, "write_artifacts", lambda *_: None)


# Untrained networks learn with batch norms over eight images.
@pytest.mark.slow
@pytest.mark.usefixtures("small_backbones")
@pytest.mark.parametrize(
    ("recipe", "name", "steps", "batch_size", "learning_rate"),
    [
        ("joint", "builtin", 140, 8, 3e-3),
        ("joint", "resnet18", 80, 8, 2e-3),
        pytest.param("joint", "shufflenet", 140, 8, 3e-3, marks=pytest.mark.long),
        pytest.param("joint", "mask", 60, 8, 1e-3, marks=pytest.mark.long),
        pytest.param("joint", "vgg", 60, 8, 1e-3, marks=pytest.mark.long),
        pytest.param("joint", "c4", 40, 8, 1e-3, marks=pytest.mark.long),
        pytest.param("joint", "retinanet", 60, 8, 4e-4, marks=pytest.mark.long),
        pytest.param("joint", "fcos", 40, 8, 4e-4, marks=pytest.mark.long),
        pytest.param("joint", "ssdlite", 80, 8, 2e-3, marks=pytest.mark.long),
        pytest.param("four_step", "resnet18", 240, 4, 2e-3, marks=pytest.mark.long),
    ],
)
def test_it_learns_eight_images(
    tmp_path: Path, recipe: str, name: str, steps: int, batch_size: int, learning_rate: float
) -> None:
    config = small_training(
        tmp_path,
        recipe=recipe,
        network=NETWORKS[name],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=20,
    )
    train_detector(config)
    metrics = read_metrics_log(tmp_path / "run", {stage.name: stage.steps for stage in training_stages(config)})
    assert max(metrics["AP50"].values()) > 0.9


@pytest.mark.slow
def test_each_of_the_four_steps_trains_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    train_stage = train._TrainingRun.train_stage

    def record_state(self: Any, *arguments: Any) -> Any:
        model, is_global_zero = train_stage(self, *arguments)
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return model, is_global_zero

    monkeypatch.setattr(train._TrainingRun, "train_stage", record_state)
    network = NETWORKS["builtin"]
    train_detector(small_training(tmp_path, recipe="four_step", steps=4, warmup_steps=1, batch_size=2, network=network))
    first, second, third, fourth = states
    assert unchanged_parts(first, second) == {"rpn"}
    assert unchanged_parts(second, third) == {"backbone", "roi_heads"}
    assert unchanged_parts(third, fourth) == {"backbone", "rpn"}


def unchanged_parts(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Returns the parts of a network of which all arrays are equal."""
    changed = {key.split(".")[0] for key, value in before.items() if not torch.equal(value, after[key])}
    return {key.split(".")[0] for key in before} - changed


@pytest.mark.slow
def test_the_second_stage_resumes_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "recipe": "four_step", "steps": 8, "warmup_steps": 1, "batch_size": 2, "ema_decay": 0.9, "checkpoint_every": 1,
        "network": NETWORKS["builtin"],
    }  # fmt: skip
    train_detector(small_training(tmp_path, **changes))
    expected = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    training_step = DetectorModule.training_step
    for last in (0, 2):  # finished steps of the second stage
        config = small_training(tmp_path, folder=str(tmp_path / f"interrupted{last}"), **changes)

        def interrupt(self: DetectorModule, batch: Any, index: int, last: int = last) -> torch.Tensor:
            if self.stage.name == "2-roi-heads" and self.global_step == last:
                raise KeyboardInterrupt
            return training_step(self, batch, index)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(DetectorModule, "training_step", interrupt)
            train_detector(config)
        train_detector(config, resume=True)
        resumed = torch.load(Path(config.folder) / "last.ckpt", weights_only=True)["state_dict"]
        for name, value in expected.items():
            assert torch.equal(resumed[name], value), name
