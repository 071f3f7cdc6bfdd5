"""Tests for the calibration of a detector's scores."""

import numpy as np
import pytest
from scipy.special import expit, logit

from tracker.data import AnnotatedImage
from tracker.evaluation.detection.calibration import fit_calibration
from tracker.structures.types import Detections

NONE = np.zeros((0, 4), np.float32)
BOX = np.array([[0, 0, 20, 20]], np.float32)


def make_images(labels, scores, correct, unlabeled=()):
    """Returns an image with one detection for each score, which matches an object or lies elsewhere."""
    predictions, images = [], []
    for label, score, is_correct in zip(labels, scores, correct, strict=True):
        box = BOX if is_correct else BOX + 100
        predictions.append(Detections(box, np.array([score], np.float32), np.array([label])))
        images.append(AnnotatedImage("", None, BOX, np.array([label]), ((),), NONE, unlabeled))
    return predictions, images


def test_scores_that_are_too_high_become_the_precision():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.02, 0.98, 4000)  # the probability that a detection is correct
    scores = expit(2 * logit(true) + 1)
    predictions, images = make_images(np.zeros(4000, int), scores, rng.random(4000) < true)
    ((factor, summand),) = fit_calibration(predictions, images, 1)
    assert (factor, summand) == pytest.approx((0.5, -0.5), abs=0.06)


def test_a_rare_class_gets_the_values_of_all_classes():
    rng = np.random.default_rng(1)
    true = rng.uniform(0.02, 0.98, 2000)
    labels = np.zeros(2000, int)
    labels[:2] = 1
    predictions, images = make_images(labels, expit(logit(true) + 1), rng.random(2000) < true)
    common, rare, absent = fit_calibration(predictions, images, 3)
    assert common[1] == pytest.approx(-1, abs=0.2)
    assert rare == pytest.approx(common, abs=0.15)
    assert absent == pytest.approx(common, abs=0.01)


def test_classes_have_values_of_their_own():
    rng = np.random.default_rng(2)
    true = rng.uniform(0.02, 0.98, 4000)
    labels = np.arange(4000) % 2
    scores = expit(logit(true) + np.where(labels == 1, 1.5, -0.5))
    predictions, images = make_images(labels, scores, rng.random(4000) < true)
    summands = [summand for _, summand in fit_calibration(predictions, images, 2)]
    assert summands == pytest.approx([0.5, -1.5], abs=0.15)


def test_detections_of_classes_that_are_not_annotated_do_not_count():
    predictions, images = make_images([0] * 20, [0.9] * 20, [True] * 20)
    other, unlabeled = make_images([0] * 20, [0.9] * 20, [False] * 20, unlabeled=(0,))
    alone = fit_calibration(predictions, images, 1)
    assert fit_calibration(predictions + other, images + unlabeled, 1)[0] == pytest.approx(alone[0])
