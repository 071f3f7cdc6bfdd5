"""Torchvision's RPN and RoI heads, blind where a picture's labels are known to be incomplete.

A target may carry, beside torchvision's `boxes` (N, 4) and `labels` (N,):
    ignore: float (K, 4) xyxy, regions (crowds, difficult objects) whose content is neither object nor background;
    regions: float (R, 4) xyxy, the parts of the picture that were annotated alike (one: the whole picture, unless it
        was put together from several);
    unlabelled: bool (R, C), categories (the background is number 0) that were not annotated in each region;
    masks, for Mask R-CNN: uint8 (N, H, W), empty for an object of which only the box is known.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from tracker.config import DetectorNetwork
from tracker.models.detection.losses import anchor_box_loss, region_box_loss
from tracker.models.detection.rpn import CachedAnchorGenerator, generate_proposals, is_single_image_cpu_eval

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


class PartialLabelRPN(RegionProposalNetwork):
    """An RPN for which an anchor inside an ignore region is no background, with the losses that `network` names.

    Unlabelled categories are not treated here: 256 of some 10,000 anchors are sampled in a picture, so an
    unlabelled object is rarely among them, and the RoI heads see every proposal again.
    """

    network: DetectorNetwork

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        maps = list(features.values())
        if self.training or not is_single_image_cpu_eval(maps):
            return super().forward(images, features, targets)  # type: ignore[no-any-return]
        return [generate_proposals(self, images, maps)], {}

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            if len(target["ignore"]):
                inside = share_inside(anchor, target["ignore"]) >= IGNORED_SHARE
                label[inside & (label == 0)] = -1
            if self.network.rpn_inside_only:
                whole = in_picture(anchor, target)
                label[~whole & whole.any()] = -1
        return labels, matched

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        foreground, background = (torch.cat(masks).nonzero()[:, 0] for masks in self.fg_bg_sampler(labels))
        sampled = torch.cat([foreground, background])
        every, network = torch.cat(labels), self.network
        locations = len(every) // self.anchor_generator.num_anchors_per_location()[0]
        judged = F.binary_cross_entropy_with_logits(objectness.flatten()[sampled], every[sampled])
        placed = anchor_box_loss(
            pred_bbox_deltas[foreground], torch.cat(regression_targets)[foreground], len(sampled), locations, network
        )
        return network.rpn_objectness_weight * judged, network.rpn_box_weight * placed


def in_picture(boxes: Tensor, target: dict[str, Tensor]) -> Tensor:
    """(N, 4) xyxy -> bool (N,), those that lie in the picture whole, which its regions cover."""
    edge = target["regions"][:, 2:].max(0).values
    return (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= edge).all(1)


class PartialRoIHeads(RoIHeads):
    """RoI heads that do not learn background inside ignore regions, nor against unlabelled categories, with the losses
    that `network` names.

    A background sample of a picture competes only with the categories that were annotated there: the others'
    logits are left out of its softmax, so it says nothing about them. An object with an empty mask teaches no mask.
    """

    network: DetectorNetwork

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for boxes, objects, label in zip(proposals, gt_boxes, labels, strict=True):
            if len(objects):
                easy = box_iou(boxes, objects).max(1).values < self.network.box_bg_iou_low
                label[easy & (label == 0)] = -1
        return matched, labels

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
        proposals, matched, labels, regression_targets = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, offsets = self.box_predictor(pooled)
        losses = self._box_losses(logits, offsets, proposals, labels, regression_targets, targets)
        if self.has_mask():
            losses["loss_mask"] = self._mask_loss(features, proposals, image_shapes, labels, matched, targets)
        return [], losses

    def _box_losses(
        self,
        logits: Tensor,
        offsets: Tensor,
        proposals: list[Tensor],
        labels: list[Tensor],
        regression_targets: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        flat, network = torch.cat(labels), self.network
        hidden = torch.cat([unlabelled_at(b, t) for b, t in zip(proposals, targets, strict=True)])
        hidden &= (flat == 0)[:, None]
        judged = F.cross_entropy(logits.float().masked_fill(hidden, float("-inf")), flat)
        placed = region_box_loss(
            offsets.float(), torch.cat(regression_targets), flat, torch.cat(proposals), self.box_coder, network
        )
        return {"loss_classifier": network.classifier_weight * judged, "loss_box_reg": network.box_weight * placed}

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        labels: list[Tensor],
        matched: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> Tensor:
        boxes, objects = [], []
        for region, label, match, target in zip(proposals, labels, matched, targets, strict=True):
            outlined = target["masks"].bool().flatten(1).any(1)
            rows = (label > 0).nonzero()[:, 0]
            rows = rows[outlined[match[rows]]]
            boxes.append(region[rows])
            objects.append(match[rows])
        pooled = self.mask_roi_pool(features, boxes, image_shapes)
        logits = self.mask_predictor(self.mask_head(pooled))
        masks, classes = [t["masks"] for t in targets], [t["labels"] for t in targets]
        loss: Tensor = maskrcnn_loss(logits.float(), boxes, masks, classes, objects)
        return self.network.mask_weight * loss


def add_partial_label_losses(model: GeneralizedRCNN, network: DetectorNetwork) -> None:
    """Turns the parts of an R-CNN of torchvision's into the ones above, whose losses are what `network` says.

    Torchvision's builders have no argument for such classes; they add no state, so the parts change class in place.
    """
    model.rpn.__class__ = PartialLabelRPN
    model.roi_heads.__class__ = PartialRoIHeads
    model.rpn.network = model.roi_heads.network = network
    model.rpn.min_size = network.rpn_min_size
    model.rpn.anchor_generator.__class__ = CachedAnchorGenerator


def supports_partial_labels(model: nn.Module) -> bool:
    """Whether a network's losses know ignore regions and unlabelled categories; those of one-stage networks do not."""
    return isinstance(getattr(model, "roi_heads", None), PartialRoIHeads)
