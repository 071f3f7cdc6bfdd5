"""Computes COCO's average precision and recall with faster-coco-eval.

Source: Lin et al. 2014, COCO, arXiv 1405.0312.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage
from tracker.structures.boxes import area, xyxy_to_xywh
from tracker.structures.types import Detections

AP_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
AR_METRICS = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
COCO_METRICS = AP_METRICS + AR_METRICS


def average_precision(
    pairs: Iterable[tuple[Detections, AnnotatedImage]], categories: Sequence[str]
) -> dict[str, float]:
    """Computes COCO's metrics, from 0 to 1.

    Objects are small below 32 x 32 pixels of box area and large from 96 x 96. A class that is not annotated in an image
    is ignored there, in the ground truth and in the detections. Detections in an ignore region are ignored too.

    Args:
        pairs: The detections and the ground truth of each image.
        categories: Class names by label, of both.

    Returns:
        Means over the classes that occur: AP (over IoU 0.50:0.95), AP50 and AP75 (at one IoU), APs, APm and APl (of
        small, medium and large objects); AR1, AR10 and AR100 (recall with at most so many detections in an image), ARs,
        ARm and ARl. Then AP/NAME and AP50/NAME of each of these classes. NaN where there are no objects.

    Example:
        >>> from pathlib import Path
        >>> from tracker.data import AnnotatedImage
        >>> from tracker.structures.types import Detections
        >>> boxes, labels = np.array([[0, 0, 50, 50]], np.float32), np.array([0])
        >>> gt = AnnotatedImage("1.png", Path("1.png"), boxes, labels, ((),), np.zeros((0, 4), np.float32), ())
        >>> detections = Detections(boxes + 1, np.array([0.9], np.float32), labels)
        >>> round(average_precision([(detections, gt)], ["person"])["AP50"], 3)
        1.0
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images: list[dict[str, Any]] = []
    gt: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for image_id, (detections, image) in enumerate(pairs, 1):
        images.append({"id": image_id})
        gt += _annotations(image_id, image.boxes, image.labels, image.unlabeled, iscrowd=0)
        for label in range(len(categories)):
            gt += _annotations(image_id, image.ignore, np.full(len(image.ignore), label), (), iscrowd=1)
        scores = [{"score": score} for score in detections.scores.tolist()]
        predictions += _annotations(image_id, detections.boxes, detections.labels, image.unlabeled, scores)
    common = {"images": images, "categories": [{"id": n, "name": name} for n, name in enumerate(categories)]}
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its progress
        evaluation = COCOeval_faster(
            *(COCO({**common, "annotations": _with_ids(annotations)}) for annotations in (gt, predictions)), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
    return _metrics(evaluation.eval, evaluation.params.iouThrs, categories)


def _annotations(
    image_id: int,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    unlabeled: Sequence[int],
    extra: Sequence[dict[str, Any]] = (),
    **common: Any,
) -> list[dict[str, Any]]:
    """Returns COCO annotations of the boxes of annotated classes, each with its fields of `extra` and with `common`."""
    xywh, areas = xyxy_to_xywh(boxes).tolist(), area(boxes).tolist()
    extras = extra or [{}] * len(boxes)
    columns = zip(xywh, areas, labels.tolist(), extras, strict=True)
    return [
        {"image_id": image_id, "category_id": label, "bbox": bbox, "area": box_area, **fields, **common}
        for bbox, box_area, label, fields in columns
        if label not in unlabeled
    ]


def _with_ids(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": n, **annotation} for n, annotation in enumerate(annotations, 1)]


def _metrics(results: dict[str, Any], thresholds: NDArray[Any], categories: Sequence[str]) -> dict[str, float]:
    """Averages precision (IoU, recall, class, area, limit) and recall (IoU, class, area, limit); -1: no objects."""
    precision, recall = results["precision"], results["recall"]
    iou_50, iou_75 = (int(np.argmin(np.abs(thresholds - threshold))) for threshold in (0.5, 0.75))
    all_areas = precision[..., 0, -1]
    parts = [all_areas, all_areas[iou_50], all_areas[iou_75], *(precision[..., size, -1] for size in (1, 2, 3))]
    parts += [*(recall[..., 0, limit] for limit in (0, 1, 2)), *(recall[..., size, -1] for size in (1, 2, 3))]
    metrics = {name: _mean(part) for name, part in zip(COCO_METRICS, parts, strict=True)}
    for label, name in enumerate(categories):
        if (all_areas[..., label] > -1).any():
            metrics |= {f"AP/{name}": _mean(all_areas[..., label]), f"AP50/{name}": _mean(all_areas[iou_50, :, label])}
    return metrics


def _mean(values: NDArray[Any]) -> float:
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else float("nan")
