"""RoI align on the CPU, several times as fast as torchvision's.

A value of a region is a weighted sum over few positions of a feature map, with the same weights for all channels.
Torchvision's CPU code loops over the channels, and goes through all positions of a feature map each time. Here the
channels of a position are adjacent in memory, so that each of the few positions is read once for all channels.

Source: He et al. 2017, Mask R-CNN, arXiv 1703.06870, section 3 (RoIAlign); Lin et al. 2017, arXiv 1612.03144,
equation 1 (assignment of boxes to feature maps).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import _setup_scales

from tracker.models.detection.rpn import is_single_image_cpu_eval

PADDING = 32  # pixels, to a multiple of which the networks pad images


def use_fast_roi_align(model: nn.Module) -> None:
    """Replaces a network's MultiScaleRoIAlign by FastMultiScaleRoIAlign, in place; neither has parameters."""
    for module in model.modules():
        if type(module) is MultiScaleRoIAlign:
            module.__class__ = FastMultiScaleRoIAlign


def supports_fast_roi_align(feature_maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> bool:
    """Returns True if `fast_roi_align` can be used: one image, on the CPU, without gradients or export."""
    return is_single_image_cpu_eval(feature_maps) and len(boxes[0]) > 0


class FastMultiScaleRoIAlign(MultiScaleRoIAlign):
    """MultiScaleRoIAlign with the same values, up to rounding; it uses `fast_roi_align` where that is possible."""

    scales: Any
    map_levels: Any

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Maps feature maps (B, C, h, w) by name and B times (R, 4) xyxy in pixels to (all R, C, rows, columns)."""
        feature_maps = [tensor for name, tensor in x.items() if name in self.featmap_names]
        if self.scales is None:
            self._find_scales(feature_maps, image_shapes)
        fast = supports_fast_roi_align(feature_maps, boxes)
        if not fast and not torchvision._is_tracing():
            return super().forward(x, boxes, image_shapes)  # type: ignore[no-any-return]
        if not fast:
            return self._forward_traced(feature_maps, boxes)
        levels, scales = self.map_levels(boxes), torch.tensor(self.scales)
        return fast_roi_align(feature_maps, boxes[0], levels, scales, self.output_size, self.sampling_ratio)

    def _find_scales(self, feature_maps: list[Tensor], image_shapes: list[tuple[int, int]]) -> None:
        """Finds the strides; torchvision divides by sides before padding, which rounds wrongly for small images."""
        padded = [(-(-height // PADDING) * PADDING, -(-width // PADDING) * PADDING) for height, width in image_shapes]
        self.scales, self.map_levels = _setup_scales(feature_maps, padded, self.canonical_scale, self.canonical_level)

    def _forward_traced(self, feature_maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """Does the same for an export of one image; torchvision's writes the features of each map into those of all."""
        levels, rois = self.map_levels(boxes), F.pad(boxes[0], (1, 0))
        members = [torch.where(levels == level)[0] for level in range(len(feature_maps))]
        parts = [
            roi_align(features, rois[indices], self.output_size, scale, self.sampling_ratio)
            for features, indices, scale in zip(feature_maps, members, self.scales, strict=True)
        ]
        order = torch.cat(members)
        position = torch.zeros_like(order).scatter(0, order, torch.arange(order.shape[0]))
        return torch.cat(parts)[position]


def fast_roi_align(
    feature_maps: list[Tensor], boxes: Tensor, levels: Tensor, scales: Tensor, size: tuple[int, int], samples: int
) -> Tensor:
    """Applies RoI align to the feature maps of one image.

    Args:
        feature_maps: L times (1, C, h, w).
        boxes: (R, 4) xyxy, pixels.
        levels: int64 (R,), the index of each box's feature map.
        scales: (L,), positions of each feature map per pixel.
        size: Rows and columns of the result.
        samples: Sampling points in a cell along each side.

    Returns:
        (R, C, rows, columns), whose channels are adjacent in memory.
    """
    features = torch.cat([tensor[0].flatten(1).t() for tensor in feature_maps])  # (all h * w, C)
    shapes = torch.tensor([tensor.shape[2:] for tensor in feature_maps])  # (L, 2)
    first = (shapes.prod(1).cumsum(0) - shapes.prod(1))[levels]  # index of the first position of a box's map
    corners = boxes * scales[levels, None]
    x, x_weight = _sample_axis(corners[:, 0], corners[:, 2], shapes[levels, 1], size[1], samples)
    y, y_weight = _sample_axis(corners[:, 1], corners[:, 3], shapes[levels, 0], size[0], samples)
    row_start = first[:, None, None] + y * shapes[levels, 1, None, None]
    index = _expand_rows(row_start) + _expand_columns(x)  # (R, rows, columns, all positions of a cell)
    weight = _expand_rows(y_weight) * _expand_columns(x_weight)
    index, weight = index.flatten(0, 2), weight.flatten(0, 2)  # one row for each cell
    pooled = F.embedding_bag(index, features, per_sample_weights=weight, mode="sum")
    return pooled.reshape(len(boxes), *size, -1).permute(0, 3, 1, 2)


def _expand_rows(values: Tensor) -> Tensor:
    """Expands (R, rows, P) to (R, rows, 1, P * P), each of the P values repeated P times."""
    return values[:, :, None].repeat_interleave(values.shape[2], 3)


def _expand_columns(values: Tensor) -> Tensor:
    """Expands (R, columns, P) to (R, 1, columns, P * P), the sequence of P values repeated P times."""
    return values[:, None].repeat(1, 1, 1, values.shape[2])


def _sample_axis(start: Tensor, end: Tensor, length: Tensor, num_cells: int, samples: int) -> tuple[Tensor, Tensor]:
    """Returns the positions along one axis from which each cell is interpolated, and their weights.

    Args:
        start: (R,) of each region, in positions of its feature map.
        end: (R,) likewise.
        length: int64 (R,), positions of its feature map along this axis.
        num_cells: Cells of the result along this axis.
        samples: Sampling points in a cell.

    Returns:
        int64 and float32 (R, num_cells, 2 * samples): the positions below and above each sampling point.
    """
    cell = ((end - start).clamp(min=1) / num_cells)[:, None, None]
    numbers = torch.arange(num_cells)[:, None]
    # The same operations in the same order as torchvision's, for the same rounding.
    points = start[:, None, None] + numbers * cell + (torch.arange(samples) + 0.5) * cell / samples
    last = (length - 1)[:, None, None]
    inside = (points >= -1) & (points <= last + 1)
    points = points.clamp(min=0).minimum(last)
    below = points.floor()
    fraction = points - below
    index = torch.stack([below.long(), (below.long() + 1).minimum(last)], 3).flatten(2)
    weight = torch.stack([1 - fraction, fraction], 3) * inside[..., None] / samples
    return index, weight.flatten(2)
