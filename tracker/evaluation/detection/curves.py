"""What changes with the least score that a detection must have: precision, recall, F1; and whether scores are true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet
from tracker.evaluation.detection.matching import NOT_COUNTED, match, right
from tracker.structures.types import Detections

BINS = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """The detections of one class that count, best-scored first.

    Attributes:
        objects: How many there are to find.
        scores: float64 (N,), descending.
        right: bool (N,), which of them show one.
    """

    objects: int
    scores: Floats
    right: NDArray[np.bool_]

    @property
    def precision(self) -> Floats:
        """(N,) share of right ones among the detections up to each."""
        found: Floats = np.cumsum(self.right) / np.arange(1, len(self.right) + 1)
        return found

    @property
    def recall(self) -> Floats:
        """(N,) share of the objects that the detections up to each one show; NaN where there are none to find."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shown: Floats = np.cumsum(self.right) / np.float64(self.objects)
        return shown

    @property
    def f1(self) -> Floats:
        """(N,) harmonic mean of precision and recall."""
        harmonic: Floats = 2 * np.cumsum(self.right) / (np.arange(1, len(self.right) + 1) + self.objects)
        return harmonic


@dataclass(frozen=True)
class ThresholdMetrics:
    """What a least score leads to; all from 0 to 1."""

    score: float
    precision: float
    recall: float
    f1: float


def curves(found: Sequence[Detections], pictures: ImageSet, least_iou: float) -> dict[str, Curve]:
    """For each class that there is something of to find, what was found.

    Args:
        found: The detections of each picture.
        pictures: The truth.
        least_iou: From which on a detection is right.
    """
    scores: list[list[NDArray[np.float32]]] = [[] for _ in pictures.categories]
    correct: list[list[NDArray[np.bool_]]] = [[] for _ in pictures.categories]
    for detections, picture in zip(found, pictures.pictures, strict=True):
        matches = match(detections, picture, least_iou)
        hits = right(matches, detections, picture)
        for label in np.unique(detections.labels):
            rows = (detections.labels == label) & (matches != NOT_COUNTED)
            scores[label].append(detections.scores[rows])
            correct[label].append(hits[rows])
    objects = count_objects(pictures)
    return {
        name: _sorted(objects[name], np.concatenate([[], *said]), np.concatenate([np.zeros(0, bool), *hit]))
        for name, said, hit in zip(pictures.categories, scores, correct, strict=True)
        if objects[name]
    }


def together(classes: Sequence[Curve]) -> Curve:
    """All classes as one: each object and each detection counts alike."""
    scores = np.concatenate([np.zeros(0), *(curve.scores for curve in classes)])
    hits = np.concatenate([np.zeros(0, bool), *(curve.right for curve in classes)])
    return _sorted(sum(curve.objects for curve in classes), scores, hits)


def count_objects(pictures: ImageSet) -> dict[str, int]:
    """How many objects of each class there are to find."""

    def counted(picture: AnnotatedImage) -> NDArray[np.int64]:
        return picture.labels[~np.isin(picture.labels, picture.unlabelled)]

    labels = np.concatenate([np.zeros(0, np.int64), *map(counted, pictures.pictures)])
    numbers = np.bincount(labels, minlength=len(pictures.categories)).tolist()
    return dict(zip(pictures.categories, numbers, strict=True))


def choice(curve: Curve, score: float) -> ThresholdMetrics:
    """What a given least score leads to; without any detection nothing is wrong, so that precision is 1."""
    number = int(np.count_nonzero(curve.scores >= score))
    if not number:
        return ThresholdMetrics(score, 1.0, 0.0, 0.0)
    return ThresholdMetrics(score, *(float(values[number - 1]) for values in (curve.precision, curve.recall, curve.f1)))


def best_f1_threshold(curve: Curve) -> ThresholdMetrics:
    """The least score with the highest F1; of several the highest score."""
    if not len(curve.scores):
        return choice(curve, 1.0)
    # All detections of one score are taken or none is.
    possible = np.append(curve.scores[1:] != curve.scores[:-1], True)
    return choice(curve, float(curve.scores[np.argmax(np.where(possible, curve.f1, -1))]))


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Whether a score tells how likely a detection is right: in `BINS` equal parts of the scores from 0 to 1.

    Attributes:
        scores: float64 (BINS,), mean score; NaN in a part without detections.
        precision: float64 (BINS,), share of right ones; NaN there too.
        counts: int64 (BINS,), detections.
        error: Mean distance of the two, weighted by the counts; NaN without detections.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.
    """

    scores: Floats
    precision: Floats
    counts: NDArray[np.int64]
    error: float


def reliability(curve: Curve) -> CalibrationCurve:
    """How true the scores of detections are."""
    part = np.minimum((curve.scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(part, minlength=BINS)
    with np.errstate(invalid="ignore"):
        scores = np.bincount(part, curve.scores, BINS) / counts
        precision = np.bincount(part, curve.right.astype(float), BINS) / counts
        error = float(np.nansum(counts * np.abs(scores - precision)) / np.float64(counts.sum()))
    return CalibrationCurve(scores, precision, counts, error)


def _sorted(objects: int, scores: NDArray[np.floating], hits: NDArray[np.bool_]) -> Curve:
    order = np.argsort(-scores, kind="stable")
    return Curve(objects, scores[order].astype(np.float64), hits[order])
