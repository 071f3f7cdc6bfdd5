"""The costs of single pairs, compared with torchvision, SciPy, and results computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal
from torchvision.ops import box_iou, generalized_box_iou

from tracker.structures.boxes import expand, paired_giou, paired_iou, xywh_to_xyxy
from tracker.tracking.costs import (
    direction_cost,
    min_of_both,
    motion_appearance_cost,
    negative_log_likelihood,
    overlap_cost,
)

PAIRS = (
    st.integers(1, 6)
    .flatmap(lambda n: st.tuples(*[arrays(np.float64, (n, 4), elements=st.floats(0.5, 1000))] * 2))
    .map(lambda pair: tuple(xywh_to_xyxy(boxes) for boxes in pair))
)


def torchvision_pairs(function, a, b):
    """Returns the diagonal of the matrix that torchvision computes of all pairs."""
    return function(torch.from_numpy(a), torch.from_numpy(b)).numpy().diagonal()


@given(PAIRS)
def test_paired_overlaps_equal_those_of_torchvision(pair):
    np.testing.assert_allclose(paired_iou(*pair), torchvision_pairs(box_iou, *pair), atol=1e-12)
    np.testing.assert_allclose(paired_giou(*pair), torchvision_pairs(generalized_box_iou, *pair), atol=1e-12)


def test_boxes_without_area_overlap_nothing():
    empty, box = np.array([[5.0, 5, 5, 9], [5, 5, 3, 9]]), np.array([[0.0, 0, 10, 10]] * 2)
    assert paired_iou(empty, empty).tolist() == paired_iou(empty, box).tolist() == [0, 0]


def test_expansion_by_hand():
    expanded = expand(np.array([[10.0, 20, 30, 60], [0, 0, 1, 1]]), 0.25)
    assert expanded.tolist() == [[5, 10, 35, 70], [-0.25, -0.25, 1.25, 1.25]]


@given(PAIRS, st.floats(0, 1), st.floats(0, 1))
def test_the_overlap_cost_is_one_minus_the_similarity(pair, score, weight):
    scores = np.full(len(pair[0]), score)
    for generalized, similarity in (
        (False, torchvision_pairs(box_iou, *pair)),
        (True, (torchvision_pairs(generalized_box_iou, *pair) + 1) / 2),
    ):
        overlap, cost = overlap_cost(*pair, scores, weight, generalized)
        np.testing.assert_allclose(overlap, torchvision_pairs(box_iou, *pair), atol=1e-12)
        np.testing.assert_allclose(cost, 1 - similarity * (1 - weight + weight * score), atol=1e-12)


def test_scores_above_1_count_as_1():
    boxes = np.array([[0.0, 0, 10, 10]] * 2)
    cost, cost_above = (overlap_cost(boxes, boxes + 1, np.array([0.5, s]), 1.0, False)[1] for s in (1.0, 60.0))
    np.testing.assert_array_equal(cost, cost_above)


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(deadline=None)
def test_the_negative_log_likelihood_is_relative_to_the_density_of_a_known_track(seed, height_weight):
    rng = np.random.default_rng(seed)
    mean, measurements = rng.normal(size=(3, 8)) * 50 + 200, rng.normal(size=(4, 4)) * 50 + 200
    noise = rng.uniform(1, 30, (3, 4))
    spread = noise + rng.uniform(0, 500, (3, 4))
    tracks, detections = rng.integers(0, 3, 7), rng.integers(0, 4, 7)
    axes = [0, 1, 3]  # the center and the height
    expected = []
    for t, d in zip(tracks, detections, strict=True):
        normal = multivariate_normal(mean[t, axes], np.diag(spread[t, axes]))
        best = multivariate_normal(mean[t, axes], np.diag(noise[t, axes]))
        height = (
            (measurements[d, 3] - mean[t, 3]) ** 2 / spread[t, 3] / 2
        )  # of which only a fraction counts, the weight
        nats = best.logpdf(mean[t, axes]) - normal.logpdf(measurements[d, axes])
        expected.append(nats - (1 - height_weight) * height)
    nll = negative_log_likelihood(mean, spread, noise, measurements, tracks, detections, height_weight)
    np.testing.assert_allclose(nll, expected, rtol=1e-9, atol=1e-9)
    assert (nll >= 0).all()
    # Lengths in other units: the aspect ratio has none, and is not used.
    nll_in_cm = negative_log_likelihood(
        7 * mean, 49 * spread, 49 * noise, 7 * measurements, tracks, detections, height_weight
    )
    np.testing.assert_allclose(nll_in_cm, nll, rtol=1e-9, atol=1e-9)


def at(x, y):
    """Returns a box of 40 x 100 around a point."""
    return [x - 20, y - 50, x + 20, y + 50]


@pytest.mark.parametrize(
    ("last", "detected", "angle"),
    [
        ((30, 0), (60, 0), 0),  # straight on
        ((30, 0), (10, 0), 0),  # back, but not behind the earlier position
        ((30, 0), (30, 30), 1 / 4),
        ((30, 0), (0, 30), 1 / 2),
        ((30, 0), (-30, 30), 3 / 4),
        ((30, 0), (-5, 0), 1),
        ((0, -30), (0, 40), 1),
        ((1.9, 0), (-30, 0), 0),  # 2 % of the height is no motion
        ((2.1, 0), (-30, 0), 1),
        ((30, 0), (0, 0), 0),  # the shift has no direction
    ],
)
def test_the_direction_cost_by_hand(last, detected, angle):
    rows = [np.array([at(*point)], np.float64) for point in ((0, 0), last, detected)]
    assert direction_cost(*rows)[0] == pytest.approx(angle, abs=1e-7)
    assert direction_cost(*(boxes / 8 for boxes in rows))[0] == pytest.approx(angle, abs=1e-7)  # in a smaller image


def test_distance_and_appearance_are_weighted_inside_both_gates():
    motion, cosine = np.array([0.0, 4.0, 9.5, 9.5, 4.0]), np.array([0.0, 0.1, 0.1, 0.3, 0.3])
    cost, admissible = motion_appearance_cost(motion, 9.4877, cosine, 0.2, 0.75)
    assert admissible.tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(cost, 0.25 * motion / 9.4877 + 0.75 * cosine / 0.2)
    assert cost[admissible].max() <= 1


def test_appearance_lowers_the_cost_only_where_both_admit_the_pair():
    overlap, cosine = np.array([0.8, 0.8, 0.8, 0.4, 0.5]), np.array([0.1, 0.6, 0.3, 0.1, 0.1])
    cost = min_of_both(overlap, 1 - overlap, cosine, 0.5)
    # Lower by appearance; too different; lower by appearance again; too little overlap; just enough overlap.
    np.testing.assert_allclose(cost, [0.05, 0.2, 0.15, 0.6, 0.05])
