"""Detection networks by name, untrained."""

from collections.abc import Callable, Mapping, Set

import torchvision
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.config import DetectorNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.detection.partial_labels import add_partial_label_losses
from tracker.models.detection.rcnn import (
    builtin,
    fasterrcnn_c4,
    fasterrcnn_fpn,
    fasterrcnn_vgg16,
    maskrcnn_fpn,
    shared_arguments,
)
from tracker.models.detection.roi_align import roi_align_cpu
from tracker.models.detection.transform import DetectionTransform, SizedPreparation

OURS: Mapping[str, Callable[[DetectorNetwork, int], nn.Module]] = {
    "builtin": builtin,
    "fasterrcnn_vgg16": fasterrcnn_vgg16,
    "fasterrcnn_resnet50_c4": fasterrcnn_c4,
    "fasterrcnn_fpn": fasterrcnn_fpn,
    "maskrcnn_fpn": maskrcnn_fpn,
}

# Settings that mean nothing to an architecture.
_PREPARING = {"min_size", "max_size", "image_mean", "image_std"}
_FIXED_PARTS = {
    *("backbone", "fpn_channels", "anchor_sizes", "aspect_ratios"),
    *("roi_pooling", "roi_size", "head_width", "head_dropout"),
}
_MEANINGLESS: Mapping[str, Set[str]] = {
    "builtin": {"min_size", "max_size", "roi_pooling", "mask_weight"},
    "fasterrcnn_vgg16": {"fpn_channels", "mask_weight"},
    "fasterrcnn_resnet50_c4": {"fpn_channels", "mask_weight", "head_width", "head_dropout"},
    "fasterrcnn_fpn": {"roi_pooling", "mask_weight"},
    "maskrcnn_fpn": {"roi_pooling"},
}


def torchvision_names() -> list[str]:
    """Torchvision's detection models that give boxes."""
    names = torchvision.models.list_models(module=torchvision.models.detection)
    return [name for name in names if not name.startswith("keypoint")]


def detector_names() -> list[str]:
    """All architectures, ours first."""
    return [*OURS, *torchvision_names()]


def build_detector(network: DetectorNetwork, num_categories: int) -> nn.Module:
    """An untrained detector for a number of classes, the background not counted.

    It has torchvision's detection form: it takes a list of float32 (3, H, W) RGB pictures from 0 to 255, of any sizes
    (`builtin`: of the size that they shall have), and says of each in a dict `boxes` (N, 4) xyxy in its pixels,
    `scores` (N,), `labels` (N,) from 1, and with Mask R-CNN `masks` (N, 1, H, W). In training it also takes targets
    (see `partial`) and gives a dict of losses, already weighted.

    Raises:
        InputError: The architecture or its backbone is unknown, or a setting means nothing to it.
    """
    name = network.architecture
    if name not in detector_names():
        raise InputError(f"unknown model {name!r}{did_you_mean(name, detector_names())}")
    own = DetectorNetwork(architecture=name)
    for setting in sorted(_meaningless(name)):
        if getattr(network, setting) != getattr(own, setting):
            raise InputError(f"{name} has no {setting}: leave it out")
    model = OURS.get(name, _of_torchvision)(network, num_categories + 1)
    model.transform.__class__ = SizedPreparation if name == "builtin" else DetectionTransform
    if isinstance(model, GeneralizedRCNN):
        add_partial_label_losses(model, network)
        roi_align_cpu(model)
    return model


def _meaningless(name: str) -> Set[str]:
    if name in OURS:
        return _MEANINGLESS[name]
    if "rcnn" in name:
        return _FIXED_PARTS | (set() if name.startswith("mask") else {"mask_weight"})
    settings = DetectorNetwork.model_fields.keys() - {"architecture"}
    return settings if name.startswith("ssd") else settings - _PREPARING


def _of_torchvision(network: DetectorNetwork, num_classes: int) -> nn.Module:
    name = network.architecture
    arguments = shared_arguments(network)
    if "rcnn" not in name:
        arguments = {key: arguments[key] for key in _PREPARING} if not name.startswith("ssd") else {}
    return torchvision.models.get_model(  # type: ignore[no-any-return]
        name, weights=None, weights_backbone=None, num_classes=num_classes, **arguments
    )
