"""Proposals of an RPN for one image: the same boxes as torchvision's, with less work.

Torchvision decodes all anchors, some 18,000 in an image of 512x288 pixels, applies NMS to the few hundred best of each
feature map, and then takes the best of all. Here only those boxes are decoded and compared that can be among these.

Source: Ren et al. 2015, arXiv 1506.01497, section 3.3; Lin et al. 2017, arXiv 1612.03144, section 4.1 (several maps).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import _topk_min
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import clip_boxes_to_image, nms, remove_small_boxes

ROI_MAP = "roi"
"""Name of a feature map for the RoI heads alone, so fine that an RPN on it would take most of the time."""
CENTER_MAP = "centers"
"""Name of a map of the logits of classes and the sides of boxes, see `center_proposals`."""
APPEARANCE_MAP = "appearance"
"""Name of an early feature map, for embeddings alone (see `roi_embeddings`); its stride is 8."""
_OTHER_MAPS = (ROI_MAP, CENTER_MAP, APPEARANCE_MAP)


def rpn_feature_maps(feature_maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the feature maps on which an RPN makes proposals."""
    return {name: tensor for name, tensor in feature_maps.items() if name not in _OTHER_MAPS}


def is_single_image_cpu_eval(tensors: Sequence[Tensor]) -> bool:
    """Returns True if tensors are float32 of one image, on the CPU, without gradients or export."""
    float32_on_cpu = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return float32_on_cpu and len(tensors[0]) == 1 and not torch.is_grad_enabled() and not torchvision._is_tracing()


def generate_proposals(rpn: RegionProposalNetwork, images: ImageList, feature_maps: list[Tensor]) -> Tensor:
    """Returns the proposals of an RPN for an image, best first: (K, 4) xyxy in its pixels.

    Args:
        rpn: In evaluation mode.
        images: One image.
        feature_maps: L times (1, C, h, w).
    """
    objectness, offsets = rpn.head(feature_maps)
    counts = [math.prod(logits.shape[1:]) for logits in objectness]  # numel would be a constant in an export
    anchors = rpn.anchor_generator(images, feature_maps)[0].split(counts)
    best = [_top_anchors(rpn.pre_nms_top_n(), *level) for level in zip(objectness, offsets, anchors, strict=True)]
    if torchvision._is_tracing():
        return _select_traced(rpn, best, images.image_sizes[0])
    top_logits, top_offsets, top_anchors = (torch.cat(parts) for parts in zip(*best, strict=True))
    levels = torch.arange(len(best)).repeat_interleave(torch.tensor([len(logits) for logits, _, _ in best]))
    order = top_logits.sort(descending=True, stable=True).indices
    num_proposals = rpn.post_nms_top_n()
    num_candidates = 2 * num_proposals
    while True:  # only better boxes suppress a box, so NMS of the first candidates does not depend on the others
        candidates = order[:num_candidates]
        decoded = rpn.box_coder.decode_single(top_offsets[candidates], top_anchors[candidates])
        boxes: Tensor = clip_boxes_to_image(decoded, images.image_sizes[0])
        keep = _nms_per_level(rpn, boxes, top_logits[candidates].sigmoid(), levels[candidates])[:num_proposals]
        if len(keep) == num_proposals or num_candidates >= len(order):
            return boxes[keep]
        num_candidates *= 2


def _top_anchors(number: int, objectness: Tensor, offsets: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the anchors of one feature map with the best scores.

    Args:
        number: Maximum number of anchors.
        objectness: (1, A, h, w) logits of the A anchors at each location.
        offsets: (1, 4 A, h, w).
        anchors: (h w A, 4) xyxy.

    Returns:
        Logits (N,), best first, offsets (N, 4) and anchors (N, 4).
    """
    num_anchors = objectness.shape[1]
    logits = objectness[0].permute(1, 2, 0).flatten()
    logits, indices = logits.topk(_topk_min(logits, number, 0))
    return logits, offsets.reshape(num_anchors, 4, -1).permute(2, 0, 1).reshape(-1, 4)[indices], anchors[indices]


def _select_traced(
    rpn: RegionProposalNetwork, best: Sequence[tuple[Tensor, Tensor, Tensor]], size: tuple[int, int]
) -> Tensor:
    """Selects the proposals among the best anchors of each feature map, without a loop whose length depends on them."""
    kept = []
    for logits, offsets, anchors in best:
        boxes = clip_boxes_to_image(rpn.box_coder.decode_single(offsets, anchors), size)
        valid = remove_small_boxes(boxes, rpn.min_size)
        scores = logits.sigmoid()
        valid = valid[scores[valid] >= rpn.score_thresh]
        indices = valid[nms(boxes[valid], scores[valid], rpn.nms_thresh)]
        kept.append((logits[indices], boxes[indices]))
    all_logits, all_boxes = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return all_boxes[all_logits.topk(_topk_min(all_logits, rpn.post_nms_top_n(), 0)).indices]


def _nms_per_level(rpn: RegionProposalNetwork, boxes: Tensor, scores: Tensor, levels: Tensor) -> Tensor:
    """Applies NMS to the boxes (N, 4), best first, of each feature map, and returns the indices of the rest, sorted."""
    valid = remove_small_boxes(boxes, rpn.min_size)
    valid = valid[scores[valid] >= rpn.score_thresh]
    keep = []
    for level in range(int(levels.max()) + 1):
        indices = valid[levels[valid] == level]
        keep.append(indices[nms(boxes[indices], scores[indices], rpn.nms_thresh)])
    return torch.cat(keep).sort().values


class CachedAnchorGenerator(AnchorGenerator):
    """An AnchorGenerator that caches the anchors of the latest image size: all frames of a video have the same."""

    _latest: tuple[Any, list[Tensor]] = ((), [])

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        if torchvision._is_tracing():
            return super().forward(image_list, feature_maps)  # type: ignore[no-any-return]
        first, shapes = feature_maps[0], [tensor.shape[-2:] for tensor in feature_maps]
        key = image_list.tensors.shape, len(image_list.image_sizes), shapes, first.dtype, first.device
        cached_key, anchors = self._latest
        if cached_key != key:
            anchors = super().forward(image_list, feature_maps)
            self._latest = key, anchors
        return anchors
