"""Average precision of detections, where some classes were not annotated in some pictures.

Source: Lin et al. 2014, COCO, arXiv 1405.0312; computed by faster-coco-eval.
"""

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.boxes import xyxy_to_xywh
from tracker.types import Detections


@dataclass(frozen=True, eq=False)
class Truth:
    """The annotation of one picture.

    Attributes:
        boxes: float32 (N, 4) xyxy pixels.
        labels: int64 (N,), indices into the categories.
        ignore: float32 (K, 4) xyxy, regions where detections of any class count as neither right nor wrong.
        unlabelled: Labels that were not annotated: their detections in this picture do not count.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.float32]
    unlabelled: tuple[int, ...]


def average_precision(pairs: Iterable[tuple[Detections, Truth]], categories: list[str]) -> dict[str, float]:
    """COCO's figures over pictures.

    Returns:
        AP (IoU 0.50:0.95), AP50 and AP75 over the classes that occur, and AP50/NAME for each of them.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image_id, (detections, truth) in enumerate(pairs, 1):
        images.append({"id": image_id})
        truths += _truth_rows(image_id, truth, len(categories), len(truths))
        counted = ~np.isin(detections.labels, truth.unlabelled)
        found += [
            {"image_id": image_id, "category_id": int(label) + 1, "bbox": box.tolist(), "score": float(score)}
            for box, score, label in zip(
                xyxy_to_xywh(detections.boxes)[counted],
                detections.scores[counted],
                detections.labels[counted],
                strict=True,
            )
        ]
    if not found:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    named = [{"id": n, "name": name} for n, name in enumerate(categories, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its progress
        truth_set = COCO({"images": images, "annotations": truths, "categories": named})
        evaluation = COCOeval_faster(truth_set, truth_set.loadRes(found), iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return _figures(evaluation.eval["precision"], evaluation.params.iouThrs, categories)


def _truth_rows(image_id: int, truth: Truth, num_categories: int, used: int) -> list[dict[str, Any]]:
    rows = [(box, int(label) + 1, 0) for box, label in zip(truth.boxes, truth.labels, strict=True)]
    rows += [(box, number, 1) for box in truth.ignore for number in range(1, num_categories + 1)]
    return [
        {
            "id": used + n,
            "image_id": image_id,
            "category_id": category,
            "bbox": xyxy_to_xywh(box).tolist(),
            "area": float(np.prod(box[2:] - box[:2])),
            "iscrowd": crowd,
        }
        for n, (box, category, crowd) in enumerate(rows, 1)
    ]


def _figures(precision: NDArray[Any], thresholds: NDArray[Any], categories: list[str]) -> dict[str, float]:
    """(thresholds, recalls, classes, areas, limits) precision -> named means; -1 marks what does not occur."""

    def mean(part: NDArray[Any]) -> float:
        known = part[part > -1]
        return float(known.mean()) if known.size else float("nan")

    whole = precision[:, :, :, 0, -1]
    half, three_quarters = (int(np.argmin(np.abs(thresholds - t))) for t in (0.5, 0.75))
    figures = {"AP": mean(whole), "AP50": mean(whole[half]), "AP75": mean(whole[three_quarters])}
    for number, name in enumerate(categories):
        if (whole[half, :, number] > -1).any():
            figures[f"AP50/{name}"] = mean(whole[half, :, number])
    return figures
