"""What an RPN proposes in one picture: the same boxes as torchvision's, with little of the work.

Torchvision moves all anchors to where the layers want them, some 18,000 in a picture of 512x288 pixels, compares those
few hundred of each map that score best with each other, and then takes the best of all. Here only those are moved and
compared that may be among these.

Source: Ren et al. 2015, arXiv 1506.01497, section 3.3; Lin et al. 2017, arXiv 1612.03144, section 4.1 (several maps).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import clip_boxes_to_image, nms, remove_small_boxes


def is_single_image_cpu_eval(tensors: Sequence[Tensor]) -> bool:
    """Whether these are of one picture, on the CPU, and nothing is to be learned from them or exported."""
    plain = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return plain and len(tensors[0]) == 1 and not torch.is_grad_enabled() and not torchvision._is_tracing()


def generate_proposals(rpn: RegionProposalNetwork, images: ImageList, maps: list[Tensor]) -> Tensor:
    """The boxes that an RPN proposes in a picture, best first: (K, 4) xyxy in its pixels.

    Args:
        rpn: In evaluation mode.
        images: One picture.
        maps: L times (1, C, h, w).
    """
    objectness, offsets = rpn.head(maps)
    anchors = rpn.anchor_generator(images, maps)[0].split([logits.numel() for logits in objectness])
    best = [_best(rpn.pre_nms_top_n(), *level) for level in zip(objectness, offsets, anchors, strict=True)]
    logits, moves, places = (torch.cat(parts) for parts in zip(*best, strict=True))
    level = torch.arange(len(best)).repeat_interleave(torch.tensor([len(part) for part, _, _ in best]))
    order = logits.sort(descending=True, stable=True).indices
    wanted = rpn.post_nms_top_n()
    looked = 2 * wanted
    while True:  # a box is suppressed by better ones alone, so the first ones say all about themselves
        rows = order[:looked]
        boxes: Tensor = clip_boxes_to_image(
            rpn.box_coder.decode_single(moves[rows], places[rows]), images.image_sizes[0]
        )
        kept = _kept(rpn, boxes, logits[rows].sigmoid(), level[rows])[:wanted]
        if len(kept) == wanted or looked >= len(order):
            return boxes[kept]
        looked *= 2


def _best(number: int, objectness: Tensor, offsets: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is known of those of a map's anchors that score best.

    Args:
        number: How many.
        objectness: (1, A, h, w) logits of the A anchors at each place.
        offsets: (1, 4 A, h, w).
        anchors: (h w A, 4) xyxy.

    Returns:
        Logits (N,), best first, offsets (N, 4) and anchors (N, 4).
    """
    kinds = objectness.shape[1]
    logits = objectness[0].permute(1, 2, 0).flatten()
    logits, rows = logits.topk(min(number, len(logits)))
    return logits, offsets.reshape(kinds, 4, -1)[rows % kinds, :, rows // kinds], anchors[rows]


def _kept(rpn: RegionProposalNetwork, boxes: Tensor, scores: Tensor, level: Tensor) -> Tensor:
    """Which boxes (N, 4), best first, NMS keeps, in this order; those of different maps suppress no other."""
    large = remove_small_boxes(boxes, rpn.min_size)
    large = large[scores[large] >= rpn.score_thresh]
    kept = []
    for n in range(int(level.max()) + 1):
        rows = large[level[large] == n]
        kept.append(rows[nms(boxes[rows], scores[rows], rpn.nms_thresh)])
    return torch.cat(kept).sort().values


class CachedAnchorGenerator(AnchorGenerator):
    """Torchvision's, which keeps the anchors of the latest size of picture: a video has but one."""

    _latest: tuple[Any, list[Tensor]] = ((), [])

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        if torchvision._is_tracing():
            return super().forward(image_list, feature_maps)  # type: ignore[no-any-return]
        first, shapes = feature_maps[0], [tensor.shape[-2:] for tensor in feature_maps]
        size = image_list.tensors.shape, len(image_list.image_sizes), shapes, first.dtype, first.device
        known, anchors = self._latest
        if known != size:
            anchors = super().forward(image_list, feature_maps)
            self._latest = size, anchors
        return anchors
