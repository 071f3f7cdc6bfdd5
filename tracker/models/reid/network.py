"""Appearance networks by name, untrained: classification networks whose penultimate layer is the embedding."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tracker.config import EmbedderNetwork
from tracker.errors import InputError, did_you_mean
from tracker.models.reid.builtin import ShuffleStripes
from tracker.models.reid.lenet import LeNet

OWN_CROP_SIZES = {"builtin": (128, 64), "lenet": (32, 32)}  # architectures that are not torchvision's: (height, width)
_UNCHANGED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of ImageNet's colors


class AppearanceNetwork(nn.Module):
    """An embedder or classifier of crops: a backbone, a projection, a neck and a classification layer.

    Attributes:
        body: (B, 3, H, W) -> (B, F): a classification network up to the input of its last Linear.
        project: (B, F) -> (B, D).
        neck: (B, D) -> (B, D).
        judge: (B, D) -> (B, C) logits of the classes; an Identity in an embedder. The names of these attributes are
            keys of weights files.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, features: int, network: EmbedderNetwork, num_classes: int) -> None:
        super().__init__()
        self.dimension = network.dimension or features
        mean, std = _UNCHANGED if network.architecture in OWN_CROP_SIZES else IMAGENET
        self.body = body
        self.project = nn.Linear(features, self.dimension, bias=False) if network.dimension else nn.Identity()
        self.neck = nn.BatchNorm1d(self.dimension) if network.neck else nn.Identity()
        self.judge = nn.Linear(self.dimension, num_classes) if num_classes else nn.Identity()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward_features(self, crops: Tensor) -> Tensor:
        """Maps (B, 3, H, W) RGB from 0 to 255 to features (B, D) before the neck."""
        return self.project(self.body((crops / 255 - self.mean) / self.std))  # type: ignore[no-any-return]

    def forward(self, crops: Tensor) -> Tensor:
        """Maps (B, 3, H, W) RGB from 0 to 255 to embeddings (B, D), float32 rows of length 1."""
        return F.normalize(self.neck(self.forward_features(crops)).float(), dim=1)

    def logits(self, crops: Tensor) -> Tensor:
        """Maps (B, 3, H, W) RGB from 0 to 255 to logits (B, C)."""
        return self.judge(self.neck(self.forward_features(crops)))  # type: ignore[no-any-return]


def embedder_names() -> list[str]:
    """Returns the names of all architectures, our own first.

    Example:
        >>> embedder_names()[:2]
        ['builtin', 'lenet']
    """
    names = torchvision.models.list_models(module=torchvision.models)
    # SqueezeNet ends in a convolution, and MNASNet loads no weights without the version of its code.
    return [*OWN_CROP_SIZES, *(name for name in names if not name.startswith(("squeezenet", "mnasnet")))]


def crop_size(architecture: str) -> tuple[int, int]:
    """Returns the default (height, width) of an architecture's crops; for torchvision's that of its ImageNet weights.

    Raises:
        InputError: The architecture is unknown.
    """
    _check_name(architecture)
    if architecture in OWN_CROP_SIZES:
        return OWN_CROP_SIZES[architecture]
    side = torchvision.models.get_model_weights(architecture).DEFAULT.transforms().crop_size[0]
    return side, side


def build_embedder(network: EmbedderNetwork, size: tuple[int, int], num_classes: int = 0) -> AppearanceNetwork:
    """Builds an untrained appearance network.

    Args:
        network: Its settings.
        size: (height, width) of the crops, pixels.
        num_classes: Number of classes of a classifier; 0 for an embedder.

    Raises:
        InputError: The architecture is unknown, or does not support crops of this size.

    Example:
        >>> embedder = build_embedder(EmbedderNetwork(architecture="lenet", dimension=16), (32, 32)).eval()
        >>> embedder(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 16])
    """
    name = network.architecture
    _check_name(name)
    if name != "lenet" and network.width != 1:
        raise InputError(f"{name} has no width: leave it out")
    try:
        body = _build_body(network, size)
        with torch.no_grad():
            features = body.eval()(torch.zeros(1, 3, *size)).shape[1]
    except (RuntimeError, AssertionError, ValueError):
        height, width = crop_size(name)
        raise InputError(
            f"{name} cannot take crops of {size[0]} x {size[1]} pixels (height x width); {height} x {width} fit"
        ) from None
    return AppearanceNetwork(body.train(), features, network, num_classes)


def _check_name(name: str) -> None:
    if name not in embedder_names():
        raise InputError(f"unknown architecture {name!r}{did_you_mean(name, embedder_names())}")


def _build_body(network: EmbedderNetwork, size: tuple[int, int]) -> nn.Module:
    if network.architecture == "builtin":
        return ShuffleStripes()
    if network.architecture == "lenet":
        return LeNet(network.width)
    model: nn.Module = torchvision.models.get_model(network.architecture, weights=None, **_options(network, size))
    last_linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last_linear.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model


def _options(network: EmbedderNetwork, size: tuple[int, int]) -> dict[str, object]:
    """Returns the arguments of torchvision's builder."""
    if network.architecture in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    if network.architecture.startswith("vit_"):  # its position embedding depends on the image size
        height, width = size
        if height != width:
            raise ValueError("only squares")
        return {"image_size": height}
    return {}
