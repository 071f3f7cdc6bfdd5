"""Which track takes which detection: the Hungarian method on what competes, alone and in a cascade."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tracker.structures.boxes import Floats
from tracker.tracking.candidate_pairs import CandidatePairs, Indices

_BLOCK = 64
"""Tracks that are solved together. Many small matrices take long to set up, and one large one takes long to solve."""


def assign(pairs: CandidatePairs, cost: Floats, limit: float) -> Indices:
    """The one-to-one choice of least total cost, where a track left without a detection costs `limit`.

    Args:
        pairs: P candidates; no others can be chosen.
        cost: float64 (P,), at most `limit`.
        limit: What it costs to leave a track without a detection.

    Returns:
        Numbers of the chosen pairs, int64, in no particular order.
    """
    if not len(pairs):
        return np.zeros(0, np.int64)
    # A pair that competes with no other needs no search, and most are such.
    alone = np.bincount(pairs.tracks)[pairs.tracks] + np.bincount(pairs.detections)[pairs.detections] == 2
    chosen = np.flatnonzero(alone)
    if len(chosen) == len(pairs):
        return chosen
    contested = np.flatnonzero(~alone)
    best = _hungarian(pairs.tracks[contested], pairs.detections[contested], cost[contested], limit)
    return np.concatenate([chosen, contested[best]])


def cascade(pairs: CandidatePairs, cost: Floats, limit: float, misses: Indices) -> Indices:
    """Assigns tracks seen lately before those missed for longer. Source: arXiv 1703.07402, listing 1.

    Args:
        pairs: As in `assign`.
        cost: As in `assign`.
        limit: As in `assign`.
        misses: int64 (P,), frames since the latest detection of each pair's track.

    Returns:
        As `assign`.
    """
    chosen = [np.zeros(0, np.int64)]
    taken = np.zeros(pairs.detections.max(initial=-1) + 1, np.bool_)
    for level in np.unique(misses):
        part = np.flatnonzero((misses == level) & ~taken[pairs.detections])
        chosen.append(part[assign(pairs[part], cost[part], limit)])
        taken[pairs.detections[chosen[-1]]] = True
    return np.concatenate(chosen)


def _hungarian(tracks: Indices, detections: Indices, cost: Floats, limit: float) -> Indices:
    """Numbers of the chosen pairs, as `assign`, found in one dense matrix for each group of connected components."""
    row, column = _ranks(tracks), _ranks(detections)
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    if rows <= 2 * _BLOCK:
        return _solve(row, column, cost, limit)
    graph = coo_array((np.ones(len(row), np.int8), (row, rows + column)), shape=(rows + columns, rows + columns))
    component = connected_components(graph, directed=False)[1][:rows]
    filled = np.cumsum(np.bincount(component))
    group = (filled // _BLOCK)[component[row]]
    order = np.argsort(group, kind="stable")
    chosen = []
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        chosen.append(part[_solve(_ranks(row[part]), _ranks(column[part]), cost[part], limit)])
    return np.concatenate(chosen)


def _ranks(values: Indices) -> Indices:
    """Int64 (P,), from 0 up -> the place of each among the distinct values."""
    present = np.zeros(values.max() + 1, np.int64)
    present[values] = 1
    ranks: Indices = (np.cumsum(present) - 1)[values]
    return ranks


def _solve(row: Indices, column: Indices, cost: Floats, limit: float) -> Indices:
    """Numbers of the pairs that the Hungarian method chooses in one dense matrix."""
    shape = row.max() + 1, column.max() + 1
    matrix = np.full(shape, limit)
    matrix[row, column] = cost
    number = np.full(shape, -1)
    number[row, column] = np.arange(len(cost))
    chosen = number[linear_sum_assignment(matrix)]
    return chosen[chosen >= 0]
