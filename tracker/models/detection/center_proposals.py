"""Proposals from the centers of objects, beside those of an RPN, and the losses of the maps that tell the centers.

A map at stride 4 has the logit of each class that the center of one of its objects is at a position, and the distances
from there to the object's edges. Small and unusual objects, which anchors miss, have a peak there.

Sources: Zhou et al. 2019, Objects as points, arXiv 1904.07850, sections 3 and 4; Liu et al. 2020,
Training-time-friendly network for real-time object detection, arXiv 1909.00700, section 3 (the Gaussians); Zhou et al.
2021, Probabilistic two-stage detection, arXiv 2103.07461, section 3 (proposals of a CenterNet).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import _topk_min
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image, generalized_box_iou_loss, nms, remove_small_boxes

from tracker.models.detection.class_maps import LOGIT_OFFSET
from tracker.models.detection.partial_labels import PartialLabelRPN
from tracker.models.detection.rpn import CENTER_MAP

STRIDE = 4  # pixels, of the map of centers
NMS_IOU = 0.7
MIN_SIDE = 1.0  # pixels, of a proposal
SPREAD = 0.54 / 6  # standard deviation of an object's Gaussian, as a fraction of its side
BOX_LEVEL = 0.6  # value of an object's Gaussian from which on a position is trained to predict the object's box
UNCERTAIN_LEVEL = 0.1  # value of an uncertain box's Gaussian from which on its class is not trained


class CenterRPN(PartialLabelRPN):
    """An RPN that adds the boxes at the peaks of a map of centers to its proposals, and trains that map."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        proposals, losses = super().forward(images, features, targets)
        centers = features[CENTER_MAP]
        number = self.network.center_proposals
        maps_and_sizes = zip(centers.detach(), images.image_sizes, strict=True)
        added = [center_boxes(each, number, size) for each, size in maps_and_sizes]
        if self.training and centers.requires_grad:
            assert targets is not None
            losses |= center_losses(centers, targets, self.network.center_weight)
        return [torch.cat(pair) for pair in zip(proposals, added, strict=True)], losses


def center_boxes(centers: Tensor, number: int, image_size: tuple[int, int]) -> Tensor:
    """Returns the boxes at the highest peaks of any class, best first: (K, 4) xyxy, pixels.

    Args:
        centers: (C + 4, h, w): logits of the classes; distances to the left, upper, right and lower edge, pixels.
        number: Maximum number of boxes.
        image_size: Height and width of the image, pixels, to which boxes are clipped.
    """
    centers = centers.float()
    logits = centers[:-4].amax(0)
    is_peak = (F.max_pool2d(logits[None, None], 3, 1, 1)[0, 0] == logits) & (logits > -LOGIT_OFFSET)
    peaks = is_peak.flatten().nonzero()[:, 0]
    scores = logits.flatten()[peaks]
    scores, best = scores.topk(_topk_min(scores, number, 0))
    boxes = clip_boxes_to_image(decode_sides(centers[-4:])[peaks[best]], image_size)
    valid = remove_small_boxes(boxes, MIN_SIDE)
    boxes, scores = boxes[valid], scores[valid]
    best_first: Tensor = boxes[nms(boxes, scores, NMS_IOU)]
    return best_first


def decode_sides(sides: Tensor) -> Tensor:
    """Converts distances from positions to the edges, (4, h, w) pixels, to boxes (h w, 4) xyxy."""
    height, width = sides.shape[-2:]
    y = STRIDE * torch.arange(height, device=sides.device, dtype=sides.dtype)[:, None].expand(height, width)
    x = STRIDE * torch.arange(width, device=sides.device, dtype=sides.dtype)[None].expand(height, width)
    left, top, right, bottom = sides.clamp(min=0)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1).reshape(-1, 4)


