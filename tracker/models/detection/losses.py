"""What the boxes of anchors and regions cost in training."""

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from tracker.config import DetectorNetwork


def anchor_box_loss(offsets: Tensor, targets: Tensor, sampled: int, locations: int, network: DetectorNetwork) -> Tensor:
    """Smooth L1 over the foreground anchors, summed and divided as `DetectorNetwork.rpn_box_divisor` says.

    Args:
        offsets: (P, 4) tx ty tw th that the network gives for the sampled foreground anchors.
        targets: (P, 4) those that lead to their objects.
        sampled: Number of sampled anchors, background too.
        locations: Number of places of the feature maps.
        network: Says how.

    Source: Ren et al. 2015, arXiv 1506.01497, eq. 1-2.
    """
    divisor = {"sampled": sampled, "locations": locations, "foreground": len(offsets)}[network.rpn_box_divisor]
    total = F.smooth_l1_loss(offsets, targets, beta=network.rpn_smooth_l1_beta, reduction="sum")
    return total / max(divisor, 1)


def region_box_loss(
    offsets: Tensor, targets: Tensor, labels: Tensor, regions: Tensor, coder: BoxCoder, network: DetectorNetwork
) -> Tensor:
    """The loss that `DetectorNetwork.box_loss` names over the foreground regions, divided by the number of all.

    Args:
        offsets: (R, 4 C) tx ty tw th for each class; a region's own class counts.
        targets: (R, 4) those that lead to its object.
        labels: (R,), 0 for background.
        regions: (R, 4) xyxy, pixels: what the offsets start from.
        coder: Turns offsets into boxes.
        network: Says which loss.

    Source: Girshick 2015, Fast R-CNN, eq. 2-3; Rezatofighi et al. 2019, arXiv 1902.09630; Zheng et al. 2020, arXiv
    1911.08287.
    """
    rows = (labels > 0).nonzero()[:, 0]
    own = offsets.reshape(len(offsets), -1, 4)[rows, labels[rows]]
    if network.box_loss == "smooth_l1":
        total = F.smooth_l1_loss(own, targets[rows], beta=network.smooth_l1_beta, reduction="sum")
    else:
        loss = {"giou": generalized_box_iou_loss, "ciou": complete_box_iou_loss}[network.box_loss]
        found, truth = (coder.decode_single(values, regions[rows]) for values in (own, targets[rows]))
        total = loss(found, truth, reduction="sum")
    return total / max(labels.numel(), 1)
