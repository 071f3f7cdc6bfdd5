"""MobileNetV3-Large at width 0.75 up to its last block, without batch norms: a backbone of the architecture `builtin`.

Its batch norms were folded into the convolutions. Convolutions of stride 2 pad like TensorFlow's: nothing on the left
and above, for sides that are divisible by the stride. So position i of a feature map is at pixel i x stride.

Source: Howard et al. 2019, Searching for MobileNetV3, arXiv 1905.02244, tables 1 and 2.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class BlockSettings(NamedTuple):
    """Settings of an inverted residual block, as in table 1 of the paper."""

    expanded: int  # channels of the depthwise convolution
    out: int  # channels
    kernel: int
    stride: int
    squeezed: int  # channels of squeeze-and-excitation, 0 for a block without it
    hard_swish: bool  # instead of ReLU


STEM_CHANNELS = 16
STAGES = (
    (BlockSettings(16, 16, 3, 1, 0, False),),
    (BlockSettings(64, 24, 3, 2, 0, False), BlockSettings(72, 24, 3, 1, 0, False)),
    (BlockSettings(72, 32, 5, 2, 24, False), *[BlockSettings(96, 32, 5, 1, 24, False)] * 2),
    (
        *(BlockSettings(192, 64, 3, 2, 0, True), BlockSettings(160, 64, 3, 1, 0, True)),
        *[BlockSettings(144, 64, 3, 1, 0, True)] * 2,
        *(BlockSettings(384, 88, 3, 1, 96, True), BlockSettings(528, 88, 3, 1, 136, True)),
    ),
    (BlockSettings(528, 120, 5, 2, 136, True), *[BlockSettings(720, 120, 5, 1, 184, True)] * 2),
)
"""Blocks of the stages at strides 2 (after the stem), 4, 8, 16 and 32."""


class SamePaddingConv(nn.Conv2d):
    """A convolution that pads like TensorFlow's SAME padding, for inputs whose sides are divisible by the stride."""

    @property
    def padding_sizes(self) -> tuple[int, int]:
        """Rows above, and columns on the left; rows below, and columns on the right."""
        missing = self.kernel_size[0] - self.stride[0]
        return missing // 2, (missing + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        before, after = self.padding_sizes
        return super().forward(F.pad(x, (before, after, before, after)))


def conv(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, depthwise: bool = False) -> nn.Conv2d:
    """Returns a convolution whose output has the size of its input, divided by the stride."""
    groups = in_channels if depthwise else 1
    if stride > 1:
        return SamePaddingConv(in_channels, out_channels, kernel, stride, groups=groups)
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups)


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a factor computed from the means of all channels, 0 to 1."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    """An inverted residual block: 1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection."""

    def __init__(self, in_channels: int, settings: BlockSettings, expand: bool = True) -> None:
        super().__init__()
        expanded, out, kernel, stride, squeezed, hard_swish = settings
        self.activation = F.hardswish if hard_swish else F.relu
        self.expand = conv(in_channels, expanded) if expand else None
        self.depthwise = conv(expanded, expanded, kernel, stride, depthwise=True)
        self.squeeze = SqueezeExcitation(expanded, squeezed) if squeezed else None
        self.project = conv(expanded, out)
        self.residual = stride == 1 and in_channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        return self.forward_expanded(x)[0]

    def forward_expanded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the output, and the expanded input (B, expanded, H, W), which some necks take as a feature map."""
        expanded = x if self.expand is None else self.activation(self.expand(x))
        y = self.activation(self.depthwise(expanded))
        y = self.project(y if self.squeeze is None else self.squeeze(y))
        return (x + y if self.residual else y), expanded


class MobileNetV3(nn.Module):
    """MobileNetV3-Large x0.75 that returns feature maps at strides 4, 8, 16 and 32.

    Attributes:
        channels: Numbers of channels of the feature maps.
        stages: The blocks of each stride, those of stride 2 after the stem.
    """

    channels = (72, 96, 88, 120)

    def __init__(self) -> None:
        super().__init__()
        channels = STEM_CHANNELS
        stages: list[list[nn.Module]] = [[conv(3, channels, 3, 2), nn.Hardswish()], *([] for _ in STAGES[1:])]
        for number, (blocks, settings) in enumerate(zip(stages, STAGES, strict=True)):
            for each in settings:
                blocks.append(InvertedResidual(channels, each, expand=number > 0))
                channels = each.out
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images (B, 3, H, W), RGB from 0 to 255, with sides divisible by 32, to four feature maps.

        Those at strides 4 and 8 are the expanded channels inside the first block of the next stage and inside the last
        block of their own; those at strides 16 and 32 are the outputs of their stages.
        """
        x: Tensor = self.stages[1](self.stages[0](images))
        down, *middle, last = (block for block in self.stages[2].children() if isinstance(block, InvertedResidual))
        x, stride4 = down.forward_expanded(x)
        for block in middle:
            x = block(x)
        x, stride8 = last.forward_expanded(x)
        stride16 = self.stages[3](x)
        return [stride4, stride8, stride16, self.stages[4](stride16)]
