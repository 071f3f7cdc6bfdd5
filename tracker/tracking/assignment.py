"""Which track takes which detection: the Hungarian method, alone and in a cascade."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices]


def assign(cost: NDArray[np.float64], admissible: NDArray[np.bool_]) -> Pairs:
    """One-to-one pairs of least total cost, where a track left without a pair costs 1.

    Args:
        cost: float64 (T, N), from 0 to 1 where admissible, anything elsewhere.
        admissible: bool (T, N); other pairs are never made.

    Returns:
        Tracks and detections of the pairs, int64 (P,) each, ordered by track.
    """
    # A pair that competes with no other needs no search, and most are such.
    alone = admissible & (admissible.sum(1) == 1)[:, None] & (admissible.sum(0) == 1)
    contested = admissible & ~alone
    rows, columns = np.flatnonzero(contested.any(1)), np.flatnonzero(contested.any(0))
    block = np.ix_(rows, columns)
    r, c = linear_sum_assignment(np.where(contested[block], cost[block], 1.0))
    alone[rows[r], columns[c]] = contested[rows[r], columns[c]]
    tracks, detections = np.nonzero(alone)
    return tracks, detections


def cascade(cost: NDArray[np.float64], admissible: NDArray[np.bool_], misses: Indices) -> Pairs:
    """Assigns tracks seen lately before those missed for longer. Source: arXiv 1703.07402, listing 1.

    The uncertainty of a track grows while it is missed, and with it the number of detections that look near:
    without precedence it would take them from tracks that were just seen.

    Args:
        cost: As in `assign`.
        admissible: As in `assign`.
        misses: int64 (T,), frames since each track's last detection.

    Returns:
        Tracks and detections of the pairs, int64 (P,) each.
    """
    free = np.ones(cost.shape[1], bool)
    pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for level in np.unique(misses[admissible.any(1)]):
        tracks = np.flatnonzero(misses == level)
        rows, detections = assign(cost[tracks], admissible[tracks] & free)
        pairs.append((tracks[rows], detections))
        free[detections] = False
    rows, detections = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return rows, detections
