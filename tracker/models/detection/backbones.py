"""Backbones of detectors: classification networks, split into stages, one for each stride of their feature maps."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import mul

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tracker.errors import InputError, did_you_mean
from tracker.models.detection.class_maps import ClassMapBackbone

FAMILIES = (
    *("convnext", "densenet", "efficientnet", "mnasnet", "mobilenet", "regnet"),
    *("resnet", "resnext", "shufflenet", "vgg", "wide_resnet"),
)
"""Prefixes of torchvision's networks that can be a backbone: a chain of convolutional blocks, global pooling and a
classifier. To add another one, add its prefix; `split_backbone` finds its blocks and their strides."""


def backbone_names() -> list[str]:
    """Returns the names of torchvision's classification networks that can be a backbone.

    Example:
        >>> "resnet50" in backbone_names(), "vit_b_16" in backbone_names()
        (True, False)
    """
    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if name.startswith(FAMILIES)]


def classification_network(name: str) -> nn.Module:
    """Builds an untrained classification network.

    Raises:
        InputError: It is unknown, or cannot be a backbone.
    """
    if name not in backbone_names():
        raise InputError(f"unknown backbone {name!r}{did_you_mean(name, backbone_names())}")
    return torchvision.models.get_model(name, weights=None)  # type: ignore[no-any-return]


def split_backbone(network: nn.Module) -> list[nn.Sequential]:
    """Splits the convolutional blocks of a network into stages of stride 1 (a VGG's) or 2, then 4, 8, 16, 32."""
    stages: list[list[nn.Module]] = [[]]
    for block in _blocks(network):
        if _stride(block) > 1 and stages[-1]:
            stages.append([])
        stages[-1].append(block)
    return [nn.Sequential(*blocks) for blocks in stages]


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Yields the modules before the global pooling; a Sequential yields its children."""
    for name, child in network.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d | nn.Linear) or name == "classifier":
            return
        if type(child) is nn.Sequential:
            yield from child.children()
        else:
            yield child


def _stride(block: nn.Module) -> int:
    """Returns the factor by which a block downsamples a feature map."""
    strides = (getattr(module, "stride", 1) for module in block.modules())
    return max(stride if isinstance(stride, int) else max(stride) for stride in strides)


class Backbone(nn.Module):
    """The stages of a classification network, with the feature maps of some strides as outputs, the finest first.

    Attributes:
        names: Names of the feature maps.
        channels: Numbers of channels of the feature maps.
        stages: All stages up to the last feature map.
    """

    def __init__(self, network: nn.Module, strides: Sequence[int]) -> None:
        super().__init__()
        stages = split_backbone(network)
        stage_strides = list(accumulate((max(map(_stride, stage)) for stage in stages), mul))
        indices = [stage_strides.index(stride) for stride in strides]
        self.names = [str(number) for number in range(len(indices))]
        self.stages = nn.ModuleList(stages[: indices[-1] + 1])
        self._name_by_stage = dict(zip(indices, self.names, strict=True))
        self.channels = self._count_channels()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps images (B, 3, H, W) to feature maps (B, channels, h, w) by name."""
        x, feature_maps = images, {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self._name_by_stage:
                feature_maps[self._name_by_stage[number]] = x
        return feature_maps

    @torch.no_grad()
    def _count_channels(self) -> list[int]:
        feature_maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        return [tensor.shape[1] for tensor in feature_maps.values()]


def backbone_stages(model: nn.Module) -> list[nn.Module]:
    """Returns the stages of a detector's backbone, the one on the image first; a training can freeze them."""
    backbone: nn.Module = model.get_submodule("backbone")
    if isinstance(backbone, ClassMapBackbone):
        return [*backbone.body.stages, backbone.neck]
    body: nn.Module = getattr(backbone, "body", backbone)
    if isinstance(body, Backbone):
        return list(body.stages)
    return list(split_backbone(getattr(body, "features", body)))


def added_parts(model: nn.Module) -> list[nn.Module]:
    """Returns the layers of the classes that are added to a detector (`DetectorNetwork.added_classes`)."""
    return [model.get_submodule("roi_heads.box_head.added"), model.get_submodule("roi_heads.box_predictor.added_score")]


def use_checkpointing(model: nn.Module) -> None:
    """Applies gradient checkpointing to a detector's backbone, in place: only inputs of its blocks are kept.

    The backward pass computes the rest again. That takes less memory and a third more time. Batch norms in training
    mode update their running means twice for each image.
    Source: Chen et al. 2016, Training deep nets with sublinear memory cost, arXiv 1604.06174.
    """
    for stage in backbone_stages(model):
        # Not single layers: an in-place ReLU would change the output that the layer before it has saved.
        for block in [block for block in stage.children() if list(block.children())] or [stage]:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
