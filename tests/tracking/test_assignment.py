"""Candidate pairs, assignment and gallery, compared with brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracker.structures.boxes import iou
from tracker.tracking.assignment import assign, cascade
from tracker.tracking.candidate_pairs import CandidatePairs, candidate_pairs
from tracker.tracking.gallery import Gallery

SEED = st.integers(0, 10**6)


def as_list(pairs):
    return list(zip(pairs.tracks.tolist(), pairs.detections.tolist(), strict=True))


def random_boxes(rng, count, widest):
    """Returns boxes whose numbers are multiples of 1/64, so that sums and halves of them are exact."""
    corner, size = rng.uniform(0, 300, (count, 2)), rng.uniform(1, widest, (count, 2))
    return np.round(np.c_[corner, corner + size] * 64) / 64


# --- candidates ---


@given(SEED, st.integers(0, 12), st.integers(0, 12), st.sampled_from([20, 200]), st.sampled_from([0, 5, 100]))
@settings(deadline=None)
def test_candidate_pairs_are_all_that_overlap_or_are_in_reach(seed, tracks, detections, widest, farthest):
    rng = np.random.default_rng(seed)
    boxes, detected = random_boxes(rng, tracks, widest), random_boxes(rng, detections, widest)
    reach = np.round(rng.uniform(0, farthest, (tracks, 2)))
    distance = np.abs((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 - (detected[:, :2] + detected[:, 2:]) / 2)
    sizes = ((boxes[:, 2:] - boxes[:, :2])[:, None] + detected[:, 2:] - detected[:, :2]) / 2
    required = (iou(boxes, detected) > 0) | (distance < reach[:, None]).all(2)
    allowed = (distance < np.maximum(sizes, reach[:, None])).all(2)
    pairs = as_list(candidate_pairs(boxes, reach, detected))
    assert len(pairs) == len(set(pairs))
    assert set(map(tuple, np.argwhere(required).tolist())) <= set(pairs)
    assert set(pairs) == set(map(tuple, np.argwhere(allowed).tolist()))


def test_candidate_pairs_are_few_among_many_objects():
    side = np.arange(40) * 50.0
    corner = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    boxes = np.c_[corner, corner + 40]  # 1600, none of which touches another
    pairs = candidate_pairs(boxes, np.zeros((1600, 2)), boxes)
    assert sorted(as_list(pairs)) == [(n, n) for n in range(1600)]


# --- assignment ---


def random_pairs(rng, tracks, detections, density):
    """Returns candidate pairs, and their costs from 0 to 1."""
    present = rng.random((tracks, detections)) < density
    pairs = CandidatePairs(*np.nonzero(present))
    return pairs, rng.random(len(pairs))


def is_one_to_one(pairs):
    return len(set(pairs.tracks.tolist())) == len(set(pairs.detections.tolist())) == len(pairs)


@given(SEED, st.integers(0, 4), st.integers(0, 4), st.floats(0, 1), st.sampled_from([1.0, 2.5]))
@settings(deadline=None)
def test_assignment_is_the_cheapest_of_all(seed, tracks, detections, density, limit):
    pairs, cost = random_pairs(np.random.default_rng(seed), tracks, detections, density)
    assigned = assign(pairs, cost, limit)
    assert is_one_to_one(pairs[assigned])
    cost_of = dict(zip(as_list(pairs), cost.tolist(), strict=True))
    options = list(range(detections)) + [-1] * tracks  # -1: no detection
    totals = [
        sum(cost_of.get((t, d), limit) for t, d in enumerate(permutation))
        for permutation in itertools.permutations(options, tracks)
    ]
    assert cost[assigned].sum() + limit * (tracks - len(assigned)) == pytest.approx(min(totals))


def dense_assignment(pairs, cost, limit, shape):
    """Returns the pairs that one dense assignment of all tracks and detections makes."""
    matrix = np.full(shape, limit)
    matrix[pairs.tracks, pairs.detections] = cost
    rows, columns = linear_sum_assignment(matrix)
    return {(t, d) for t, d in zip(rows.tolist(), columns.tolist(), strict=True) if matrix[t, d] < limit}


@pytest.mark.parametrize("mean_candidates", [0.5, 1.5, 4.0, 100.0])
@pytest.mark.parametrize("shape", [(60, 60), (500, 400), (300, 900)])
def test_among_many_objects_the_result_is_that_of_one_dense_assignment(shape, mean_candidates):
    rng = np.random.default_rng(7)
    pairs, cost = random_pairs(rng, *shape, mean_candidates / shape[1])
    assigned = assign(pairs, cost, 1.0)
    assert is_one_to_one(pairs[assigned])
    assert set(as_list(pairs[assigned])) == dense_assignment(pairs, cost, 1.0, shape)


@given(SEED, st.integers(0, 8), st.integers(0, 8), st.floats(0, 1))
@settings(deadline=None)
def test_the_cascade_assigns_recently_detected_tracks_first(seed, tracks, detections, density):
    rng = np.random.default_rng(seed)
    pairs, cost = random_pairs(rng, tracks, detections, density)
    misses = rng.integers(1, 4, tracks)
    expected, shape = set(), (tracks, detections)
    for level in range(1, 4):
        left = (misses == level)[pairs.tracks] & ~np.isin(pairs.detections, [d for _, d in expected])
        expected |= dense_assignment(pairs[left], cost[left], 1.0, shape)
    assert set(as_list(pairs[cascade(pairs, cost, 1.0, misses[pairs.tracks])])) == expected


def test_the_cascade_by_hand():
    pairs = CandidatePairs(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]))
    cost = np.array([0.1, 0.9, 0.5, 0.6, 0.0, 0.0])
    assigned = cascade(pairs, cost, 1.0, np.array([2, 1, 3])[pairs.tracks])
    assert sorted(as_list(pairs[assigned])) == [(0, 1), (1, 0)]


# --- gallery ---


def unit_vectors(rng, *shape):
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@given(SEED, st.integers(1, 5), st.integers(0, 12))
@settings(deadline=None)
def test_a_gallery_keeps_the_latest_embeddings_only(seed, size, adds):
    rng = np.random.default_rng(seed)
    vectors, queries = unit_vectors(rng, adds + 1, 2, 4), unit_vectors(rng, 3, 4)
    gallery = Gallery(size, 4)
    gallery.release(gallery.allocate(queries))  # the former content of an entry must have no effect
    entries = gallery.allocate(vectors[0])
    for vector in vectors[1:]:
        gallery.add(entries, vector)
    tracks, rows = np.array([0, 0, 1, 0, 1, 1]), np.array([0, 1, 2, 2, 0, 0])
    expected = [(1 - vectors[-size:, t] @ queries[q]).min() for t, q in zip(tracks, rows, strict=True)]
    np.testing.assert_allclose(gallery.cosine_distance(entries[tracks], queries, rows), expected, atol=1e-6)


@given(SEED, st.integers(0, 12), st.sampled_from([0.5, 0.9]))
@settings(deadline=None)
def test_with_momentum_the_gallery_keeps_a_moving_average(seed, adds, momentum):
    rng = np.random.default_rng(seed)
    vectors, query = unit_vectors(rng, adds + 1, 2, 4), unit_vectors(rng, 1, 4)
    gallery = Gallery(100, 4, momentum)
    entries, average = gallery.allocate(vectors[0]), vectors[0].astype(np.float64)
    for vector in vectors[1:]:
        gallery.add(entries, vector)
        average = momentum * average + (1 - momentum) * vector
        average /= np.linalg.norm(average, axis=1, keepdims=True)
    distance = gallery.cosine_distance(entries, query, np.zeros(2, int))
    np.testing.assert_allclose(distance, 1 - average @ query[0], atol=1e-5)


def test_more_pairs_than_one_chunk():
    rng = np.random.default_rng(1)
    vectors, queries, gallery = unit_vectors(rng, 4, 30, 8), unit_vectors(rng, 30, 8), Gallery(4, 8)
    entries = gallery.allocate(vectors[0])
    for vector in vectors[1:]:
        gallery.add(entries, vector)
    tracks, rows = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(30)))
    expected = (1 - np.einsum("stw,qw->sqt", vectors, queries)).min(0)
    np.testing.assert_allclose(gallery.cosine_distance(entries[tracks], queries, rows), expected.ravel(), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_large_component_is_solved_as_the_dense_matrix_is(seed):
    rng = np.random.default_rng(seed)
    tracks, near = np.repeat(np.arange(600), 6), rng.integers(-3, 4, 3600)
    detections = np.clip(tracks + near, 0, 599)
    tracks, detections = np.unique(np.stack([tracks, detections]), axis=1)
    cost, limit = rng.random(len(tracks)), 0.7
    cost = np.minimum(cost, limit)
    matrix = np.full((600, 600), limit)
    matrix[tracks, detections] = cost
    pairs = CandidatePairs(tracks, detections)
    assigned = assign(pairs, cost, limit)
    assert len(set(tracks[assigned])) == len(set(detections[assigned])) == len(assigned)
    best = matrix[linear_sum_assignment(matrix)].sum()
    assert cost[assigned].sum() + limit * (600 - len(assigned)) == pytest.approx(best)


@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_a_heap_of_boxes_is_compared_by_the_nearest_only(spread):
    corner = np.random.default_rng(4).normal(100, spread, (1500, 2)) if spread else np.full((1500, 2), 100.0)
    boxes = np.hstack([corner, corner + np.array([50, 100])])
    pairs = candidate_pairs(boxes, np.zeros((1500, 2)), boxes)
    assert len(pairs) <= 20 * 1500  # of 2,250,000
    cost = np.abs(boxes[pairs.tracks] - boxes[pairs.detections]).sum(1)
    assert len(assign(pairs, cost, 1000.0)) == 1500
