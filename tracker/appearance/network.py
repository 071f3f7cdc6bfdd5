"""The built-in embedder: a small network whose last layer but one tells individuals apart."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.networks import ShuffleTrunk

DIMENSION = 128
STRIPES = 2  # upper and lower half of a crop are pooled apart: shirt and trousers
MIXED_CHANNELS = 256


class EmbedderNetwork(nn.Module):
    """ShuffleNetV2 x0.5, its three stages side by side, pooled in stripes and projected.

    The early stage keeps colours and textures, which change least from one scene to another; the last stage keeps
    its predecessor's resolution, as crops are small. Source: Luo et al. 2019, arXiv 1903.07071 (last stride 1, and
    batch normalisation as the last layer); Sun et al. 2018, arXiv 1711.09349 (stripes).
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
        self.project = nn.Linear(MIXED_CHANNELS * STRIPES, DIMENSION, bias=False)
        self.neck = nn.BatchNorm1d(DIMENSION)

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 255 -> (B, DIMENSION) rows of length 1. Sides are multiples of 32."""
        maps = self.trunk(crops / 255)
        mixed = self.mix(torch.cat([F.avg_pool2d(maps["stage2"], 2), maps["stage3"], maps["stage4"]], 1))
        stripes = (STRIPES, 1)
        pooled = F.adaptive_avg_pool2d(mixed, stripes) + F.adaptive_max_pool2d(mixed, stripes)
        return F.normalize(self.neck(self.project(pooled.flatten(1))).float(), dim=1)


def _remove_stride(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
