"""Detection networks by name, untrained."""

from collections.abc import Callable, Mapping, Set

import torchvision
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.config import DetectorNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.detection.center_proposals import CenterRPN
from tracker.models.detection.partial_labels import add_partial_label_losses
from tracker.models.detection.rcnn import (
    fasterrcnn_builtin,
    fasterrcnn_c4,
    fasterrcnn_fpn,
    fasterrcnn_vgg16,
    maskrcnn_fpn,
    rcnn_arguments,
)
from tracker.models.detection.roi_align import use_fast_roi_align
from tracker.models.detection.transform import DetectionTransform, PreResizedTransform

BUILDERS: Mapping[str, Callable[[DetectorNetwork, int], nn.Module]] = {
    "builtin": fasterrcnn_builtin,
    "fasterrcnn_vgg16": fasterrcnn_vgg16,
    "fasterrcnn_resnet50_c4": fasterrcnn_c4,
    "fasterrcnn_fpn": fasterrcnn_fpn,
    "maskrcnn_fpn": maskrcnn_fpn,
}
"""The architectures that are not torchvision's: settings and number of classes with background -> network."""

_TRANSFORM_SETTINGS = {"min_size", "max_size", "image_mean", "image_std"}
_OF_CLASS_MAPS = {"num_class_maps", "center_proposals", "center_weight", "added_classes", "other_classes"}
_FIXED_IN_TORCHVISION = {
    *("backbone", "fpn_channels", "anchor_sizes", "aspect_ratios"),
    *_OF_CLASS_MAPS,
    *("roi_pooling", "roi_size", "head_width", "head_dropout"),
}
_UNSUPPORTED_SETTINGS: Mapping[str, Set[str]] = {
    "builtin": {"min_size", "max_size", "roi_pooling", "mask_weight"},
    "fasterrcnn_vgg16": {"fpn_channels", *_OF_CLASS_MAPS, "mask_weight"},
    "fasterrcnn_resnet50_c4": {"fpn_channels", *_OF_CLASS_MAPS, "mask_weight", "head_width", "head_dropout"},
    "fasterrcnn_fpn": {*_OF_CLASS_MAPS, "roi_pooling", "mask_weight"},
    "maskrcnn_fpn": {*_OF_CLASS_MAPS, "roi_pooling"},
}


def torchvision_names() -> list[str]:
    """Returns the names of torchvision's detection models that predict boxes."""
    names = torchvision.models.list_models(module=torchvision.models.detection)
    return [name for name in names if not name.startswith("keypoint")]


def detector_names() -> list[str]:
    """Returns the names of all architectures, our own first.

    Example:
        >>> detector_names()[:3]
        ['builtin', 'fasterrcnn_vgg16', 'fasterrcnn_resnet50_c4']
    """
    return [*BUILDERS, *torchvision_names()]


def build_detector(network: DetectorNetwork, num_categories: int) -> nn.Module:
    """Builds an untrained detector for a number of classes, the background not counted.

    It is called like torchvision's detectors: with a list of float32 (3, H, W) RGB images from 0 to 255, of any sizes
    (`builtin`: resized already). It returns a dict for each: `boxes` (N, 4) xyxy in pixels of the image, `scores`
    (N,), `labels` (N,) from 1, and with Mask R-CNN `masks` (N, 1, H, W). In training mode it also takes targets (see
    `partial_labels`) and returns a dict of weighted losses.

    Raises:
        InputError: The architecture or its backbone is unknown, or the architecture does not support a setting.

    Example:
        >>> import torch
        >>> model = build_detector(DetectorNetwork(), 3).eval()
        >>> sorted(model([torch.zeros(3, 96, 128)])[0])
        ['boxes', 'labels', 'scores']
    """
    name = network.architecture
    if name not in detector_names():
        raise InputError(f"unknown model {name!r}{did_you_mean(name, detector_names())}")
    defaults = DetectorNetwork(architecture=name)
    for setting in sorted(_unsupported_settings(name)):
        if getattr(network, setting) != getattr(defaults, setting):
            raise InputError(f"{name} has no {setting}: leave it out")
    model = BUILDERS.get(name, _build_torchvision)(network, num_categories + 1)
    model.transform.__class__ = PreResizedTransform if name == "builtin" else DetectionTransform
    if isinstance(model, GeneralizedRCNN):
        add_partial_label_losses(model, network)
        if network.num_class_maps:
            model.rpn.__class__ = CenterRPN
        use_fast_roi_align(model)
    return model


def _unsupported_settings(name: str) -> Set[str]:
    if name in BUILDERS:
        return _UNSUPPORTED_SETTINGS[name]
    if "rcnn" in name:
        return _FIXED_IN_TORCHVISION | (set() if name.startswith("mask") else {"mask_weight"})
    settings = DetectorNetwork.model_fields.keys() - {"architecture"}
    return settings if name.startswith("ssd") else settings - _TRANSFORM_SETTINGS


def _build_torchvision(network: DetectorNetwork, num_classes: int) -> nn.Module:
    name = network.architecture
    arguments = rcnn_arguments(network)
    if "rcnn" not in name:
        arguments = {key: arguments[key] for key in _TRANSFORM_SETTINGS} if not name.startswith("ssd") else {}
    return torchvision.models.get_model(  # type: ignore[no-any-return]
        name, weights=None, weights_backbone=None, num_classes=num_classes, **arguments
    )
