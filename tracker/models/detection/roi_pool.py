"""RoI pooling of regions of a single feature map."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from tracker.models.detection.roi_align import fast_roi_align, supports_fast_roi_align


class SingleLevelRoIPool(nn.Module):
    """RoI align, RoI pooling or crop-and-resize of one feature map.

    align: bilinear samples, two by two in each cell, averaged (He et al. 2017, arXiv 1703.06870, section 3).
    pool: the maximum of each cell, whose edges are rounded to integer positions (Girshick 2015, arXiv 1504.08083,
    section 2.1). crop: `bilinear_crop` to twice the rows and columns, and the maximum of each two by two.
    """

    def __init__(self, method: Literal["align", "pool", "crop"], size: int, stride: int) -> None:
        """Takes the method, the rows and columns of the result, and the feature map's stride in pixels."""
        super().__init__()
        self.method = method
        self.size = size
        self.stride = stride

    def forward(self, feature_maps: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """Maps one feature map (B, C, h, w) and B times (R, 4) xyxy, pixels, to (all R, C, size, size)."""
        (features,) = feature_maps.values()
        if self.method == "crop":
            cropped = bilinear_crop(features, [b / self.stride for b in boxes], 2 * self.size)
            return F.max_pool2d(cropped, 2)
        if self.method == "pool":
            return roi_pool(features, boxes, self.size, 1 / self.stride)  # type: ignore[no-any-return]
        if supports_fast_roi_align([features], boxes):
            levels, scales = torch.zeros(len(boxes[0]), dtype=torch.int64), torch.tensor([1 / self.stride])
            return fast_roi_align([features], boxes[0], levels, scales, (self.size, self.size), 2)
        pooled = roi_align(features, boxes, self.size, 1 / self.stride, sampling_ratio=2)
        return pooled  # type: ignore[no-any-return]


def bilinear_crop(features: Tensor, boxes: list[Tensor], size: int) -> Tensor:
    """Samples boxes bilinearly on a regular grid from edge to edge; outside the feature map its border is repeated.

    Args:
        features: (B, C, h, w), whose value [i, j] is at the point x = j, y = i.
        boxes: B times (R, 4) xyxy in positions of the feature map.
        size: Rows and columns of the grid.

    Returns:
        (all R, C, size, size).

    Source: Jaderberg et al. 2015, Spatial transformer networks, arXiv 1506.02025, section 3.2 and 3.3.
    """
    height, width = features.shape[-2:]
    steps = torch.linspace(0, 1, size, device=features.device)
    extent = features.new_tensor([max(width - 1, 1), max(height - 1, 1)], dtype=torch.float32)
    crops = []
    for image_features, image_boxes in zip(features, boxes, strict=True):
        start, end = image_boxes[:, :2].float(), image_boxes[:, 2:].float()
        points = start[:, None] + steps[:, None] * (end - start)[:, None]  # (R, size, 2)
        points = 2 * points / extent - 1  # grid_sample's coordinates: -1 and 1 are the outermost positions
        x, y = points[:, None, :, 0], points[:, :, None, 1]
        shape = (len(image_boxes), size, size)
        grid = torch.stack([x.expand(shape), y.expand(shape)], 3).reshape(1, -1, size, 2)
        # All regions of an image form one tall grid, so that the feature map need not be repeated for each.
        sampled = F.grid_sample(image_features[None].float(), grid, padding_mode="border", align_corners=True)
        crops.append(sampled[0].reshape(len(image_features), -1, size, size).transpose(0, 1))
    return torch.cat(crops)