def center_losses(centers: Tensor, targets: list[dict[str, Tensor]], weight: float) -> dict[str, Tensor]:
    """Returns the losses of a batch's maps of centers (B, C + 4, h, w), multiplied by `weight`.

    The focal loss of "Objects as points", equation 1, divided by the number of objects, without what `partial_labels`
    excludes; and the generalized IoU loss of the boxes around the centers. Maps of other classes than the detector's,
    from an earlier training, have the second loss alone.
    """
    class_loss, box_loss, objects = centers.new_zeros(()), centers.new_zeros(()), 0
    for each, target in zip(centers.float(), targets, strict=True):
        gaussians = gaussian_maps(target["boxes"], each.shape[1:])
        if len(each) - 4 == target["unlabeled"].shape[1] - 1:
            class_loss = class_loss + _class_loss(each[:-4], gaussians, target)
        box_loss = box_loss + _box_loss(each[-4:], gaussians, target["boxes"])
        objects += len(gaussians)
    factor = weight / max(objects, 1)
    return {"loss_center": factor * class_loss, "loss_center_box": factor * box_loss}


def gaussian_maps(boxes: Tensor, shape: torch.Size) -> Tensor:
    """Returns a map (N, h, w) for each box (N, 4) xyxy, pixels: 1 at its center, a Gaussian of its size around it."""
    centers = ((boxes[:, :2] + boxes[:, 2:]) / (2 * STRIDE)).round()
    deviations = (SPREAD * (boxes[:, 2:] - boxes[:, :2]) / STRIDE).clamp(min=0.3)
    x, y = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) for side in (shape[1], shape[0]))
    horizontal = (-0.5 * ((x[None] - centers[:, :1]) / deviations[:, :1]) ** 2).exp()
    vertical = (-0.5 * ((y[None] - centers[:, 1:]) / deviations[:, 1:]) ** 2).exp()
    return vertical[:, :, None] * horizontal[:, None]


def _class_loss(logits: Tensor, gaussians: Tensor, target: dict[str, Tensor]) -> Tensor:
    heat = torch.zeros_like(logits)
    for label, gaussian in zip((target["labels"] - 1).tolist(), gaussians, strict=True):
        heat[label] = torch.maximum(heat[label], gaussian)
    positive = heat == 1
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    p = logits.sigmoid()
    loss = torch.where(positive, -((1 - p) ** 2) * log_p, -((1 - heat) ** 4) * p**2 * log_not_p)
    return loss[positive | ~_excluded(logits.shape, target)].sum()


def _excluded(shape: torch.Size, target: dict[str, Tensor]) -> Tensor:
    """Returns True, bool (C, h, w), where it is not known whether the center of an object of a class is there."""
    excluded = torch.zeros(shape, dtype=torch.bool, device=target["boxes"].device)
    for region, unlabeled in zip(target["regions"], target["unlabeled"][:, 1:], strict=True):
        rows, columns = _window(region)
        excluded[:, rows, columns] |= unlabeled[:, None, None]
    for region in target["ignore"]:
        rows, columns = _window(region)
        excluded[:, rows, columns] = True
    uncertain = gaussian_maps(target["uncertain"], shape[1:]) >= UNCERTAIN_LEVEL
    for label, near in zip((target["uncertain_labels"] - 1).tolist(), uncertain, strict=True):
        excluded[label] |= near
    return excluded


def _window(region: Tensor) -> tuple[slice, slice]:
    x1, y1, x2, y2 = (region / STRIDE).tolist()
    return slice(max(0, round(y1)), max(0, round(y2))), slice(max(0, round(x1)), max(0, round(x2)))


def _box_loss(sides: Tensor, gaussians: Tensor, boxes: Tensor) -> Tensor:
    if not len(boxes):
        return sides.sum() * 0
    level, nearest = gaussians.max(0)
    positions = (level >= BOX_LEVEL).flatten().nonzero()[:, 0]
    level, nearest = level.flatten()[positions], nearest.flatten()[positions]
    weights = level / torch.zeros_like(boxes[:, 0]).index_add(0, nearest, level)[nearest]  # 1 for each object
    losses: Tensor = generalized_box_iou_loss(decode_sides(sides)[positions], boxes[nearest])
    return (weights * losses).sum()
