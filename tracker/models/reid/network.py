"""Appearance networks by name, untrained: classifiers whose penultimate layer is the embedding."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tracker.config import EmbedderNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.reid.builtin import ShuffleStripes
from tracker.models.reid.lenet import LeNet

OURS = {"builtin": (128, 64), "lenet": (32, 32)}  # and the (height, width) of their crops
_PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of torchvision's ImageNet pictures


class AppearanceNetwork(nn.Module):
    """A classifier of crops in parts: what sees, the projection, the neck, and what judges.

    Attributes:
        body: (B, 3, H, W) -> (B, F): a classification network up to the input of its last Linear.
        project: (B, F) -> (B, D).
        neck: (B, D) -> (B, D).
        judge: (B, D) -> (B, C) logits of the classes; nothing in a network that only embeds.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, features: int, network: EmbedderNetwork, classes: int) -> None:
        super().__init__()
        self.dimension = network.dimension or features
        mean, deviation = _PLAIN if network.architecture in OURS else _IMAGENET
        self.body = body
        self.project = nn.Linear(features, self.dimension, bias=False) if network.dimension else nn.Identity()
        self.neck = nn.BatchNorm1d(self.dimension) if network.neck else nn.Identity()
        self.judge = nn.Linear(self.dimension, classes) if classes else nn.Identity()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def projected(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 255 -> (B, D), before the neck."""
        return self.project(self.body((crops / 255 - self.mean) / self.deviation))  # type: ignore[no-any-return]

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 255 -> embeddings (B, D), float32 rows of length 1."""
        return F.normalize(self.neck(self.projected(crops)).float(), dim=1)

    def logits(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 255 -> (B, C), before the softmax."""
        return self.judge(self.neck(self.projected(crops)))  # type: ignore[no-any-return]


def embedder_names() -> list[str]:
    """All architectures, ours first."""
    others = torchvision.models.list_models(module=torchvision.models)
    # SqueezeNet ends in a convolution, and MNASNet takes no arrays that come without the version of its code.
    return [*OURS, *(name for name in others if not name.startswith(("squeezenet", "mnasnet")))]


def crop_size(architecture: str) -> tuple[int, int]:
    """(height, width) of the crops for which a network was made: of torchvision's, its ImageNet weights' pictures.

    Raises:
        InputError: It is unknown.
    """
    _check_name(architecture)
    if architecture in OURS:
        return OURS[architecture]
    side = torchvision.models.get_model_weights(architecture).DEFAULT.transforms().crop_size[0]
    return side, side


def build_embedder(network: EmbedderNetwork, size: tuple[int, int], classes: int = 0) -> AppearanceNetwork:
    """An untrained appearance network.

    Args:
        network: What it is made of.
        size: (height, width) of its crops, pixels.
        classes: Number of classes that it also judges.

    Raises:
        InputError: The architecture is unknown, or cannot take crops of this size.
    """
    name = network.architecture
    _check_name(name)
    if name != "lenet" and network.width != 1:
        raise InputError(f"{name} has no width: leave it out")
    try:
        body = _body(network, size)
        with torch.no_grad():
            features = body.eval()(torch.zeros(1, 3, *size)).shape[1]
    except (RuntimeError, AssertionError, ValueError):
        height, width = crop_size(name)
        raise InputError(
            f"{name} cannot take crops of {size[0]} x {size[1]} pixels (height x width); {height} x {width} fit"
        ) from None
    return AppearanceNetwork(body.train(), features, network, classes)


def _check_name(name: str) -> None:
    if name not in embedder_names():
        raise InputError(f"unknown architecture {name!r}{did_you_mean(name, embedder_names())}")


def _body(network: EmbedderNetwork, size: tuple[int, int]) -> nn.Module:
    if network.architecture == "builtin":
        return ShuffleStripes()
    if network.architecture == "lenet":
        return LeNet(network.width)
    whole: nn.Module = torchvision.models.get_model(network.architecture, weights=None, **_options(network, size))
    last = [name for name, module in whole.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(whole.get_submodule(parent), child, nn.Identity())
    return whole


def _options(network: EmbedderNetwork, size: tuple[int, int]) -> dict[str, object]:
    """What torchvision's builders need to be told."""
    if network.architecture in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    if network.architecture.startswith("vit_"):  # has a weight for each place
        height, width = size
        if height != width:
            raise ValueError("only squares")
        return {"image_size": height}
    return {}
