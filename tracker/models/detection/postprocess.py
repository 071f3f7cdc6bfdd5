"""Selection of an R-CNN's detections: calibrated scores, NMS within each class, and one class for each object.

Source: Ren et al. 2015, arXiv 1506.01497, section 3.1 (NMS); Platt 1999, Probabilistic outputs for support vector
machines (calibration).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

MIN_SIDE = 1e-2  # pixels; smaller boxes are dropped, as in torchvision


class DetectionSelector(nn.Module):
    """Selects an R-CNN's detections by the thresholds of a config.

    Attributes:
        score_thresh, nms_thresh, detections_per_img: Torchvision's thresholds.
        groups: int64 (C,), the group of each label; classes of one group are often taken for each other.
        group_nms_thresh: IoU above which, of two boxes of one group, the lower-scored one is dropped.
        agnostic_nms_thresh: The same for boxes of any classes.
        calibration: float32 (2, C), factor and summand of each class's log-odds that turn its score into a precision;
            empty for scores as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.score_thresh, self.nms_thresh, self.detections_per_img = 0.05, 0.5, 100
        self.group_nms_thresh = self.agnostic_nms_thresh = 1.0
        self.groups: Tensor
        self.calibration: Tensor
        self.register_buffer("groups", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("calibration", torch.zeros(2, 0), persistent=False)

    def class_scores(self, logits: Tensor) -> Tensor:
        """Returns the score of each class, (R, C) from 0 to 1, from logits (R, C + 1) with the background first."""
        scores = logits.softmax(1)[:, 1:]
        if not self.calibration.numel():
            return scores
        factor, summand = self.calibration
        calibrated: Tensor = (factor * scores.logit(eps=1e-6) + summand).sigmoid()
        return calibrated

    def forward(
        self,
        logits: Tensor,
        offsets: Tensor,
        proposals: list[Tensor],
        sizes: Sequence[tuple[int, int]],
        coder: BoxCoder,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Returns the detections of each image, best first: boxes (N, 4) xyxy in pixels, scores (N,), labels (N,).

        Args:
            logits: (all R, C + 1), background first.
            offsets: (all R, 4 (C + 1)) from the proposals, for each class.
            proposals: (R, 4) xyxy of each image.
            sizes: Height and width of each image.
            coder: Converts offsets to boxes.
        """
        counts = [each.shape[0] for each in proposals]  # not len, which an export would keep as a constant
        boxes = torch.split(coder.decode(offsets, proposals)[:, 1:], counts)
        scores = torch.split(self.class_scores(logits), counts)
        selected = [self._select(*each) for each in zip(boxes, scores, sizes, strict=True)]
        return [s[0] for s in selected], [s[1] for s in selected], [s[2] for s in selected]

    def _select(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        labels = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(scores).flatten()
        boxes, scores = clip_boxes_to_image(boxes, size).reshape(-1, 4), scores.flatten()
        keep = torch.where(scores > self.score_thresh)[0]
        keep = keep[remove_small_boxes(boxes[keep], MIN_SIDE)]
        boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        keep = batched_nms(boxes, scores, labels, self.nms_thresh)
        if self.group_nms_thresh < 1:
            keep = keep[batched_nms(boxes[keep], scores[keep], self.groups[labels[keep] - 1], self.group_nms_thresh)]
        if self.agnostic_nms_thresh < 1:
            keep = keep[nms(boxes[keep], scores[keep], self.agnostic_nms_thresh)]
        keep = keep[: self.detections_per_img]
        return boxes[keep], scores[keep], labels[keep]
