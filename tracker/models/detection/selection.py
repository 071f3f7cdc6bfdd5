"""Selection of an R-CNN's detections in NumPy, with the results of `DetectionSelector`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.structures.boxes import iou
from tracker.structures.types import Detections

MIN_SIDE = 1e-2  # pixels; smaller boxes are dropped, as in torchvision
_EPSILON = np.float32(1e-6)  # scores this close to 0 or 1 have no larger log-odds
Floats = NDArray[np.float32]


def calibrate_scores(scores: Floats, calibration: Sequence[tuple[float, float]]) -> Floats:
    """Turns scores (R, C) into precisions by factor and summand of each class's log-odds; none leaves them as they are.

    Example:
        >>> calibrate_scores(np.array([[0.5, 0.5]], np.float32), [(1, 0), (1, 2)]).round(2).tolist()
        [[0.5, 0.8799999952316284]]
    """
    if not calibration:
        return scores
    factor, summand = np.array(calibration, np.float32).T
    clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
    logits = factor * np.log(clipped / (1 - clipped)) + summand
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def group_labels(categories: Sequence[str], groups: Sequence[str]) -> NDArray[np.int64]:
    """Returns the number of each class's group, (C,); a class that is in no group has one of its own.

    Example:
        >>> group_labels(("person", "car", "bus"), ["car/bus/truck"]).tolist()
        [0, 3, 3]
    """
    numbers = list(range(len(categories)))
    for number, group in enumerate(groups, len(categories)):
        names = group.split("/")
        numbers = [number if name in names else own for name, own in zip(categories, numbers, strict=True)]
    return np.array(numbers, np.int64)


def select_detections(boxes: Floats, scores: Floats, groups: NDArray[np.int64], config: DetectorConfig) -> Detections:
    """Returns the detections of an image, best first, by the thresholds of a config.

    Args:
        boxes: (R, C, 4) xyxy of each proposal for each class, pixels, clipped to the image.
        scores: (R, C).
        groups: The group of each class, see `group_labels`.
        config: The score threshold, those of NMS and the most detections.
    """
    proposals, labels = np.nonzero(scores > config.least_score)
    boxes, scores = boxes[proposals, labels], scores[proposals, labels]
    order = np.argsort(-scores, kind="stable")
    order = order[(boxes[order, 2:] - boxes[order, :2] >= MIN_SIDE).all(1)]
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    keep = _nms(boxes, labels, config.nms_iou)
    if config.group_nms_iou < 1:
        keep = keep[_nms(boxes[keep], groups[labels[keep]], config.group_nms_iou)]
    if config.agnostic_nms_iou < 1:
        keep = keep[_nms(boxes[keep], np.zeros(len(keep), np.int64), config.agnostic_nms_iou)]
    keep = keep[: config.max_detections]
    return Detections(boxes[keep], scores[keep], labels[keep].astype(np.int64))


def _nms(boxes: Floats, groups: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Returns the indices of the boxes (N, 4), best first, that no better one of their group overlaps too much."""
    kept = np.ones(len(boxes), bool)
    for index in range(len(boxes)):
        if kept[index]:
            later = index + 1 + np.flatnonzero(kept[index + 1 :] & (groups[index + 1 :] == groups[index]))
            kept[later[iou(boxes[index : index + 1], boxes[later])[0] > threshold]] = False
    return np.flatnonzero(kept)
