"""The built-in appearance network, small enough for a few hundred crops a second on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.models.runtime import ShuffleNetBackbone

STRIPES = 2  # the upper and the lower half of a crop are pooled separately: shirt and trousers
MIXED_CHANNELS = 256


class ShuffleStripes(nn.Module):
    """A ShuffleNetV2 x0.5 whose three stages are concatenated and pooled in stripes.

    The early stage holds colors and textures, which change least from one scene to another; the last stage keeps the
    resolution of the stage before it, because crops are small. Source: Luo et al. 2019, arXiv 1903.07071 (last stride
    1); Sun et al. 2018, arXiv 1711.09349 (stripes).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ShuffleNetBackbone()  # its name is a key of weights files
        _remove_stride(self.trunk.stage4)  # type: ignore[arg-type]
        self.mix = nn.Sequential(
            nn.Conv2d(sum(ShuffleNetBackbone.stage_channels), MIXED_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(MIXED_CHANNELS),
            nn.ReLU(inplace=True),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Maps (B, 3, H, W) RGB from 0 to 1, sides multiples of 16, to (B, STRIPES * MIXED_CHANNELS)."""
        stages = self.trunk(crops)
        mixed = self.mix(torch.cat([F.avg_pool2d(stages["stage2"], 2), stages["stage3"], stages["stage4"]], 1))
        stripes = (STRIPES, 1)
        return (F.adaptive_avg_pool2d(mixed, stripes) + F.adaptive_max_pool2d(mixed, stripes)).flatten(1)


def _remove_stride(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
