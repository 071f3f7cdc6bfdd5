"""Regions of feature maps as small maps, on the CPU: torchvision's RoIAlign, several times as fast.

A value of a region is a weighted sum of few places of a map, and the same for all channels. Torchvision's code for the
CPU goes channel by channel, through all of a map's places each time. Here a place's channels lie side by side, so that
each of the few places is read once and whole.

Source: He et al. 2017, Mask R-CNN, arXiv 1703.06870, section 3 (RoIAlign); Lin et al. 2017, arXiv 1612.03144,
equation 1 (which map a region is cut out of).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from tracker.models.detection.rpn import is_single_image_cpu_eval


def roi_align_cpu(model: nn.Module) -> None:
    """Turns a network's pooling of regions out of several maps, in place, into the one below; it has no state."""
    for part in model.modules():
        if type(part) is MultiScaleRoIAlign:
            part.__class__ = GatheredRoIAlign


def supports_fast_roi_align(maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> bool:
    """Whether `with_fast_roi_align` can do it: one image, on the CPU, without gradients or export."""
    return is_single_image_cpu_eval(maps) and len(boxes[0]) > 0


class GatheredRoIAlign(MultiScaleRoIAlign):
    """The same values, up to rounding; where `with_fast_roi_align` cannot give them, torchvision's."""

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Maps by name (B, C, h, w), B times (R, 4) xyxy in pixels, B sizes -> (all R, C, rows, columns)."""
        maps = [tensor for name, tensor in x.items() if name in self.featmap_names]
        if not supports_fast_roi_align(maps, boxes):
            return super().forward(x, boxes, image_shapes)  # type: ignore[no-any-return]
        if self.scales is None:
            super().forward(x, [boxes[0][:0]], image_shapes)  # finds the maps' strides
        level = self.map_levels(boxes)
        return with_fast_roi_align(
            maps, boxes[0], level, torch.tensor(self.scales), self.output_size, self.sampling_ratio
        )


def with_fast_roi_align(
    maps: list[Tensor], boxes: Tensor, level: Tensor, scales: Tensor, size: tuple[int, int], samples: int
) -> Tensor:
    """RoIAlign of one picture's maps.

    Args:
        maps: L times (1, C, h, w).
        boxes: (R, 4) xyxy, pixels.
        level: int64 (R,), which map each box is cut out of.
        scales: (L,), places of each map in a pixel.
        size: Rows and columns of the result.
        samples: Points in a cell along each side.

    Returns:
        (R, C, rows, columns); its channels lie side by side in memory.
    """
    places = torch.cat([tensor[0].flatten(1).t() for tensor in maps])  # (all h * w, C)
    shape = torch.tensor([tensor.shape[2:] for tensor in maps])  # (L, 2)
    first = (shape.prod(1).cumsum(0) - shape.prod(1))[level]  # of a box's map among all places
    corners = boxes * scales[level, None]
    x, x_weight = _along(corners[:, 0], corners[:, 2], shape[level, 1], size[1], samples)
    y, y_weight = _along(corners[:, 1], corners[:, 3], shape[level, 0], size[0], samples)
    start = first[:, None, None] + y * shape[level, 1, None, None]
    index = _of_rows(start) + _of_columns(x)  # (R, rows, columns, all places of a cell)
    weight = _of_rows(y_weight) * _of_columns(x_weight)
    index, weight = index.flatten(0, 2), weight.flatten(0, 2)  # a row for each cell
    sums = F.embedding_bag(index, places, per_sample_weights=weight, mode="sum")
    return sums.reshape(len(boxes), *size, -1).permute(0, 3, 1, 2)


def _of_rows(values: Tensor) -> Tensor:
    """(R, rows, P) of each row of cells -> (R, rows, 1, P * P), each of the P values P times."""
    return values[:, :, None].repeat_interleave(values.shape[2], 3)


def _of_columns(values: Tensor) -> Tensor:
    """(R, columns, P) of each column of cells -> (R, 1, columns, P * P), all of the P values P times."""
    return values[:, None].repeat(1, 1, 1, values.shape[2])


def _along(start: Tensor, end: Tensor, length: Tensor, cells: int, samples: int) -> tuple[Tensor, Tensor]:
    """The places along one side that the values of each cell come from, and how much each counts.

    Args:
        start: (R,) of each region, in places of its map.
        end: The same.
        length: int64 (R,), places of its map along this side.
        cells: Of the result, along this side.
        samples: Points in a cell.

    Returns:
        int64 and float32 (R, cells, 2 * samples): the places below and above each point.
    """
    cell = ((end - start).clamp(min=1) / cells)[:, None, None]
    numbers = torch.arange(cells)[:, None]
    # The same operations in the same order as torchvision's, for the same rounding.
    points = start[:, None, None] + numbers * cell + (torch.arange(samples) + 0.5) * cell / samples
    last = (length - 1)[:, None, None]
    inside = (points >= -1) & (points <= last + 1)
    points = points.clamp(min=0).minimum(last)
    below = points.floor()
    share = points - below
    index = torch.stack([below.long(), (below.long() + 1).minimum(last)], 3).flatten(2)
    return index, (torch.stack([1 - share, share], 3) * inside[..., None] / samples).flatten(2)
