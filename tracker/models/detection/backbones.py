"""Classification networks as trunks of detectors: cut into stages, one for each stride of their feature maps."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import mul

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tracker.errors import InputError, did_you_mean

FAMILIES = (
    "convnext",
    "densenet",
    "efficientnet",
    "mnasnet",
    "mobilenet",
    "regnet",
    "resnet",
    "resnext",
    "shufflenet",
    "vgg",
    "wide_resnet",
)  # those that are a chain of convolutional blocks, global pooling and a classifier


def backbone_names() -> list[str]:
    """Torchvision's classification networks that can be a trunk."""
    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if name.startswith(FAMILIES)]


def classifier(name: str) -> nn.Module:
    """An untrained classification network.

    Raises:
        InputError: It is unknown, or cannot be a trunk.
    """
    if name not in backbone_names():
        raise InputError(f"unknown backbone {name!r}{did_you_mean(name, backbone_names())}")
    return torchvision.models.get_model(name, weights=None)  # type: ignore[no-any-return]


def split_backbone(network: nn.Module) -> list[nn.Sequential]:
    """The convolutional blocks of a network, in groups of one stride: 1 (a VGG's) or 2, then 4, 8, 16, 32."""
    stages: list[list[nn.Module]] = [[]]
    for block in _blocks(network):
        if _stride(block) > 1 and stages[-1]:
            stages.append([])
        stages[-1].append(block)
    return [nn.Sequential(*blocks) for blocks in stages]


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """What comes before the global pooling; plain sequences are opened."""
    for name, child in network.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d | nn.Linear) or name == "classifier":
            return
        if type(child) is nn.Sequential:
            yield from child.children()
        else:
            yield child


def _stride(block: nn.Module) -> int:
    """By how much a block shrinks a map."""
    strides = (getattr(module, "stride", 1) for module in block.modules())
    return max(stride if isinstance(stride, int) else max(stride) for stride in strides)


class Backbone(nn.Module):
    """The stages of a classification network that make the maps of some strides, the finest first.

    Attributes:
        names: Of the maps.
        channels: Of the maps.
        stages: All stages up to the last map.
    """

    def __init__(self, network: nn.Module, strides: Sequence[int]) -> None:
        super().__init__()
        stages = split_backbone(network)
        reached = list(accumulate((max(map(_stride, stage)) for stage in stages), mul))
        wanted = [reached.index(stride) for stride in strides]
        self.names = [str(number) for number in range(len(wanted))]
        self.stages = nn.ModuleList(stages[: wanted[-1] + 1])
        self._names = dict(zip(wanted, self.names, strict=True))
        self.channels = self._count_channels()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> maps (B, channels, h, w) by name."""
        x, maps = images, {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self._names:
                maps[self._names[number]] = x
        return maps

    @torch.no_grad()
    def _count_channels(self) -> list[int]:
        maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        return [values.shape[1] for values in maps.values()]


def backbone_stages(model: nn.Module) -> list[nn.Module]:
    """The stages of a detector's trunk, from the picture on: what is frozen, unfrozen, or learns more slowly."""
    backbone: nn.Module = model.get_submodule("backbone")
    body: nn.Module = getattr(backbone, "body", backbone)
    if isinstance(body, Backbone):
        return list(body.stages)
    return list(split_backbone(getattr(body, "features", body)))


def use_checkpointing(model: nn.Module) -> None:
    """Keeps only what goes into each block of the trunk for the backward pass, which computes the rest again.

    That takes less memory and a third more time. Batch norms that learn see each picture twice in their running means.
    Source: Chen et al. 2016, Training deep nets with sublinear memory cost, arXiv 1604.06174.
    """
    for stage in backbone_stages(model):
        # Not single layers: a ReLU in place would change what the layer before it has kept.
        for block in [block for block in stage.children() if list(block.children())] or [stage]:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
