"""Candidates, assignment and gallery against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracker.structures.boxes import iou
from tracker.tracking.assignment import assign, cascade
from tracker.tracking.candidate_pairs import CandidatePairs, near
from tracker.tracking.gallery import Gallery

SEED = st.integers(0, 10**6)


def listed(pairs):
    return list(zip(pairs.tracks.tolist(), pairs.detections.tolist(), strict=True))


def some_boxes(draw, count, widest):
    """Boxes whose numbers are multiples of 1/64, so that sums and halves of them are exact."""
    corner, size = draw.uniform(0, 300, (count, 2)), draw.uniform(1, widest, (count, 2))
    return np.round(np.c_[corner, corner + size] * 64) / 64


# --- candidates ---


@given(SEED, st.integers(0, 12), st.integers(0, 12), st.sampled_from([20, 200]), st.sampled_from([0, 5, 100]))
@settings(deadline=None)
def test_near_finds_all_that_overlap_or_are_in_reach(seed, tracks, detections, widest, farthest):
    draw = np.random.default_rng(seed)
    boxes, detected = some_boxes(draw, tracks, widest), some_boxes(draw, detections, widest)
    reach = np.round(draw.uniform(0, farthest, (tracks, 2)))
    apart = np.abs((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 - (detected[:, :2] + detected[:, 2:]) / 2)
    sizes = ((boxes[:, 2:] - boxes[:, :2])[:, None] + detected[:, 2:] - detected[:, :2]) / 2
    wanted = (iou(boxes, detected) > 0) | (apart < reach[:, None]).all(2)
    allowed = (apart < np.maximum(sizes, reach[:, None])).all(2)
    found = listed(near(boxes, reach, detected))
    assert len(found) == len(set(found))
    assert set(map(tuple, np.argwhere(wanted).tolist())) <= set(found)
    assert set(found) == set(map(tuple, np.argwhere(allowed).tolist()))


def test_near_looks_at_few_pairs_among_many_objects():
    side = np.arange(40) * 50.0
    corner = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    boxes = np.c_[corner, corner + 40]  # 1600, none of which touches another
    pairs = near(boxes, np.zeros((1600, 2)), boxes)
    assert sorted(listed(pairs)) == [(n, n) for n in range(1600)]


# --- assignment ---


def sparse(draw, tracks, detections, density):
    """Candidates, and their costs from 0 to 1."""
    there = draw.random((tracks, detections)) < density
    pairs = CandidatePairs(*np.nonzero(there))
    return pairs, draw.random(len(pairs))


def one_to_one(pairs):
    return len(set(pairs.tracks.tolist())) == len(set(pairs.detections.tolist())) == len(pairs)


@given(SEED, st.integers(0, 4), st.integers(0, 4), st.floats(0, 1), st.sampled_from([1.0, 2.5]))
@settings(deadline=None)
def test_assignment_is_the_cheapest_of_all(seed, tracks, detections, density, limit):
    pairs, cost = sparse(np.random.default_rng(seed), tracks, detections, density)
    chosen = assign(pairs, cost, limit)
    assert one_to_one(pairs[chosen])
    price = dict(zip(listed(pairs), cost.tolist(), strict=True))
    nobody = list(range(detections)) + [-1] * tracks  # -1: no detection
    totals = [
        sum(price.get((t, d), limit) for t, d in enumerate(choice)) for choice in itertools.permutations(nobody, tracks)
    ]
    assert cost[chosen].sum() + limit * (tracks - len(chosen)) == pytest.approx(min(totals))


def dense_choice(pairs, cost, limit, shape):
    """The same by one assignment of all with all."""
    matrix = np.full(shape, limit)
    matrix[pairs.tracks, pairs.detections] = cost
    rows, columns = linear_sum_assignment(matrix)
    return {(t, d) for t, d in zip(rows.tolist(), columns.tolist(), strict=True) if matrix[t, d] < limit}


@pytest.mark.parametrize("mean_choice", [0.5, 1.5, 4.0, 100.0])
@pytest.mark.parametrize("shape", [(60, 60), (500, 400), (300, 900)])
def test_among_many_objects_the_choice_is_that_of_one_dense_assignment(shape, mean_choice):
    draw = np.random.default_rng(7)
    pairs, cost = sparse(draw, *shape, mean_choice / shape[1])
    chosen = assign(pairs, cost, 1.0)
    assert one_to_one(pairs[chosen])
    assert set(listed(pairs[chosen])) == dense_choice(pairs, cost, 1.0, shape)


@given(SEED, st.integers(0, 8), st.integers(0, 8), st.floats(0, 1))
@settings(deadline=None)
def test_the_cascade_lets_those_seen_lately_choose_first(seed, tracks, detections, density):
    draw = np.random.default_rng(seed)
    pairs, cost = sparse(draw, tracks, detections, density)
    misses = draw.integers(1, 4, tracks)
    expected, shape = set(), (tracks, detections)
    for level in range(1, 4):
        left = (misses == level)[pairs.tracks] & ~np.isin(pairs.detections, [d for _, d in expected])
        expected |= dense_choice(pairs[left], cost[left], 1.0, shape)
    assert set(listed(pairs[cascade(pairs, cost, 1.0, misses[pairs.tracks])])) == expected


def test_the_cascade_by_hand():
    pairs = CandidatePairs(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]))
    cost = np.array([0.1, 0.9, 0.5, 0.6, 0.0, 0.0])
    chosen = cascade(pairs, cost, 1.0, np.array([2, 1, 3])[pairs.tracks])
    assert sorted(listed(pairs[chosen])) == [(0, 1), (1, 0)]


# --- gallery ---


def units(draw, *shape):
    vectors = draw.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@given(SEED, st.integers(1, 5), st.integers(0, 12))
@settings(deadline=None)
def test_a_gallery_knows_the_latest_and_forgets_the_rest(seed, size, adds):
    draw = np.random.default_rng(seed)
    vectors, queries = units(draw, adds + 1, 2, 4), units(draw, 3, 4)
    gallery = Gallery(size, 4)
    gallery.release(gallery.allocate(queries))  # what a slot held before must not be seen
    slots = gallery.allocate(vectors[0])
    for vector in vectors[1:]:
        gallery.add(slots, vector)
    tracks, rows = np.array([0, 0, 1, 0, 1, 1]), np.array([0, 1, 2, 2, 0, 0])
    expected = [(1 - vectors[-size:, t] @ queries[q]).min() for t, q in zip(tracks, rows, strict=True)]
    np.testing.assert_allclose(gallery.cosine_distance(slots[tracks], queries, rows), expected, atol=1e-6)


@given(SEED, st.integers(0, 12), st.sampled_from([0.5, 0.9]))
@settings(deadline=None)
def test_with_momentum_a_track_looks_like_its_moving_average(seed, adds, momentum):
    draw = np.random.default_rng(seed)
    vectors, query = units(draw, adds + 1, 2, 4), units(draw, 1, 4)
    gallery = Gallery(100, 4, momentum)
    slots, average = gallery.allocate(vectors[0]), vectors[0].astype(np.float64)
    for vector in vectors[1:]:
        gallery.add(slots, vector)
        average = momentum * average + (1 - momentum) * vector
        average /= np.linalg.norm(average, axis=1, keepdims=True)
    distance = gallery.cosine_distance(slots, query, np.zeros(2, int))
    np.testing.assert_allclose(distance, 1 - average @ query[0], atol=1e-5)


def test_more_pairs_than_are_compared_at_a_time():
    draw = np.random.default_rng(1)
    vectors, queries, gallery = units(draw, 4, 30, 8), units(draw, 30, 8), Gallery(4, 8)
    slots = gallery.allocate(vectors[0])
    for vector in vectors[1:]:
        gallery.add(slots, vector)
    tracks, rows = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(30)))
    expected = (1 - np.einsum("stw,qw->sqt", vectors, queries)).min(0)
    np.testing.assert_allclose(gallery.cosine_distance(slots[tracks], queries, rows), expected.ravel(), atol=1e-6)
