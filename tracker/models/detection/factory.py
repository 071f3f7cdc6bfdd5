"""Loads detectors: the built-in one without PyTorch where that is possible, all others with it."""

import logging
from pathlib import Path

import numpy as np

from tracker.config import DetectorConfig
from tracker.errors import InputError, did_you_mean
from tracker.models.detection.detector import Detector
from tracker.models.detection.tiles import Tiling
from tracker.models.model_file import ModelInfo, read_info
from tracker.models.runtime.device import find_device, require_torch
from tracker.models.runtime.graphs import is_graph_backend

log = logging.getLogger(__name__)

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"
DEFAULT_MODEL = DetectorConfig().model


def load_detector(config: DetectorConfig) -> Detector:
    """Loads the detector of a config; a weights file itself names its network.

    Raises:
        InputError: The model, its weights, a class, the device or the backend is unknown or not available.

    Example:
        >>> import numpy as np
        >>> with load_detector(DetectorConfig(device="cpu")) as detector:
        ...     (detections,) = detector.detect([np.zeros((120, 160, 3), np.uint8)])
        >>> detections.boxes.shape
        (0, 4)
    """
    detector = _load(config)
    detector.class_scores = np.array(score_thresholds(config, detector.info.categories), np.float32)
    return detector


def _load(config: DetectorConfig) -> Detector:
    device = find_device(config.device)
    if _is_builtin(config) and is_graph_backend(config.backend, device, config.precision == "half"):
        from tracker.models.detection.graph_detector import load_graph_detector

        return load_graph_detector(config, device)
    require_torch(f"the backend {config.backend}" if _is_builtin(config) else "a detector other than the built-in one")
    from tracker.models.detection.torch_factory import load_torch_detector

    return load_torch_detector(config)


def _is_builtin(config: DetectorConfig) -> bool:
    return not config.weights and config.model == DEFAULT_MODEL


def score_thresholds(config: DetectorConfig, categories: tuple[str, ...]) -> tuple[float, ...]:
    """Returns the score threshold of each class; none where all classes have the same.

    Raises:
        InputError: A name in `class_scores` is not among the model's classes.

    Example:
        >>> score_thresholds(DetectorConfig(class_scores={"car": 0.3}), ("person", "car"))
        (0.5, 0.3)
    """
    for name in config.class_scores:
        if name not in categories:
            raise InputError(f"class_scores: unknown class {name!r}{did_you_mean(name, list(categories))}")
    if not config.class_scores:
        return ()
    return tuple(config.class_scores.get(name, config.score) for name in categories)


def detector_class_ids(classes: tuple[str, ...], info: ModelInfo) -> tuple[int, ...]:
    """Returns the labels of classes by name or number; all labels for none.

    Raises:
        InputError: A name is not among the model's classes.
    """
    numbers = {str(n): name for n, name in enumerate(info.categories)}
    classes = tuple(name if name in info.categories else numbers.get(name, name) for name in classes)
    for name in classes:
        if name not in info.categories:
            raise InputError(f"unknown class {name!r}{did_you_mean(name, list(info.categories))}")
    return tuple(n for n, name in enumerate(info.categories) if not classes or name in classes)


def detector_categories(config: DetectorConfig) -> tuple[str, ...]:
    """Returns the class names, by label, of the detector of a config, without building it.

    Example:
        >>> detector_categories(DetectorConfig())[:3]
        ('person', 'bicycle', 'car')
    """
    return detector_info(config).categories


def detector_info(config: DetectorConfig) -> ModelInfo:
    """Returns the description of the detector of a config, without building it.

    Raises:
        InputError: The model or its weights are unknown or not available.
    """
    if _is_builtin(config):
        return read_info(BUILTIN)
    require_torch("a detector other than the built-in one")
    from tracker.models.detection.torch_factory import described_network

    return described_network(config)


def weights_path(config: DetectorConfig) -> Path:
    """Returns the file of the detector's weights; torchvision's weights are in its own cache."""
    if config.weights == "coco":
        from tracker.models.detection.torch_factory import coco_path

        return coco_path(config.model)
    return Path(config.weights) if config.weights else BUILTIN


def tiling(config: DetectorConfig, info: ModelInfo) -> Tiling | None:
    """Returns the tiles of a config; None for none.

    Raises:
        InputError: They are not valid.
    """
    return None if config.tiles == "none" else Tiling(config, info.categories)


def input_sizes(config: DetectorConfig, info: ModelInfo) -> tuple[int, int]:
    """Returns the longest and shortest side, pixels, that images must not exceed; (0, 0) where the network resizes.

    Example:
        >>> info = ModelInfo(task="detection", architecture="builtin", categories=("car",), size=(640, 320))
        >>> input_sizes(DetectorConfig(size=1024), info)
        (1024, 512)
    """
    longest, shortest = info.size
    if longest == 0 or config.size == "auto":
        return info.size
    return config.size, round(shortest * config.size / longest)
