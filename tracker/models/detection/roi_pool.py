"""How a region is cut out of one feature map."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from tracker.models.detection.roi_align import supports_fast_roi_align, with_fast_roi_align


class RegionPooling(nn.Module):
    """Regions of one feature map as small maps of one size.

    align: bilinear samples, two by two in each cell, averaged (He et al. 2017, arXiv 1703.06870, section 3).
    pool: the largest value in each cell, whose edges are rounded to whole places (Girshick 2015, arXiv 1504.08083,
    section 2.1). crop: twice as many rows and columns of `bilinear_crop`, and the largest of each two by two.
    """

    def __init__(self, method: Literal["align", "pool", "crop"], size: int, stride: int) -> None:
        """Takes the method, the rows and columns of the result, and the map's stride in pixels."""
        super().__init__()
        self.method = method
        self.size = size
        self.stride = stride

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """One map (B, C, h, w); B times (R, 4) xyxy, pixels; sizes are of no use -> (all R, C, size, size)."""
        (features,) = maps.values()
        if self.method == "crop":
            cropped = bilinear_crop(features, [b / self.stride for b in boxes], 2 * self.size)
            return F.max_pool2d(cropped, 2)
        if self.method == "pool":
            return roi_pool(features, boxes, self.size, 1 / self.stride)  # type: ignore[no-any-return]
        if supports_fast_roi_align([features], boxes):
            level, scale = torch.zeros(len(boxes[0]), dtype=torch.int64), torch.tensor([1 / self.stride])
            return with_fast_roi_align([features], boxes[0], level, scale, (self.size, self.size), 2)
        cells = roi_align(features, boxes, self.size, 1 / self.stride, sampling_ratio=2)
        return cells  # type: ignore[no-any-return]


def bilinear_crop(features: Tensor, boxes: list[Tensor], size: int) -> Tensor:
    """Bilinear samples on an even grid from edge to edge of each box; beyond the map its border goes on.

    Args:
        features: (B, C, h, w), whose value [i, j] lies at the point x = j, y = i.
        boxes: B times (R, 4) xyxy in the map's places.
        size: Rows and columns of the grid.

    Returns:
        (all R, C, size, size).

    Source: Jaderberg et al. 2015, Spatial transformer networks, arXiv 1506.02025, section 3.2 and 3.3.
    """
    height, width = features.shape[-2:]
    steps = torch.linspace(0, 1, size, device=features.device)
    whole = features.new_tensor([max(width - 1, 1), max(height - 1, 1)], dtype=torch.float32)
    crops = []
    for one, corners in zip(features, boxes, strict=True):
        start, end = corners[:, :2].float(), corners[:, 2:].float()
        points = start[:, None] + steps[:, None] * (end - start)[:, None]  # (R, size, 2)
        points = 2 * points / whole - 1  # what grid_sample takes: -1 and 1 are the outermost places
        x, y = points[:, None, :, 0], points[:, :, None, 1]
        shape = (len(corners), size, size)
        grid = torch.stack([x.expand(shape), y.expand(shape)], 3)
        # All regions of a picture as one tall grid: the map need not be repeated for each.
        tall = F.grid_sample(one[None].float(), grid.reshape(1, -1, size, 2), padding_mode="border", align_corners=True)
        crops.append(tall[0].reshape(len(one), -1, size, size).transpose(0, 1))
    return torch.cat(crops)
