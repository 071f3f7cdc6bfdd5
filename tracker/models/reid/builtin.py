"""The built-in appearance network: small enough for some hundred crops a second on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.models.runtime import ShuffleTrunk

STRIPES = 2  # upper and lower half of a crop are pooled apart: shirt and trousers
MIXED_CHANNELS = 256


class ShuffleStripes(nn.Module):
    """ShuffleNetV2 x0.5, its three stages side by side, pooled in stripes.

    The early stage keeps colours and textures, which change least from one scene to another; the last stage keeps
    its predecessor's resolution, as crops are small. Source: Luo et al. 2019, arXiv 1903.07071 (last stride 1); Sun et
    al. 2018, arXiv 1711.09349 (stripes).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ShuffleTrunk()
        _remove_stride(self.trunk.stage4)  # type: ignore[arg-type]
        self.mix = nn.Sequential(
            nn.Conv2d(sum(ShuffleTrunk.stage_channels), MIXED_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(MIXED_CHANNELS),
            nn.ReLU(inplace=True),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 1, sides multiples of 16 -> (B, STRIPES * MIXED_CHANNELS)."""
        maps = self.trunk(crops)
        mixed = self.mix(torch.cat([F.avg_pool2d(maps["stage2"], 2), maps["stage3"], maps["stage4"]], 1))
        stripes = (STRIPES, 1)
        return (F.adaptive_avg_pool2d(mixed, stripes) + F.adaptive_max_pool2d(mixed, stripes)).flatten(1)


def _remove_stride(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
