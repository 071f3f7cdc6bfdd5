"""What was taken for what, and what sizes of objects were found, at one least score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ImageSet
from tracker.evaluation.detection.matching import NO_OBJECT, match, missed, right
from tracker.structures.boxes import area
from tracker.structures.types import Detections

SIZES = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
"""Least area of a box, square pixels, as COCO has it."""


@dataclass(frozen=True)
class SizeRecall:
    """How many objects there are, and how many of them were found as what they are."""

    objects: int
    found: int

    @property
    def recall(self) -> float:
        """From 0 to 1; NaN where there are none."""
        return self.found / self.objects if self.objects else float("nan")


def confusion(found: Sequence[Detections], pictures: ImageSet, least_iou: float) -> NDArray[np.int64]:
    """How often an object of one class was taken for one of another.

    Args:
        found: The detections of each picture that shall count.
        pictures: The truth.
        least_iou: From which on a detection shows an object.

    Returns:
        int64 (C + 1, C + 1): a row for each true class and one for no object (false alarms), a column for each class
        that was said and one for nothing (missed objects).
    """
    background = len(pictures.categories)
    counts = np.zeros((background + 1, background + 1), np.int64)
    for detections, picture in zip(found, pictures.pictures, strict=True):
        matches = match(detections, picture, least_iou)
        shown = matches >= 0
        np.add.at(counts, (picture.labels[matches[shown]], detections.labels[shown]), 1)
        np.add.at(counts[background], detections.labels[matches == NO_OBJECT], 1)
        np.add.at(counts[:, background], picture.labels[missed(matches, picture)], 1)
    return counts


def found_by_size(found: Sequence[Detections], pictures: ImageSet, least_iou: float) -> dict[str, SizeRecall]:
    """Recall of small, medium and large objects (see `SIZES`), all classes together."""
    objects = np.zeros(len(SIZES), np.int64)
    shown = np.zeros(len(SIZES), np.int64)
    for detections, picture in zip(found, pictures.pictures, strict=True):
        matches = match(detections, picture, least_iou)
        sizes = np.searchsorted([*SIZES.values()], area(picture.boxes), "right") - 1
        np.add.at(objects, sizes[~np.isin(picture.labels, picture.unlabelled)], 1)
        np.add.at(shown, sizes[matches[right(matches, detections, picture)]], 1)
    rows = zip(SIZES, objects.tolist(), shown.tolist(), strict=True)
    return {name: SizeRecall(number, seen) for name, number, seen in rows}
