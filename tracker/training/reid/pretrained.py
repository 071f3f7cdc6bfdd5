"""Transfer learning of appearance networks: pretrained weights, and the stages of a backbone that can be frozen."""

from pathlib import Path

from torch import nn
from torchvision import models

from tracker.errors import InputError
from tracker.models.detection.backbones import split_backbone
from tracker.models.detection.weights import default_weights, torchvision_state_dict
from tracker.models.reid import BUILTIN
from tracker.models.reid.builtin import ShuffleStripes
from tracker.models.reid.network import OWN_CROP_SIZES, AppearanceNetwork
from tracker.models.runtime import (
    StateDict,
    load_imagenet_backbone,
    load_matching_weights,
    load_torch_file,
    read_weights,
)


def load_pretrained_weights(model: AppearanceNetwork, architecture: str, source: str) -> None:
    """Loads the pretrained weights that match an untrained appearance network, and logs how many do.

    Args:
        model: The network from `build_embedder`.
        architecture: Its name.
        source: `builtin`, the weights of this package; a .safetensors or .ckpt file of our trainers; a .pth file of
            torchvision's weights of the network, or of the built-in backbone; or `imagenet`, downloaded by torchvision.

    Raises:
        InputError: The weights are not available, or none of them match.
    """
    load_matching_weights(model, _read_state_dict(model, architecture, source), architecture, source)


def _read_state_dict(model: AppearanceNetwork, architecture: str, source: str) -> StateDict:
    """Reads weights, with the keys of our network."""
    path = BUILTIN if source == "builtin" else Path(source)
    if path.suffix in (".safetensors", ".ckpt"):
        return read_weights(path, "embedding", "classification")[0]
    if source != "imagenet":
        return _read_torch_file(model, architecture, path)
    if architecture in OWN_CROP_SIZES:
        raise InputError(f"there are no weights 'imagenet' for {architecture}: give a file, or a model of this package")
    return _with_prefix(torchvision_state_dict(default_weights(architecture)))


def _read_torch_file(model: AppearanceNetwork, architecture: str, path: Path) -> StateDict:
    """Reads the weights of a classification network from a file of torch.save."""
    state = dict(load_torch_file(path))
    mismatch = InputError(
        f"{path} does not hold the weights of {architecture}: give its .pth file, or a model of this package"
    )
    if isinstance(model.body, ShuffleStripes):
        try:
            load_imagenet_backbone(model.body.trunk, state)
        except (RuntimeError, KeyError, AttributeError):
            raise mismatch from None
        return _with_prefix({f"trunk.{key}": value for key, value in model.body.trunk.state_dict().items()})
    if model.body.state_dict().keys() - state.keys():
        raise mismatch
    return _with_prefix(state)


def _with_prefix(state: StateDict) -> StateDict:
    return {f"body.{key}": value for key, value in state.items()}


def backbone(model: AppearanceNetwork) -> nn.Module:
    """Returns the part for which ImageNet weights exist; it has a learning rate of its own."""
    return model.body.trunk if isinstance(model.body, ShuffleStripes) else model.body


def backbone_stages(model: AppearanceNetwork) -> list[nn.Module]:
    """Returns the stages of the backbone, from the input on, which can be frozen."""
    body = model.body
    if isinstance(body, ShuffleStripes):
        return [body.trunk.get_submodule(name) for name in ("first_conv", "stage2", "stage3", "stage4")]
    if isinstance(body, models.VisionTransformer):
        return [body.conv_proj, *body.encoder.layers]
    if isinstance(body, models.SwinTransformer):
        return list(body.features)
    if isinstance(body, models.MaxVit):
        return [body.stem, *body.blocks]
    return list(split_backbone(body))
