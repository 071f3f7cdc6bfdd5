"""Transfer learning: loads pretrained weights into a detector before its training."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torchvision
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.detection.architectures import BUILDERS, torchvision_names
from tracker.models.detection.backbones import backbone_names, classification_network, split_backbone
from tracker.models.detection.factory import BUILTIN
from tracker.models.detection.rcnn import CLASS_MAP_BACKBONE
from tracker.models.detection.weights import (
    default_weights,
    download_errors,
    network_from_info,
    read_weights,
    torchvision_state_dict,
)
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import StateDict, load_matching_weights, load_torch_file

# Layers with outputs for each class: of an R-CNN, with rows by class; of a one-stage network.
CLASS_LAYERS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
_HEAD, _PREDICTOR = "roi_heads.box_head.", CLASS_LAYERS[0]
BOX_ROWS = 4  # of a last layer of boxes for one class
ONE_STAGE_CLASS_LAYERS = ("head.classification_head.cls_logits.", "head.classification_head.module_list.")


def load_pretrained_weights(
    model: nn.Module, info: ModelInfo, source: str, similar: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Loads the pretrained arrays that match an untrained detector, and logs how many do.

    Arrays match by name and shape. In an R-CNN's last layer the rows of a class match those of the class of the same
    name.

    Args:
        model: A network that `build_detector` returned.
        info: Its description, with its classes.
        source: `builtin`, the weights of this package; a .safetensors or .ckpt file of our trainer; a .pth file of the
            classification network that is the backbone; or, downloaded by torchvision, `imagenet` (that network) or
            `coco` (one of its detectors).
        similar: Of an added class, the names of those of the weights in whose place it comes, separated by /.

    Raises:
        InputError: The weights are not available, or none of them matches.
    """
    state = _pretrained_state(model.state_dict(), info, source, similar)
    load_matching_weights(model, state, info.architecture, source)


def _pretrained_state(own: StateDict, info: ModelInfo, source: str, similar: Mapping[str, str]) -> StateDict:
    """Returns the pretrained arrays under the names that they have in the detector."""
    if source == "coco":
        if info.architecture not in torchvision_names():
            raise InputError(f"there are no weights 'coco' for {info.architecture}, only for torchvision's detectors")
        weights = default_weights(info.architecture)
        return _match_classes(torchvision_state_dict(weights), weights.meta["categories"][1:], own, info.categories)
    if source == "imagenet":
        return _imagenet_backbone(info)
    path = BUILTIN if source == "builtin" else Path(source)
    if path.suffix in (".safetensors", ".ckpt"):
        state, trained = read_weights(path)
        if network_from_info(info, "the network").added_classes:
            return _match_added_classes(state, trained, own, info, similar)
        return _match_classes(state, trained.categories, own, info.categories)
    return _backbone_from_file(info, path)


def first_layer_classes(info: ModelInfo) -> tuple[str, ...]:
    """Returns the classes that a detector's first layers know: those that are not added, and others without a name."""
    network = network_from_info(info, "the network")
    reported = info.categories[: len(info.categories) - network.added_classes]
    return (*reported, *(f"other class {number}" for number in range(network.other_classes)))


def _match_added_classes(
    state: StateDict, trained: ModelInfo, own: StateDict, info: ModelInfo, similar: Mapping[str, str]
) -> StateDict:
    """Returns the arrays for a detector that adds classes: those of the others as they are, in their new order.

    Layers of added classes start from those of the others or, if there are such, from those of added classes.
    """
    matched, old = dict(state), first_layer_classes(trained)
    reported = info.categories[: len(info.categories) - network_from_info(info, "the network").added_classes]
    replaced = {name for names in similar.values() for name in names.split("/")}
    others = [name for name in old if name not in (*info.categories, *replaced)]
    rows = [0, *(1 + old.index(name) for name in (*reported, *others))]
    for key in ("weight", "bias"):
        known = state[f"{_PREDICTOR}cls_score.{key}"]
        matched[f"{_PREDICTOR}cls_score.{key}"] = known[rows]
        for layer in ("fc6", "fc7"):
            matched.setdefault(f"{_HEAD}added.{layer}.{key}", state[f"{_HEAD}{layer}.{key}"])
        name = f"{_PREDICTOR}added_score.{key}"
        added = own[name].clone()
        for row, category in enumerate(info.categories[len(reported) :]):
            first = similar.get(category, category).split("/")[0]
            if name in state and first in trained.categories[-len(state[name]) :]:
                added[row] = state[name][trained.categories.index(first) - len(trained.categories)]
            elif first in old:
                start = known[1 + old.index(first)]
                added[row] = 0  # of what the added layers say, the last inputs
                added[row].view(-1)[: start.numel()] = start
        matched[name] = added
    return matched


