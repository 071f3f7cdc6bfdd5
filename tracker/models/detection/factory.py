"""Detectors by name and by file, ready to use."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.detection.architectures import OURS, build_detector, detector_names, torchvision_names
from tracker.models.detection.compile import compile_parts
from tracker.models.detection.detector import Detector
from tracker.models.detection.exported import is_exported, load_exported, read_description
from tracker.models.detection.weights import (
    BUILTIN,
    default_weights,
    network_of,
    read_weights,
    torchvisions_path,
    torchvisions_state,
)
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import State, choose_backend, choose_device, fold_batch_norm, in_half

log = logging.getLogger(__name__)

DEFAULT_MODEL = DetectorConfig().model


def load_detector(config: DetectorConfig) -> Detector:
    """The detector that a config asks for, ready to use. A file of weights says itself what network it is for.

    Raises:
        InputError: The model, its weights, a class, the device or the backend is unknown or cannot be had.
    """
    device = choose_device(config.device)
    model: nn.Module
    if is_exported(config):
        info = info_of(config)
        model, backend = load_exported(config, device)
    else:
        backend = choose_backend(config.backend, device, config.precision)
        model, info = _built(config, backend, in_half(config.precision, device))
    log.info("%s computes the detector on %s", backend, device)
    return Detector(model, info, device, config.threads, labels_of(config.classes, info), config.masks, backend)


def _built(config: DetectorConfig, backend: str, half: bool) -> tuple[nn.Module, ModelInfo]:
    """A network with the weights and thresholds that a config asks for, and what it is."""
    state, info = _stored(config)
    model = build_detector(network_of(info, str(weights_path(config))), len(info.categories))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{weights_path(config)} does not fit its architecture: {reason}") from None
    fold_batch_norm(model)
    set_thresholds(model, config)
    compile_parts(model, backend, half, config.threads)
    return model, info


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
    return info_of(config).categories


def info_of(config: DetectorConfig) -> ModelInfo:
    """What the detector that a config asks for is, without building it.

    Raises:
        InputError: As `load_detector`.
    """
    if config.weights == "coco":
        return _coco_info(config.model)
    if not is_exported(config):
        return _stored(config)[1]
    info, _ = read_description(Path(config.weights))
    _check_name(config, info)
    return info


def weights_path(config: DetectorConfig) -> Path:
    """The file that the detector's weights come from; torchvision's lie in its own cache."""
    if config.weights == "coco":
        return torchvisions_path(_coco_weights(config.model))
    return Path(config.weights) if config.weights else BUILTIN


def _stored(config: DetectorConfig) -> tuple[State, ModelInfo]:
    if config.model not in detector_names():
        raise InputError(f"unknown model {config.model!r}{did_you_mean(config.model, detector_names())}")
    if config.weights == "coco":
        info = _coco_info(config.model)
        return torchvisions_state(_coco_weights(config.model)), info
    if not config.weights and config.model != DEFAULT_MODEL:
        coco = " --weights coco (downloaded once by torchvision) or" if config.model in torchvision_names() else ""
        raise InputError(f"{config.model} needs{coco} --weights FILE, what `track train detector` wrote")
    path = weights_path(config)
    state, info = read_weights(path)
    _check_name(config, info)
    return state, info


def _check_name(config: DetectorConfig, info: ModelInfo) -> None:
    if config.model not in (DEFAULT_MODEL, info.architecture):
        raise InputError(f"{config.weights} is of {info.architecture}, not of {config.model}: leave --model out")


def _coco_weights(name: str) -> Any:
    if name in OURS:
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


def set_thresholds(model: nn.Module, config: DetectorConfig) -> None:
    """Makes a network drop what a config does not want: low scores, overlapping boxes of a class, too many."""
    judge: Any = getattr(model, "roi_heads", model)
    judge.score_thresh = config.score
    judge.nms_thresh = config.nms_iou
    judge.detections_per_img = config.max_detections
