"""Transfer learning of appearance networks: what a training starts from, and what of it is kept or changes slowly."""

from pathlib import Path

from torch import nn
from torchvision import models

from tracker.errors import InputError
from tracker.models.detection.backbones import split_backbone
from tracker.models.detection.weights import default_weights, torchvisions_state
from tracker.models.reid import BUILTIN
from tracker.models.reid.builtin import ShuffleStripes
from tracker.models.reid.network import OURS, AppearanceNetwork
from tracker.models.runtime import State, load_fitting, load_imagenet_trunk, load_pickled, read_weights


def start_weights(model: AppearanceNetwork, architecture: str, source: str) -> None:
    """Puts what fits of trained weights into an untrained appearance network, and logs how much that is.

    Args:
        model: What `build_embedder` gave.
        architecture: Its name.
        source: `builtin`, the weights of this package; a .safetensors or .ckpt file of our trainers; a .pth file of the
            network as torchvision has it, or of the built-in trunk; or `imagenet`, which torchvision downloads.

    Raises:
        InputError: The weights cannot be had, or nothing of them fits.
    """
    load_fitting(model, _found(model, architecture, source), architecture, source)


def _found(model: AppearanceNetwork, architecture: str, source: str) -> State:
    """Arrays under the names that they have in our network."""
    path = BUILTIN if source == "builtin" else Path(source)
    if path.suffix in (".safetensors", ".ckpt"):
        return read_weights(path, "embedding", "classification")[0]
    if source != "imagenet":
        return _in_file(model, architecture, path)
    if architecture in OURS:
        raise InputError(f"there are no weights 'imagenet' for {architecture}: name a file, or a model of ours")
    return _in_body(torchvisions_state(default_weights(architecture)))


def _in_file(model: AppearanceNetwork, architecture: str, path: Path) -> State:
    """Of a classification network whose arrays torch.save wrote."""
    state = dict(load_pickled(path))
    wrong = InputError(f"{path} does not hold the weights of {architecture}: give its .pth, or a model of ours")
    if isinstance(model.body, ShuffleStripes):
        try:
            load_imagenet_trunk(model.body.trunk, state)
        except (RuntimeError, KeyError, AttributeError):
            raise wrong from None
        return _in_body({f"trunk.{key}": value for key, value in model.body.trunk.state_dict().items()})
    if model.body.state_dict().keys() - state.keys():
        raise wrong
    return _in_body(state)


def _in_body(state: State) -> State:
    return {f"body.{key}": value for key, value in state.items()}


def trunk(model: AppearanceNetwork) -> nn.Module:
    """What ImageNet weights are for: it learns more slowly."""
    return model.body.trunk if isinstance(model.body, ShuffleStripes) else model.body


def backbone_stages(model: AppearanceNetwork) -> list[nn.Module]:
    """The stages of the trunk, from the picture on: what can be frozen."""
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
