"""Losses of the boxes of anchors and proposals."""

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from tracker.config import DetectorNetwork


def rpn_box_loss(
    offsets: Tensor, targets: Tensor, num_sampled: int, num_locations: int, network: DetectorNetwork
) -> Tensor:
    """Returns the smooth L1 loss of the foreground anchors, divided as `DetectorNetwork.rpn_box_divisor` says.

    Args:
        offsets: (P, 4) predicted tx ty tw th of the sampled foreground anchors.
        targets: (P, 4) offsets from the anchors to their objects.
        num_sampled: Number of sampled anchors, background included.
        num_locations: Number of locations of the feature maps.
        network: The settings of the loss.

    Source: Ren et al. 2015, arXiv 1506.01497, eq. 1-2.
    """
    divisors = {"sampled": num_sampled, "locations": num_locations, "foreground": len(offsets)}
    total = F.smooth_l1_loss(offsets, targets, beta=network.rpn_smooth_l1_beta, reduction="sum")
    return total / max(divisors[network.rpn_box_divisor], 1)


def roi_box_loss(
    offsets: Tensor, targets: Tensor, labels: Tensor, proposals: Tensor, coder: BoxCoder, network: DetectorNetwork
) -> Tensor:
    """Returns `DetectorNetwork.box_loss` of the foreground proposals, divided by the number of all proposals.

    Args:
        offsets: (R, 4 C) predicted tx ty tw th for each class; those of a proposal's own class count.
        targets: (R, 4) offsets from the proposals to their objects.
        labels: (R,), 0 for background.
        proposals: (R, 4) xyxy, pixels.
        coder: Converts offsets to boxes.
        network: The settings of the loss.

    Source: Girshick 2015, Fast R-CNN, eq. 2-3; Rezatofighi et al. 2019, arXiv 1902.09630; Zheng et al. 2020, arXiv
    1911.08287.
    """
    foreground = (labels > 0).nonzero()[:, 0]
    own = offsets.reshape(len(offsets), -1, 4)[foreground, labels[foreground]]
    if network.box_loss == "smooth_l1":
        total = F.smooth_l1_loss(own, targets[foreground], beta=network.smooth_l1_beta, reduction="sum")
    else:
        loss = {"giou": generalized_box_iou_loss, "ciou": complete_box_iou_loss}[network.box_loss]
        boxes, gt_boxes = (coder.decode_single(o, proposals[foreground]) for o in (own, targets[foreground]))
        total = loss(boxes, gt_boxes, reduction="sum")
    return total / max(labels.numel(), 1)
