"""Calibration of a detector's scores: afterwards, of detections with a score of 0.7, seven in ten are correct.

Source: Platt 1999, Probabilistic outputs for support vector machines; Guo et al. 2017, On calibration of modern neural
networks, arXiv 1706.04599.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from tracker.data import AnnotatedImage
from tracker.evaluation.detection.matching import IGNORED, is_true_positive, match_detections
from tracker.structures.types import Detections

Floats = NDArray[np.float64]

IOU_THRESHOLD = 0.5
PRIOR_WEIGHT = 10.0  # of the values of all classes together, in the fit of a class with few detections
EPSILON = 1e-6  # scores are clipped to this distance from 0 and 1


def fit_calibration(
    predictions: Sequence[Detections], images: Sequence[AnnotatedImage], num_categories: int
) -> tuple[tuple[float, float], ...]:
    """Fits, for each class, the factor and the summand of a score's log-odds that make it a probability.

    A class is fitted by logistic regression, with the fit of all classes together as its prior: a class without
    detections gets that one.

    Args:
        predictions: The detections of each image, down to low scores, not yet calibrated.
        images: The ground truth; best of images that were not used for training.
        num_categories: Number of classes.

    Returns:
        (factor, summand) of each class, for `ModelInfo.calibration`.

    Example:
        >>> from pathlib import Path
        >>> boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (10, 1))
        >>> boxes[5:] += 50  # half of the detections are wrong
        >>> predictions = [Detections(box[None], np.array([0.9], np.float32), np.array([0])) for box in boxes]
        >>> none = np.zeros((0, 4), np.float32)
        >>> gt = [AnnotatedImage("", Path(), boxes[:1], np.array([0]), ((),), none, ()) for _ in boxes]
        >>> ((factor, summand),) = fit_calibration(predictions, gt, 1)
        >>> round(float(expit(factor * logit(0.9) + summand)), 2)
        0.5
    """
    log_odds, correct, labels = _collect(predictions, images)
    common = _fit(log_odds, correct, np.array([1.0, 0.0]), 1e-3)
    fits = [
        _fit(log_odds[labels == label], correct[labels == label], common, PRIOR_WEIGHT)
        for label in range(num_categories)
    ]
    return tuple((float(factor), float(summand)) for factor, summand in fits)


def _collect(
    predictions: Sequence[Detections], images: Sequence[AnnotatedImage]
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Returns log-odds of the scores, True for the correct ones, and labels of all detections that count."""
    scores, correct, labels = [], [], []
    for detections, image in zip(predictions, images, strict=True):
        matches = match_detections(detections, image, IOU_THRESHOLD)
        counts = matches != IGNORED
        scores.append(detections.scores[counts])
        correct.append(is_true_positive(matches, detections, image)[counts])
        labels.append(detections.labels[counts])
    clipped = np.clip(np.concatenate(scores).astype(np.float64), EPSILON, 1 - EPSILON)
    return logit(clipped), np.concatenate(correct), np.concatenate(labels)


def _fit(log_odds: Floats, correct: NDArray[np.bool_], prior: Floats, prior_weight: float) -> Floats:
    """Returns factor and summand of the largest likelihood, with a quadratic penalty for their distance to `prior`."""

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * log_odds + parameters[1]
        difference = expit(z) - correct
        penalty = parameters - prior
        value = np.logaddexp(0, z).sum() - z[correct].sum() + prior_weight * (penalty**2).sum()
        gradient = np.array([(difference * log_odds).sum(), difference.sum()]) + 2 * prior_weight * penalty
        return float(value), gradient

    bounds = ((1e-3, None), (None, None))  # a factor above 0 keeps the order of the scores
    return np.asarray(minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds).x)
