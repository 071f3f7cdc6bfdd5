"""One-to-one assignment of detections to tracks: the Hungarian method, on all tracks at once or in a cascade."""

import numpy as np

from tracker.structures.boxes import Floats
from tracker.tracking.candidate_pairs import CandidatePairs, Indices

_BLOCK = 64
"""Tracks that are solved in one matrix. Many small matrices are slow to set up, and one large one is slow to solve."""
_SPARSE = 512
"""Tracks from which on a component is solved as a graph: its matrix would be nearly empty."""


def assign(pairs: CandidatePairs, cost: Floats, limit: float) -> Indices:
    """Returns the one-to-one assignment of least total cost, where a track without a detection costs `limit`.

    Args:
        pairs: P candidates; no others can be assigned.
        cost: float64 (P,), at most `limit`.
        limit: Cost of a track that is left without a detection.

    Returns:
        Indices of the assigned pairs, int64, in no particular order.
    """
    if not len(pairs):
        return np.zeros(0, np.int64)
    # Most pairs compete with no other, and need no search.
    alone = np.bincount(pairs.tracks)[pairs.tracks] + np.bincount(pairs.detections)[pairs.detections] == 2
    assigned = np.flatnonzero(alone)
    if len(assigned) == len(pairs):
        return assigned
    contested = np.flatnonzero(~alone)
    best = _hungarian(pairs.tracks[contested], pairs.detections[contested], cost[contested], limit)
    return np.concatenate([assigned, contested[best]])


def cascade(pairs: CandidatePairs, cost: Floats, limit: float, misses: Indices) -> Indices:
    """Assigns tracks that were detected recently before those missed for longer. Source: arXiv 1703.07402, listing 1.

    `misses` are the frames since the latest detection of each pair's track, int64 (P,); the rest is as in `assign`.
    """
    assigned = [np.zeros(0, np.int64)]
    taken = np.zeros(pairs.detections.max(initial=-1) + 1, np.bool_)
    for level in np.unique(misses):
        part = np.flatnonzero((misses == level) & ~taken[pairs.detections])
        assigned.append(part[assign(pairs[part], cost[part], limit)])
        taken[pairs.detections[assigned[-1]]] = True
    return np.concatenate(assigned)


def _hungarian(tracks: Indices, detections: Indices, cost: Floats, limit: float) -> Indices:
    """Returns what `assign` does, solved in one dense matrix for each group of connected components."""
    row, column = _ranks(tracks), _ranks(detections)
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    if rows <= 2 * _BLOCK:
        return _solve(row, column, cost, limit)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(row), np.int8), (row, rows + column)), shape=(rows + columns, rows + columns))
    component = connected_components(graph, directed=False)[1][:rows]
    tracks_so_far = np.cumsum(np.bincount(component))
    group = (tracks_so_far // _BLOCK)[component[row]]
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return np.concatenate([p[_solve(_ranks(row[p]), _ranks(column[p]), cost[p], limit)] for p in parts])


def _ranks(values: Indices) -> Indices:
    """Returns the rank of each value, int64 (P,) from 0 up, among the distinct values."""
    present = np.zeros(values.max() + 1, np.int64)
    present[values] = 1
    ranks: Indices = (np.cumsum(present) - 1)[values]
    return ranks


def _solve(row: Indices, column: Indices, cost: Floats, limit: float) -> Indices:
    """Returns the indices of the pairs that the Hungarian method assigns in one dense matrix, or in a graph."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and the first frames need no search

    shape = row.max() + 1, column.max() + 1
    if shape[0] > _SPARSE and 4 * len(row) < shape[0] * shape[1]:
        return _solve_sparse(row, column, cost, limit)
    matrix = np.full(shape, limit)
    matrix[row, column] = cost
    index = np.full(shape, -1)
    index[row, column] = np.arange(len(cost))
    assigned = index[linear_sum_assignment(matrix)]
    return assigned[assigned >= 0]


def _solve_sparse(row: Indices, column: Indices, cost: Floats, limit: float) -> Indices:
    """Returns what `_solve` does, where every track has a column of its own for being left without a detection."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    alone = np.arange(rows)
    # The solver takes 0 for no edge. A constant changes nothing, since every track gets exactly one column.
    weight = np.concatenate([cost, np.full(rows, limit)]) - min(cost.min(), limit) + 1
    edges = np.concatenate([row, alone]), np.concatenate([column, columns + alone])
    tracks, chosen = min_weight_full_bipartite_matching(csr_array((weight, edges), shape=(rows, columns + rows)))
    matched = np.full(rows, -1)
    matched[tracks] = chosen
    return np.flatnonzero(matched[row] == column)
