"""Joint and four-step training: every architecture learns eight pictures, and each phase trains what it should."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torchvision.models import mobilenet_v3_small, resnet18
from torchvision.models.detection import ssdlite

from small_trainings import SIDE, SMALL_TRAINING, settings
from tracker.training import detector as training
from tracker.training.curves import read_metrics_log
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.phases import phases_of
from tracker.training.detector.train import train_detector

pytestmark = SMALL_TRAINING

SMALL = {"min_size": SIDE, "max_size": SIDE}
FEW = {
    "rpn_pre_nms_top_n_train": 200, "rpn_post_nms_top_n_train": 100, "rpn_post_nms_top_n_test": 50,
    "box_batch_size_per_image": 32,
}  # fmt: skip
PYRAMID = {**SMALL, **FEW, "anchor_sizes": ((16,), (24,), (32,), (48,), (64,)), "fpn_channels": 32, "head_width": 64}
NETWORKS: dict[str, dict[str, Any]] = {
    "builtin": {"architecture": "builtin", **FEW},
    "resnet18": {"architecture": "fasterrcnn_fpn", "backbone": "resnet18", **PYRAMID},
    "shufflenet": {"architecture": "fasterrcnn_fpn", "backbone": "shufflenet_v2_x0_5", **PYRAMID},
    "mask": {"architecture": "maskrcnn_fpn", "backbone": "resnet18", **PYRAMID},
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
def small_trunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives torchvision's one-stage detectors small trunks, whose statistics follow within a test's few steps."""
    for name in ("retinanet", "fcos"):
        module = getattr(torchvision.models.detection, name)
        monkeypatch.setattr(module, "resnet50", lambda progress, **settings: resnet18(**settings))
    monkeypatch.setattr(ssdlite, "mobilenet_v3_large", lambda progress, **settings: mobilenet_v3_small(**settings))
    monkeypatch.setattr(ssdlite, "partial", lambda layer, eps, momentum: partial(layer, eps=eps))


@pytest.fixture(autouse=True)
def unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what is measured and drawn at the end."""
    monkeypatch.setattr(training, "finish", lambda *_: None)


# Networks that start from noise learn through batch norms that see eight pictures.
@pytest.mark.slow
@pytest.mark.usefixtures("small_trunks")
@pytest.mark.parametrize(
    ("recipe", "name", "steps", "batch_size", "learning_rate"),
    [
        ("joint", "builtin", 140, 8, 3e-3),
        ("joint", "resnet18", 80, 8, 2e-3),
        pytest.param("joint", "shufflenet", 140, 8, 3e-3, marks=pytest.mark.long),
        ("joint", "mask", 60, 8, 1e-3),
        pytest.param("joint", "vgg", 60, 8, 1e-3, marks=pytest.mark.long),
        pytest.param("joint", "c4", 40, 8, 1e-3, marks=pytest.mark.long),
        pytest.param("joint", "retinanet", 60, 8, 4e-4, marks=pytest.mark.long),
        pytest.param("joint", "fcos", 40, 8, 4e-4, marks=pytest.mark.long),
        pytest.param("joint", "ssdlite", 80, 8, 2e-3, marks=pytest.mark.long),
        ("four_step", "resnet18", 240, 4, 2e-3),
    ],
)
def test_it_learns_eight_pictures(
    tmp_path: Path, recipe: str, name: str, steps: int, batch_size: int, learning_rate: float
) -> None:
    config = settings(
        tmp_path,
        recipe=recipe,
        network=NETWORKS[name],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=20,
    )
    train_detector(config)
    course = read_metrics_log(tmp_path / "run", {phase.name: phase.steps for phase in phases_of(config)})
    assert max(course["AP50"].values()) > 0.9


@pytest.mark.slow
def test_each_of_the_four_steps_trains_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    run = training._Training.run

    def watched(self: Any, *arguments: Any) -> Any:
        model, first = run(self, *arguments)
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return model, first

    monkeypatch.setattr(training._Training, "run", watched)
    config = settings(tmp_path, recipe="four_step", steps=4, warmup_steps=1, batch_size=2, network=NETWORKS["builtin"])
    train_detector(config)
    first, second, third, fourth = states
    assert same(first, second) == {"rpn"}
    assert same(second, third) == {"backbone", "roi_heads"}
    assert same(third, fourth) == {"backbone", "rpn"}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    """The parts of a network that are equal in all their arrays."""
    different = {key.split(".")[0] for key, value in one.items() if not torch.equal(value, other[key])}
    return {key.split(".")[0] for key in one} - different


@pytest.mark.slow
def test_a_second_phase_goes_on_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "recipe": "four_step", "steps": 8, "warmup_steps": 1, "batch_size": 2, "ema": 0.9, "checkpoint_every": 1,
        "network": NETWORKS["builtin"],
    }  # fmt: skip
    train_detector(settings(tmp_path, **changes))
    whole = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    ordinary = DetectorModule.training_step
    for last in (0, 2):  # steps done of the second phase
        cut = settings(tmp_path, folder=str(tmp_path / f"cut{last}"), **changes)

        def stops(self: DetectorModule, batch: Any, index: int, last: int = last) -> torch.Tensor:
            if self.phase.name == "2-roi-heads" and self.global_step == last:
                raise KeyboardInterrupt
            return ordinary(self, batch, index)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(DetectorModule, "training_step", stops)
            train_detector(cut)
        train_detector(cut, resume=True)
        resumed = torch.load(Path(cut.folder) / "last.ckpt", weights_only=True)["state_dict"]
        for name, value in whole.items():
            assert torch.equal(resumed[name], value), name
