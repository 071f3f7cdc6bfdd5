"""Loads detectors that PyTorch computes: builds the network, loads its weights, and sets its thresholds."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.detection.architectures import BUILDERS, build_detector, detector_names, torchvision_names
from tracker.models.detection.compile import compile_detector
from tracker.models.detection.exported import is_exported, load_exported, read_description
from tracker.models.detection.factory import DEFAULT_MODEL, detector_class_ids, input_sizes, tiling, weights_path
from tracker.models.detection.postprocess import DetectionSelector
from tracker.models.detection.selection import group_labels
from tracker.models.detection.torch_detector import TorchDetector
from tracker.models.detection.weights import (
    default_weights,
    network_from_info,
    read_weights,
    torchvision_state_dict,
    torchvision_weights_path,
)
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import (
    StateDict,
    check_size,
    choose_backend,
    choose_device,
    fold_batch_norm,
    use_half_precision,
)

log = logging.getLogger(__name__)


def load_torch_detector(config: DetectorConfig) -> TorchDetector:
    """Loads the detector of a config; errors are those of `load_detector`."""
    device = choose_device(config.device)
    model: nn.Module
    if is_exported(config):
        info = described_network(config)
        model, backend = load_exported(config, device)
    else:
        backend = choose_backend(config.backend, device, config.precision)
        model, info = _load_network(config, backend, use_half_precision(config.precision, device))
    log.info("running the detector on %s with %s", device, backend)
    class_ids = detector_class_ids(config.classes, info)
    sizes = input_sizes(config, info)
    return TorchDetector(
        model, info, device, config.threads, class_ids, config.masks, backend, sizes, tiling(config, info)
    )


def _load_network(config: DetectorConfig, backend: str, half: bool) -> tuple[nn.Module, ModelInfo]:
    """Returns a network with the weights and thresholds of a config, and its description."""
    state, info = _read_state(config)
    network = network_from_info(info, str(weights_path(config)))
    check_size(lambda: build_detector(network, len(info.categories)), state, info, weights_path(config))
    model = build_detector(network, len(info.categories))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{weights_path(config)} does not fit its architecture: {reason}") from None
    fold_batch_norm(model)
    set_thresholds(model, config, info)
    if info.size == (0, 0) and config.size != "auto":
        transform: Any = model.transform
        transform.min_size, transform.max_size = (config.size,), config.size
    compile_detector(model, backend, half, config.threads)
    return model, info


def described_network(config: DetectorConfig) -> ModelInfo:
    """Returns the description of the detector of a config; errors are those of `detector_info`."""
    if config.weights == "coco":
        return _coco_info(config.model)
    if not is_exported(config):
        return _read_state(config)[1]
    info, _ = read_description(Path(config.weights))
    _check_name(config, info)
    return info


def coco_path(name: str) -> Path:
    """Returns the path of torchvision's weights of a network in its cache."""
    return torchvision_weights_path(_coco_weights(name))


def _read_state(config: DetectorConfig) -> tuple[StateDict, ModelInfo]:
    if config.model not in detector_names():
        raise InputError(f"unknown model {config.model!r}{did_you_mean(config.model, detector_names())}")
    if config.weights == "coco":
        info = _coco_info(config.model)
        return torchvision_state_dict(_coco_weights(config.model)), info
    if not config.weights and config.model != DEFAULT_MODEL:
        coco = " --weights coco (downloaded once by torchvision) or" if config.model in torchvision_names() else ""
        raise InputError(f"{config.model} needs{coco} --weights FILE, which `track train detector` writes")
    path = weights_path(config)
    state, info = read_weights(path)
    _check_name(config, info)
    return state, info


def _check_name(config: DetectorConfig, info: ModelInfo) -> None:
    if config.model not in (DEFAULT_MODEL, info.architecture):
        raise InputError(f"{config.weights} is a {info.architecture}, not a {config.model}: leave --model out")


def _coco_weights(name: str) -> Any:
    if name in BUILDERS:
        raise InputError(f"{name} has no weights 'coco'; leave --weights out, or choose a torchvision --model")
    return default_weights(name)


def _coco_info(name: str) -> ModelInfo:
    weights = _coco_weights(name)
    return ModelInfo(
        task="detection",
        architecture=name,
        categories=tuple(weights.meta["categories"])[1:],
        size=(0, 0),
        license="BSD-3-Clause (torchvision)",
        provenance=f"torchvision {weights}, {weights.url}",
        network=DetectorNetwork(architecture=name).model_dump(mode="json"),
    )


def set_thresholds(model: nn.Module, config: DetectorConfig, info: ModelInfo) -> None:
    """Sets the thresholds of a network that `build_detector` returned, and the calibration of its scores.

    Example:
        >>> from tracker.models.model_file import ModelInfo
        >>> info = ModelInfo(task="detection", architecture="builtin", categories=("person", "car"), size=(0, 0))
        >>> set_thresholds(build_detector(DetectorNetwork(), 2), DetectorConfig(score=0.3, nms_iou=0.5), info)
    """
    roi_heads: Any = getattr(model, "roi_heads", None)
    selector: Any = getattr(roi_heads, "selector", roi_heads or model)  # one-stage networks hold the thresholds
    selector.score_thresh = config.least_score
    selector.nms_thresh = config.nms_iou
    selector.detections_per_img = config.max_detections
    if isinstance(selector, DetectionSelector):
        selector.group_nms_thresh, selector.agnostic_nms_thresh = config.group_nms_iou, config.agnostic_nms_iou
        selector.groups = torch.from_numpy(group_labels(info.categories, config.class_groups))
        selector.calibration = torch.tensor(info.calibration, dtype=torch.float32).reshape(-1, 2).t().contiguous()
