"""All that is measured of a detector on annotated pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.data import ImageSet
from tracker.evaluation.detection.average_precision import average_precision
from tracker.evaluation.detection.confusion import SizeRecall, confusion, found_by_size
from tracker.evaluation.detection.curves import (
    CalibrationCurve,
    Curve,
    ThresholdMetrics,
    best_f1_threshold,
    choice,
    count_objects,
    curves,
    reliability,
    together,
)
from tracker.structures.types import Detections

LEVELS = (0.5, 0.75)
"""Least IoUs for which there are curves."""

USUAL_SCORE = DetectorConfig().score


@dataclass(frozen=True, eq=False)
class DetectorScores:
    """How good detections are.

    Attributes:
        pictures: How many there are.
        objects: To find, by class; of the classes that occur.
        figures: See `average_precision`.
        curves: By least IoU (see `LEVELS`) and class.
        together: At IoU 0.5, all classes as one.
        score: What a detection must have for `chosen`, `by_size` and `confusion`.
        best: By class, the least score with the highest F1 at IoU 0.5.
        best_together: The same, one score for all classes.
        chosen: What `score` leads to, all classes together.
        reliability: Whether scores tell how likely a detection is right.
        by_size: What was found at IoU 0.5, by size of the objects.
        categories: All class names by label.
        confusion: int64 (C + 1, C + 1), see `confusion`.
        seconds: float64 (P,), what finding took of each picture.
    """

    pictures: int
    objects: dict[str, int]
    figures: dict[str, float]
    curves: dict[float, dict[str, Curve]]
    together: Curve
    score: float
    best: dict[str, ThresholdMetrics]
    best_together: ThresholdMetrics
    chosen: ThresholdMetrics
    reliability: CalibrationCurve
    by_size: dict[str, SizeRecall]
    categories: tuple[str, ...]
    confusion: NDArray[np.int64]
    seconds: NDArray[np.float64]


def measured(
    found: Sequence[Detections], pictures: ImageSet, seconds: Sequence[float], score: float = USUAL_SCORE
) -> DetectorScores:
    """Measures detections against the truth.

    Args:
        found: What was found in each picture, down to scores far below `score`.
        pictures: The truth, with the detector's labels.
        seconds: What finding took of each picture.
        score: The least score of detections that count one by one.
    """
    by_level = {level: curves(found, pictures, level) for level in LEVELS}
    loose = by_level[LEVELS[0]]
    whole = together(list(loose.values()))
    certain = [detections[detections.scores >= score] for detections in found]
    return DetectorScores(
        pictures=len(pictures.pictures),
        objects={name: number for name, number in count_objects(pictures).items() if number},
        figures=average_precision(zip(found, pictures.pictures, strict=True), pictures.categories),
        curves=by_level,
        together=whole,
        score=score,
        best={name: best_f1_threshold(curve) for name, curve in loose.items()},
        best_together=best_f1_threshold(whole),
        chosen=choice(whole, score),
        reliability=reliability(whole),
        by_size=found_by_size(certain, pictures, LEVELS[0]),
        categories=pictures.categories,
        confusion=confusion(certain, pictures, LEVELS[0]),
        seconds=np.array(seconds, np.float64),
    )
