"""The costs of single pairs against torchvision, SciPy, and angles that can be drawn on paper."""

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


def torchvisions(function, a, b):
    """Row with row, of what torchvision computes of all with all."""
    return function(torch.from_numpy(a), torch.from_numpy(b)).numpy().diagonal()


@given(PAIRS)
def test_paired_overlaps_equal_torchvisions(pair):
    np.testing.assert_allclose(paired_iou(*pair), torchvisions(box_iou, *pair), atol=1e-12)
    np.testing.assert_allclose(paired_giou(*pair), torchvisions(generalized_box_iou, *pair), atol=1e-12)


def test_boxes_without_area_overlap_nothing():
    flat, solid = np.array([[5.0, 5, 5, 9], [5, 5, 3, 9]]), np.array([[0.0, 0, 10, 10]] * 2)
    assert paired_iou(flat, flat).tolist() == paired_iou(flat, solid).tolist() == [0, 0]


def test_expansion_by_hand():
    grown = expand(np.array([[10.0, 20, 30, 60], [0, 0, 1, 1]]), 0.25)
    assert grown.tolist() == [[5, 10, 35, 70], [-0.25, -0.25, 1.25, 1.25]]


@given(PAIRS, st.floats(0, 1), st.floats(0, 1))
def test_the_overlaps_cost_is_what_their_likeness_lacks(pair, score, weight):
    scores = np.full(len(pair[0]), score)
    for generalised, likeness in (
        (False, torchvisions(box_iou, *pair)),
        (True, (torchvisions(generalized_box_iou, *pair) + 1) / 2),
    ):
        overlap, cost = overlap_cost(*pair, scores, weight, generalised)
        np.testing.assert_allclose(overlap, torchvisions(box_iou, *pair), atol=1e-12)
        np.testing.assert_allclose(cost, 1 - likeness * (1 - weight + weight * score), atol=1e-12)


def test_scores_beyond_1_do_not_outweigh_the_overlap():
    boxes = np.array([[0.0, 0, 10, 10]] * 2)
    sure, beyond = (overlap_cost(boxes, boxes + 1, np.array([0.5, s]), 1.0, False)[1] for s in (1.0, 60.0))
    np.testing.assert_array_equal(sure, beyond)


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(deadline=None)
def test_unlikelihood_is_how_far_the_density_is_below_its_best(seed, height_weight):
    draw = np.random.default_rng(seed)
    mean, measured = draw.normal(size=(3, 8)) * 50 + 200, draw.normal(size=(4, 4)) * 50 + 200
    noise = draw.uniform(1, 30, (3, 4))
    spread = noise + draw.uniform(0, 500, (3, 4))
    tracks, detections = draw.integers(0, 3, 7), draw.integers(0, 4, 7)
    axes = [0, 1, 3]  # the centre and the height
    expected = []
    for t, d in zip(tracks, detections, strict=True):
        normal = multivariate_normal(mean[t, axes], np.diag(spread[t, axes]))
        best = multivariate_normal(mean[t, axes], np.diag(noise[t, axes]))
        height = (measured[d, 3] - mean[t, 3]) ** 2 / spread[t, 3] / 2  # of which only its weight counts
        nats = best.logpdf(mean[t, axes]) - normal.logpdf(measured[d, axes])
        expected.append(nats - (1 - height_weight) * height)
    nats = negative_log_likelihood(mean, spread, noise, measured, tracks, detections, height_weight)
    np.testing.assert_allclose(nats, expected, rtol=1e-9, atol=1e-9)
    assert (nats >= 0).all()
    # Lengths in other units: the ratio of width to height has none, and is not looked at.
    nats_in_cm = negative_log_likelihood(
        7 * mean, 49 * spread, 49 * noise, 7 * measured, tracks, detections, height_weight
    )
    np.testing.assert_allclose(nats_in_cm, nats, rtol=1e-9, atol=1e-9)


def at(x, y):
    """A box of 40 x 100 around a point."""
    return [x - 20, y - 50, x + 20, y + 50]


@pytest.mark.parametrize(
    ("last", "detected", "turned"),
    [
        ((30, 0), (60, 0), 0),  # straight on
        ((30, 0), (10, 0), 0),  # fell back, but not behind where it came from
        ((30, 0), (30, 30), 1 / 4),
        ((30, 0), (0, 30), 1 / 2),
        ((30, 0), (-30, 30), 3 / 4),
        ((30, 0), (-5, 0), 1),
        ((0, -30), (0, 40), 1),
        ((1.9, 0), (-30, 0), 0),  # 2 % of the height is no motion
        ((2.1, 0), (-30, 0), 1),
        ((30, 0), (0, 0), 0),  # there is no way to where it is
    ],
)
def test_turning_by_hand(last, detected, turned):
    rows = [np.array([at(*point)], np.float64) for point in ((0, 0), last, detected)]
    assert direction_cost(*rows)[0] == pytest.approx(turned, abs=1e-7)
    assert direction_cost(*(boxes / 8 for boxes in rows))[0] == pytest.approx(turned, abs=1e-7)  # in a smaller picture


def test_distance_and_appearance_are_weighed_inside_both_gates():
    motion, cosine = np.array([0.0, 4.0, 9.5, 9.5, 4.0]), np.array([0.0, 0.1, 0.1, 0.3, 0.3])
    cost, admissible = motion_appearance_cost(motion, 9.4877, cosine, 0.2, 0.75)
    assert admissible.tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(cost, 0.25 * motion / 9.4877 + 0.75 * cosine / 0.2)
    assert cost[admissible].max() <= 1


def test_appearance_makes_a_pair_cheaper_only_where_both_agree():
    overlap, cosine = np.array([0.8, 0.8, 0.8, 0.4, 0.5]), np.array([0.1, 0.6, 0.3, 0.1, 0.1])
    cost = min_of_both(overlap, 1 - overlap, cosine, 0.5)
    # Nearer by appearance; too unlike; nearer by appearance again; too far away; just near enough.
    np.testing.assert_allclose(cost, [0.05, 0.2, 0.15, 0.6, 0.05])
