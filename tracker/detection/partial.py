"""Torchvision's RPN and RoI heads, blind where a picture's labels are known to be incomplete.

A target may carry, beside torchvision's `boxes` (N, 4) and `labels` (N,):
    ignore: float (K, 4) xyxy, regions (crowds, difficult objects) whose content is neither object nor background;
    regions: float (R, 4) xyxy, the parts of the picture that were annotated alike (one: the whole picture, unless it
        was put together from several);
    unlabelled: bool (R, C), categories (the background is number 0) that were not annotated in each region.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

IGNORED_SHARE = 0.5  # of a box inside an ignore region, from which on it teaches nothing


def share_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """(N, 4), (K, 4) xyxy -> (N,) the largest share of each box's area that lies in one region."""
    if len(regions) == 0:
        return boxes.new_zeros(len(boxes))
    top_left = torch.max(boxes[:, None, :2], regions[None, :, :2])
    bottom_right = torch.min(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).prod(1)
    return (shared / area[:, None]).max(1).values


def unlabelled_at(boxes: Tensor, target: dict[str, Tensor]) -> Tensor:
    """(N, 4) xyxy -> bool (N, C), the categories that were not annotated where each box has its centre."""
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    regions = target["regions"][None]
    inside = ((centres >= regions[..., :2]) & (centres < regions[..., 2:])).all(2)
    return (inside.float() @ target["unlabelled"].float()) > 0


class PartialRPN(RegionProposalNetwork):
    """An RPN for which an anchor inside an ignore region is no background.

    Unlabelled categories are not treated here: 256 of some 10,000 anchors are sampled in a picture, so an
    unlabelled object is rarely among them, and the RoI heads see every proposal again.
    """

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            if len(target["ignore"]):
                inside = share_inside(anchor, target["ignore"]) >= IGNORED_SHARE
                label[inside & (label == 0)] = -1
        return labels, matched


class PartialRoIHeads(RoIHeads):
    """RoI heads that do not learn background inside ignore regions, nor against unlabelled categories.

    A background sample of a picture competes only with the categories that were annotated there: the others'
    logits are left out of its softmax, so it says nothing about them.
    """

    def select_training_samples(
        self, proposals: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        assert targets is not None
        kept = []
        for boxes, target in zip(proposals, targets, strict=True):
            drop = share_inside(boxes, target["ignore"]) >= IGNORED_SHARE
            if len(target["boxes"]):
                drop &= box_iou(boxes, target["boxes"]).max(1).values < self.proposal_matcher.low_threshold
            kept.append(boxes[~drop])
        return super().select_training_samples(kept, targets)  # type: ignore[no-any-return]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if not self.training:
            return super().forward(features, proposals, image_shapes, targets)  # type: ignore[no-any-return]
        assert targets is not None
        proposals, _, labels, regression_targets = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, offsets = self.box_predictor(pooled)
        flat = torch.cat(labels)
        hidden = torch.cat([unlabelled_at(b, t) for b, t in zip(proposals, targets, strict=True)])
        hidden &= (flat == 0)[:, None]
        return [], {
            "loss_classifier": F.cross_entropy(logits.float().masked_fill(hidden, float("-inf")), flat),
            "loss_box_reg": box_loss(offsets.float(), torch.cat(regression_targets), flat),
        }


def box_loss(offsets: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Smooth L1 (beta 1/9) over the foreground rows' own class columns, divided by the number of all rows.

    Args:
        offsets: (R, 4 C) tx ty tw th for each class.
        targets: (R, 4) tx ty tw th.
        labels: (R,), 0 for background.

    Source: Girshick 2015, Fast R-CNN, eq. 2-3.
    """
    rows = (labels > 0).nonzero()[:, 0]
    own = offsets.reshape(len(offsets), -1, 4)[rows, labels[rows]]
    return F.smooth_l1_loss(own, targets[rows], beta=1 / 9, reduction="sum") / max(labels.numel(), 1)
