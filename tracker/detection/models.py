"""Detectors by name: the built-in one, torchvision's, and what our trainer wrote."""

import urllib.error
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tracker.config import DetectorConfig
from tracker.detection.builtin import build_builtin
from tracker.detection.detector import Detector
from tracker.errors import InputError, did_you_mean
from tracker.networks import choose_device, in_half
from tracker.weights import ModelInfo, load_model

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"


def torchvision_names() -> list[str]:
    """Torchvision's detection models that give boxes."""
    names = torchvision.models.list_models(module=torchvision.models.detection)
    return [name for name in names if not name.startswith("keypoint")]


def load_detector(config: DetectorConfig) -> Detector:
    """The detector that a config asks for, ready to use.

    Raises:
        InputError: The model, its weights, a class or the device is unknown or cannot be had.
    """
    device = choose_device(config.device)
    model, info = _builtin(config) if config.model == "builtin" else _from_torchvision(config)
    _set_thresholds(model, config)
    half = in_half(config.precision, device)
    return Detector(model, info, device, half=half, threads=config.threads, keep=labels_of(config.classes, info))


def labels_of(classes: tuple[str, ...], info: ModelInfo) -> tuple[int, ...]:
    """Labels of classes by name; all of them for no names.

    Raises:
        InputError: A name is not among the model's classes.
    """
    for name in classes:
        if name not in info.categories:
            raise InputError(f"unknown class {name!r}{did_you_mean(name, list(info.categories))}")
    return tuple(n for n, name in enumerate(info.categories) if not classes or name in classes)


def categories_of(config: DetectorConfig) -> tuple[str, ...]:
    """The class names by label of the detector that a config asks for, without building it."""
    if config.model == "builtin":
        return load_model(weights_path(config))[1].categories
    return tuple(_coco_weights(config.model).meta["categories"][1:])


def weights_path(config: DetectorConfig) -> Path:
    """The file that the detector's weights come from; torchvision's lie in its own cache."""
    if config.weights == "coco":
        weights = _coco_weights(config.model)
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    return Path(config.weights) if config.weights else BUILTIN


def _builtin(config: DetectorConfig) -> tuple[nn.Module, ModelInfo]:
    if config.weights == "coco":
        raise InputError(
            "the builtin detector has no weights 'coco'; leave --weights out, or choose a torchvision --model"
        )
    path = weights_path(config)
    state, info = load_model(path)
    if info.task != "detection":
        raise InputError(f"{path} is a model for {info.task}, not for detection")
    model = build_builtin(len(info.categories) + 1)
    try:
        model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    except RuntimeError as error:
        raise InputError(f"{path} does not fit its architecture: {str(error).splitlines()[-1].strip()}") from None
    return fold_batch_norm(model.eval()), info


def _coco_weights(name: str) -> Any:
    if name not in torchvision_names():
        raise InputError(f"unknown model {name!r}{did_you_mean(name, ['builtin', *torchvision_names()])}")
    return torchvision.models.get_model_weights(name).DEFAULT


def _from_torchvision(config: DetectorConfig) -> tuple[nn.Module, ModelInfo]:
    weights = _coco_weights(config.model)
    if config.weights != "coco":
        raise InputError(
            f"{config.model} needs --weights coco (downloaded once by torchvision); got {config.weights!r}"
        )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"cannot download {weights.url} ({error}); put the file at {weights_path(config)}") from None
    except RuntimeError as error:
        raise InputError(
            f"the weights at {weights_path(config)} are damaged ({error}); delete them and try again"
        ) from None
    categories = tuple(weights.meta["categories"])
    model = torchvision.models.get_model(config.model, weights=None, weights_backbone=None, num_classes=len(categories))
    model.load_state_dict(state)
    info = ModelInfo(
        task="detection",
        architecture=config.model,
        categories=categories[1:],
        size=(0, 0),
        license="BSD-3-Clause (torchvision)",
        provenance=f"torchvision {weights}, {weights.url}",
    )
    return Unit(model), info


class Unit(nn.Module):
    """Gives torchvision's detectors pictures from 0 to 1, as they expect them, instead of from 0 to 255."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        return self.model([image / 255 for image in images])  # type: ignore[no-any-return]


def _set_thresholds(model: nn.Module, config: DetectorConfig) -> None:
    network: Any = model.model if isinstance(model, Unit) else model
    if hasattr(network, "roi_heads"):
        network = network.roi_heads
    network.score_thresh = config.score
    network.nms_thresh = config.nms_iou
    network.detections_per_img = config.max_detections


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Puts each batch norm that follows a convolution into that convolution; the function stays the same."""
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            for n in range(len(module) - 1):
                convolution, norm = module[n], module[n + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[n] = fuse_conv_bn_eval(convolution, norm)
                    module[n + 1] = nn.Identity()
    return model
