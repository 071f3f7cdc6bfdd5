"""Transfer learning: what a training starts from."""

import inspect
from collections.abc import Sequence
from pathlib import Path

import torchvision
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.detection.architectures import OURS, torchvision_names
from tracker.models.detection.backbones import classifier, split_backbone
from tracker.models.detection.weights import (
    BUILTIN,
    default_weights,
    downloading,
    network_of,
    read_weights,
    torchvisions_state,
)
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import State, load_fitting, load_pickled

CLASS_ROWS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
CLASS_CHANNELS = ("head.classification_head.cls_logits.", "head.classification_head.module_list.")  # of one stage


def start_weights(model: nn.Module, info: ModelInfo, source: str) -> None:
    """Puts what fits of trained weights into an untrained detector, and logs how much that is.

    Arrays fit where name and shape are the same. Of an R-CNN's last layer the rows of a class fit those of the class of
    the same name.

    Args:
        model: What `build_detector` gave.
        info: What it is, and its classes.
        source: `builtin`, the weights of this package; a .safetensors or .ckpt file of our trainer; a .pth file of the
            classification network under the detector; or, downloaded by torchvision, `imagenet` (that network) or
            `coco` (one of its detectors).

    Raises:
        InputError: The weights cannot be had, or nothing of them fits.
    """
    load_fitting(model, _found(model.state_dict(), info, source), info.architecture, source)


def _found(own: State, info: ModelInfo, source: str) -> State:
    """Arrays under the names that they have in the detector."""
    if source == "coco":
        if info.architecture not in torchvision_names():
            raise InputError(f"there are no weights 'coco' for {info.architecture}, only for torchvision's detectors")
        weights = default_weights(info.architecture)
        return _by_class(torchvisions_state(weights), weights.meta["categories"][1:], own, info.categories)
    if source == "imagenet":
        return _downloaded_trunk(info)
    path = BUILTIN if source == "builtin" else Path(source)
    if path.suffix in (".safetensors", ".ckpt"):
        state, trained = read_weights(path)
        return _by_class(state, trained.categories, own, info.categories)
    return _trunk_in_file(info, path)


def _by_class(state: State, old: Sequence[str], own: State, new: Sequence[str]) -> State:
    """Brings what belongs to classes into the new order; without rows by class it is left out, if classes differ."""
    if tuple(old) == tuple(new):
        return state
    found = {key: value for key, value in state.items() if not key.startswith(CLASS_ROWS + CLASS_CHANNELS)}
    for key, value in state.items():
        if key.startswith(CLASS_ROWS) and key in own and value.shape[1:] == own[key].shape[1:]:
            found[key] = _rows(value, ["", *old], own[key], ["", *new])
    return found


def _rows(given: Tensor, old: Sequence[str], own: Tensor, new: Sequence[str]) -> Tensor:
    """`own` (classes times K, ...) with the rows of `given` for each class that both know."""
    result = own.detach().clone().reshape(len(new), -1, *own.shape[1:])
    blocks = given.reshape(len(old), -1, *given.shape[1:])
    for row, name in enumerate(new):
        if name in old:
            result[row] = blocks[old.index(name)]
    return result.flatten(0, 1)


def _downloaded_trunk(info: ModelInfo) -> State:
    if info.architecture in OURS:
        network = network_of(info, "the network")
        with downloading(default_weights(network.backbone)):
            whole = torchvision.models.get_model(network.backbone, weights="DEFAULT", progress=False)
        return _of_classifier(whole)
    builder = torchvision.models.get_model_builder(info.architecture)
    with downloading(inspect.signature(builder).parameters["weights_backbone"].default):
        state = builder(progress=False, num_classes=2).state_dict()
    return {key: v for key, v in state.items() if key.startswith("backbone.") and not key.startswith("backbone.fpn.")}


def _trunk_in_file(info: ModelInfo, path: Path) -> State:
    """Of a classification network whose arrays torch.save wrote."""
    state = dict(load_pickled(path))
    if info.architecture not in OURS:
        raise InputError(f"{info.architecture} starts from imagenet, coco or a model of ours, not from {path}")
    try:
        whole = classifier(network_of(info, "the network").backbone)
        whole.load_state_dict(state)
    except (RuntimeError, KeyError, AttributeError):
        raise InputError(f"{path} does not hold the classification network under {info.architecture}") from None
    return _of_classifier(whole)


def _of_classifier(whole: nn.Module) -> State:
    """A classification network's arrays under their names in our detectors: the trunk, and what judges regions.

    That is the last stage of a ResNet (in `fasterrcnn_resnet50_c4`) and the two wide layers of a VGG.
    """
    stages = split_backbone(whole)
    parts: dict[str, nn.Module] = {f"backbone.body.stages.{n}": stage for n, stage in enumerate(stages)}
    parts["roi_heads.box_head"] = stages[-1]
    if isinstance(whole, torchvision.models.VGG):
        parts["roi_heads.box_head.fc6"], parts["roi_heads.box_head.fc7"] = whole.classifier[0], whole.classifier[3]
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