def _match_classes(state: StateDict, old: Sequence[str], own: StateDict, new: Sequence[str]) -> StateDict:
    """Reorders rows of class layers from the old classes to the new; drops class layers without such rows."""
    if tuple(old) == tuple(new):
        return state
    class_layers = CLASS_LAYERS + ONE_STAGE_CLASS_LAYERS
    matched = {key: value for key, value in state.items() if not key.startswith(class_layers)}
    for key, value in state.items():
        if key.startswith(CLASS_LAYERS) and key in own and value.shape[1:] == own[key].shape[1:]:
            shared = len(value) == len(own[key]) == BOX_ROWS  # one box for all classes
            matched[key] = value if shared else _copy_class_rows(value, ["", *old], own[key], ["", *new])
    return matched


def _copy_class_rows(trained: Tensor, old: Sequence[str], own: Tensor, new: Sequence[str]) -> Tensor:
    """Returns `own` (classes times K, ...) with the rows of `trained` for each class that both have."""
    result = own.detach().clone().reshape(len(new), -1, *own.shape[1:])
    blocks = trained.reshape(len(old), -1, *trained.shape[1:])
    for row, name in enumerate(new):
        if name in old:
            result[row] = blocks[old.index(name)]
    return result.flatten(0, 1)


def _imagenet_backbone(info: ModelInfo) -> StateDict:
    """Returns the arrays of the backbone, which torchvision downloads."""
    if info.architecture in BUILDERS:
        network = network_from_info(info, "the network")
        if network.backbone not in backbone_names():
            raise InputError(f"there are no weights 'imagenet' of {network.backbone}: start from a model of ours")
        with download_errors(default_weights(network.backbone)):
            classifier = torchvision.models.get_model(network.backbone, weights="DEFAULT", progress=False)
        return _classifier_state(classifier)
    builder = torchvision.models.get_model_builder(info.architecture)
    with download_errors(inspect.signature(builder).parameters["weights_backbone"].default):
        state = builder(progress=False, num_classes=2).state_dict()
    return {key: v for key, v in state.items() if key.startswith("backbone.") and not key.startswith("backbone.fpn.")}


def _backbone_from_file(info: ModelInfo, path: Path) -> StateDict:
    """Returns the arrays of the backbone from a classification network that torch.save wrote."""
    state = dict(load_torch_file(path))
    if info.architecture not in BUILDERS:
        raise InputError(f"{info.architecture} starts from imagenet, coco or a model of ours, not from {path}")
    backbone = network_from_info(info, "the network").backbone
    if backbone == CLASS_MAP_BACKBONE:
        raise InputError(f"{path} does not hold the backbone of {info.architecture}, which starts from a model of ours")
    try:
        classifier = classification_network(backbone)
        classifier.load_state_dict(state)
    except (RuntimeError, KeyError, AttributeError):
        raise InputError(f"{path} does not hold the backbone of {info.architecture}") from None
    return _classifier_state(classifier)


def _classifier_state(classifier: nn.Module) -> StateDict:
    """Returns a classification network's arrays under their names in our detectors: the backbone, and the box head.

    The box head is the last stage of a ResNet (in `fasterrcnn_resnet50_c4`) or the two wide layers of a VGG.
    """
    stages = split_backbone(classifier)
    modules: dict[str, nn.Module] = {f"backbone.body.stages.{n}": stage for n, stage in enumerate(stages)}
    modules["roi_heads.box_head"] = stages[-1]
    if isinstance(classifier, torchvision.models.VGG):
        modules["roi_heads.box_head.fc6"] = classifier.classifier[0]
        modules["roi_heads.box_head.fc7"] = classifier.classifier[3]
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
