"""Average precision and recall, where some classes were not annotated in some pictures; by faster-coco-eval.

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

PRECISIONS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
RECALLS = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
FIGURES = PRECISIONS + RECALLS


def average_precision(
    pairs: Iterable[tuple[Detections, AnnotatedImage]], categories: Sequence[str]
) -> dict[str, float]:
    """COCO's figures over pictures, from 0 to 1.

    Objects are small below 32 x 32 pixels of their box and large from 96 x 96. A class that was not annotated in a
    picture does not count there, neither found nor true; what is found in a region to ignore does not count either.

    Args:
        pairs: What was found in each picture, and what is true of it.
        categories: Class names by label, of both.

    Returns:
        Means over the classes that occur: AP (over IoU 0.50:0.95), AP50 and AP75 (at one IoU), APs, APm and APl (of
        small, medium and large objects); AR1, AR10 and AR100 (recall with so many detections in a picture), ARs, ARm
        and ARl. Then AP/NAME and AP50/NAME of each of these classes. NaN where there is nothing to find.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images: list[dict[str, Any]] = []
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (detections, picture) in enumerate(pairs, 1):
        images.append({"id": number})
        true += _rows(number, picture.boxes, picture.labels, picture.unlabelled, iscrowd=0)
        for label in range(len(categories)):
            true += _rows(number, picture.ignore, np.full(len(picture.ignore), label), (), iscrowd=1)
        scores = [{"score": score} for score in detections.scores.tolist()]
        found += _rows(number, detections.boxes, detections.labels, picture.unlabelled, scores)
    common = {"images": images, "categories": [{"id": n, "name": name} for n, name in enumerate(categories)]}
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its progress
        evaluation = COCOeval_faster(
            *(COCO({**common, "annotations": _counted(rows)}) for rows in (true, found)), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
    return _figures(evaluation.eval, evaluation.params.iouThrs, categories)


def _rows(
    image: int,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    unlabelled: Sequence[int],
    more: Sequence[dict[str, Any]] = (),
    **same: Any,
) -> list[dict[str, Any]]:
    """COCO's annotations of the boxes whose labels count, each with what `more` has for it, all with `same`."""
    xywh, sizes = xyxy_to_xywh(boxes).tolist(), area(boxes).tolist()
    each = more or [{}] * len(boxes)
    rows = zip(xywh, sizes, labels.tolist(), each, strict=True)
    return [
        {"image_id": image, "category_id": label, "bbox": box, "area": size, **own, **same}
        for box, size, label, own in rows
        if label not in unlabelled
    ]


def _counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": number, **row} for number, row in enumerate(rows, 1)]


def _figures(results: dict[str, Any], thresholds: NDArray[Any], categories: Sequence[str]) -> dict[str, float]:
    """Means of precision (IoU, recall, class, size, limit) and recall (IoU, class, size, limit); -1: does not occur."""
    precision, recall = results["precision"], results["recall"]
    half, three_quarters = (int(np.argmin(np.abs(thresholds - level))) for level in (0.5, 0.75))
    whole = precision[..., 0, -1]
    parts = [whole, whole[half], whole[three_quarters], *(precision[..., size, -1] for size in (1, 2, 3))]
    parts += [*(recall[..., 0, limit] for limit in (0, 1, 2)), *(recall[..., size, -1] for size in (1, 2, 3))]
    figures = {name: _mean(part) for name, part in zip(FIGURES, parts, strict=True)}
    for number, name in enumerate(categories):
        if (whole[..., number] > -1).any():
            figures |= {f"AP/{name}": _mean(whole[..., number]), f"AP50/{name}": _mean(whole[half, :, number])}
    return figures


def _mean(part: NDArray[Any]) -> float:
    known = part[part > -1]
    return float(known.mean()) if known.size else float("nan")
