"""The built-in architecture: a Faster R-CNN small enough for two CPU cores.

Source: Ren et al. 2015, arXiv 1506.01497, with the feature pyramid of Lin et al. 2017, arXiv 1612.03144.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from tracker.networks import ShuffleTrunk

STAGES = ("stage2", "stage3", "stage4")


class ResidualBlock(nn.Module):
    """x + f(x): a 5x5 convolution of each channel, then two layers on each pixel, the middle one twice as wide.

    It starts as the identity, so that a trained trunk keeps its function. Source: Liu et al. 2022, ConvNeXt, arXiv
    2201.03545, section 2.6, with batch norms, which an inference run folds away.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.body(x)  # type: ignore[no-any-return]


class ShufflePyramid(nn.Module):
    """ShuffleNetV2 x0.5, its last two stages perhaps deeper, under a pyramid: strides 8, 16, 32 and, pooled, 64."""

    def __init__(self, channels: int, deeper: tuple[int, int]) -> None:
        """Takes the pyramid's channels, and how many residual blocks follow stage 3 and stage 4."""
        super().__init__()
        self.out_channels = channels
        self.body = ShuffleTrunk()
        blocks = zip(STAGES[1:], ShuffleTrunk.stage_channels[1:], deeper, strict=True)
        self.deeper = nn.ModuleDict(
            {name: nn.Sequential(*(ResidualBlock(width) for _ in range(count))) for name, width, count in blocks}
        )
        self.fpn = FeaturePyramidNetwork(list(ShuffleTrunk.stage_channels), channels, extra_blocks=LastLevelMaxPool())

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(B, 3, H, W) -> maps (B, channels, h, w) by the names of `STAGES`, and "pool"."""
        return self.fpn(self.body(images, self.deeper))  # type: ignore[no-any-return]
