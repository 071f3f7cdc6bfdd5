"""Torchvision's RPN and RoI heads for training on partially labeled images.

A target has, beside torchvision's `boxes` (N, 4) and `labels` (N,):
    ignore: float (K, 4) xyxy, regions (crowds, difficult objects) whose content is neither object nor background;
    regions: float (R, 4) xyxy, the parts of the image for which the same categories were annotated (one, the whole
        image, unless it is a mosaic);
    unlabeled: bool (R, C), categories (the background is number 0) that were not annotated in each region;
    uncertain: float (U, 4) xyxy, and uncertain_labels: int64 (U,): boxes that may show an object of a category. What
        has the position of such a box is not background for that category;
    masks, for Mask R-CNN: uint8 (N, H, W), empty for an object of which only the box is known.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from tracker.config import DetectorNetwork
from tracker.models.detection.losses import roi_box_loss, rpn_box_loss
from tracker.models.detection.postprocess import DetectionSelector
from tracker.models.detection.rpn import (
    CachedAnchorGenerator,
    generate_proposals,
    is_single_image_cpu_eval,
    rpn_feature_maps,
)

UNCERTAIN_IOU = 0.3  # of a box with an uncertain one from which on it may show the same object
SHIFT = 0.2  # of each edge of a box, as a fraction of the box's side
IGNORE_FRACTION = 0.5  # fraction of a box inside an ignore region from which on the box is not trained on


def fraction_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """Returns the largest fraction (N,) of each box's area that lies in one region: (N, 4), (K, 4) xyxy."""
    if len(regions) == 0:
        return boxes.new_zeros(len(boxes))
    top_left = torch.max(boxes[:, None, :2], regions[None, :, :2])
    bottom_right = torch.min(boxes[:, None, 2:], regions[None, :, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).prod(1)
    return (intersection / area[:, None]).max(1).values


def unlabeled_categories(boxes: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Returns the categories, bool (N, C), of which it is not known whether each box (N, 4) xyxy shows one.

    They were not annotated at its center, or an uncertain box has its position.
    """
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    regions = target["regions"][None]
    inside = ((centers >= regions[..., :2]) & (centers < regions[..., 2:])).all(2)
    unlabeled = (inside.float() @ target["unlabeled"].float()) > 0
    if len(target["uncertain"]):
        rows, columns = (box_iou(boxes, target["uncertain"]) >= UNCERTAIN_IOU).nonzero(as_tuple=True)
        unlabeled[rows, target["uncertain_labels"][columns]] = True
    return unlabeled


def shifted_boxes(boxes: Tensor, number: int) -> Tensor:
    """Returns `number` copies of each box (N, 4) xyxy, moved and resized at random by at most SHIFT of its sides."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(number, 2)
    return boxes.repeat(number, 1) + SHIFT * (2 * torch.rand_like(sides) - 1) * sides


def inside_image(boxes: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Returns True, bool (N,), for the boxes (N, 4) xyxy that lie completely inside the image."""
    bottom_right = target["regions"][:, 2:].max(0).values  # the regions cover the image
    return (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= bottom_right).all(1)


class PartialLabelRPN(RegionProposalNetwork):
    """An RPN that does not train on background anchors inside ignore regions, with the losses of `network`.

    Unlabeled categories are not handled here: 256 of some 10,000 anchors are sampled in an image, so an unlabeled
    object is rarely among them, and the RoI heads classify every proposal again.
    """

    network: DetectorNetwork

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        features = rpn_feature_maps(features)
        feature_maps = list(features.values())
        if self.training or not (is_single_image_cpu_eval(feature_maps) or torchvision._is_tracing()):
            return super().forward(images, features, targets)  # type: ignore[no-any-return]
        return [generate_proposals(self, images, feature_maps)], {}

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            if len(target["ignore"]):
                ignored = fraction_inside(anchor, target["ignore"]) >= IGNORE_FRACTION
                label[ignored & (label == 0)] = -1
            if len(target["uncertain"]):
                uncertain = box_iou(anchor, target["uncertain"]).max(1).values >= UNCERTAIN_IOU
                label[uncertain & (label == 0)] = -1
            if self.network.rpn_inside_only:
                inside = inside_image(anchor, target)
                label[~inside & inside.any()] = -1
        return labels, matched

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        foreground, background = (torch.cat(masks).nonzero()[:, 0] for masks in self.fg_bg_sampler(labels))
        sampled = torch.cat([foreground, background])
        all_labels, network = torch.cat(labels), self.network
        locations = len(all_labels) // self.anchor_generator.num_anchors_per_location()[0]
        objectness_loss = F.binary_cross_entropy_with_logits(objectness.flatten()[sampled], all_labels[sampled])
        box_loss = rpn_box_loss(
            pred_bbox_deltas[foreground], torch.cat(regression_targets)[foreground], len(sampled), locations, network
        )
        return network.rpn_objectness_weight * objectness_loss, network.rpn_box_weight * box_loss


class PartialLabelRoIHeads(RoIHeads):
    """RoI heads that train on no background inside ignore regions nor against unlabeled categories.

    The softmax of a background sample contains only the categories that were annotated there, so that the logits of
    the others get no gradient. An object with an empty mask is left out of the mask loss. The losses are those of
    `network`.
    """

    network: DetectorNetwork
    selector: DetectionSelector

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        return self.selector(class_logits, box_regression, proposals, image_shapes, self.box_coder)  # type: ignore[no-any-return]

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
        remaining = []
        for boxes, target in zip(proposals, targets, strict=True):
            ignored = fraction_inside(boxes, target["ignore"]) >= IGNORE_FRACTION
            if len(target["boxes"]):
                ignored &= box_iou(boxes, target["boxes"]).max(1).values < self.proposal_matcher.low_threshold
            remaining.append(torch.cat([boxes[~ignored], shifted_boxes(target["boxes"], self.network.shifted_boxes)]))
        return super().select_training_samples(remaining, targets)  # type: ignore[no-any-return]

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
        all_labels, network = torch.cat(labels), self.network
        excluded = torch.cat([unlabeled_categories(b, t) for b, t in zip(proposals, targets, strict=True)])
        excluded &= (all_labels == 0)[:, None]
        class_loss = F.cross_entropy(logits.float().masked_fill(excluded, float("-inf")), all_labels)
        box_loss = roi_box_loss(
            offsets.float(), torch.cat(regression_targets), all_labels, torch.cat(proposals), self.box_coder, network
        )
        weights = network.classifier_weight, network.box_weight
        return {"loss_classifier": weights[0] * class_loss, "loss_box_reg": weights[1] * box_loss}

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
        for image_proposals, label, match, target in zip(proposals, labels, matched, targets, strict=True):
            has_mask = target["masks"].bool().flatten(1).any(1)
            foreground = (label > 0).nonzero()[:, 0]
            foreground = foreground[has_mask[match[foreground]]]
            boxes.append(image_proposals[foreground])
            objects.append(match[foreground])
        pooled = self.mask_roi_pool(features, boxes, image_shapes)
        logits = self.mask_predictor(self.mask_head(pooled))
        masks, classes = [t["masks"] for t in targets], [t["labels"] for t in targets]
        loss: Tensor = maskrcnn_loss(logits.float(), boxes, masks, classes, objects)
        return self.network.mask_weight * loss


def add_partial_label_losses(model: GeneralizedRCNN, network: DetectorNetwork) -> None:
    """Replaces the RPN and the RoI heads of torchvision's R-CNN by the ones above, with the losses of `network`.

    Torchvision's builders have no argument for them. They add no state, so the modules change their class in place.
    """
    model.rpn.__class__ = PartialLabelRPN
    model.roi_heads.__class__ = PartialLabelRoIHeads
    model.rpn.network = model.roi_heads.network = network
    model.roi_heads.selector = DetectionSelector()
    model.rpn.min_size = network.rpn_min_size
    model.rpn.anchor_generator.__class__ = CachedAnchorGenerator


def supports_partial_labels(model: nn.Module) -> bool:
    """Returns True if a network's losses use ignore regions and unlabeled categories; one-stage networks do not."""
    return isinstance(getattr(model, "roi_heads", None), PartialLabelRoIHeads)
