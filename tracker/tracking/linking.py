"""Which tracklets of a file are one object: one assignment of ends to starts."""

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, xyxy_to_xyah
from tracker.tracking.assignment import assign
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, spans
from tracker.tracking.costs import negative_log_likelihood
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TICK
from tracker.tracking.tracklets import Tracklets

States = tuple[Floats, Floats]
"""Means and covariances, as `KalmanFilter` has them."""

_TAIL = 60
"""Detections at an end of a tracklet from which the state there is taken; older ones no longer count."""
_BLOCK = 8192
"""Pairs that are judged together: bounds the memory that gathering their states and embeddings takes."""


def link(tracklets: Tracklets, kalman: KalmanFilter, config: TrackerConfig) -> Indices:
    """Joins tracklets to chains.

    Each end may be linked with one start, at most `link_gap` seconds later, and each start with one end. The sum of the
    links' unlikelihoods is least, where an end without a link counts `max_nll`, which no link may reach. A
    link's motion is judged from both sides: how unlikely the start is for the first tracklet predicted forward, and the
    end for the second predicted back, in the mean; time apart and appearance are added as in tracking.
    Source: the one-to-one linking of tracklets is that of AFLink, arXiv 2202.13514, section 3.3.

    Args:
        tracklets: K of them.
        kalman: The filter.
        config: Settings.

    Returns:
        int64 (K,), from 0, the chain of each.
    """
    pairs = _candidates(tracklets, config)
    if not len(pairs):
        return np.arange(len(tracklets))
    ends, starts = _states(tracklets, kalman, backward=False), _states(tracklets, kalman, backward=True)
    parts = np.split(np.arange(len(pairs)), np.arange(_BLOCK, len(pairs), _BLOCK))
    cost = np.concatenate([_costs(pairs[part], tracklets, ends, starts, kalman, config) for part in parts])
    likely = cost < config.max_nll
    pairs, cost = pairs[likely], cost[likely]
    chosen = pairs[assign(pairs, cost, config.max_nll)]
    chains = np.arange(len(tracklets))
    for n in np.argsort(tracklets.times[tracklets.first[chosen.detections]], kind="stable"):
        chains[chosen.detections[n]] = chains[chosen.tracks[n]]
    return np.unique(chains, return_inverse=True)[1].astype(np.int64)


def _candidates(tracklets: Tracklets, config: TrackerConfig) -> CandidatePairs:
    """Pairs of a tracklet and a later one of the same class that starts soon enough after its end."""
    start, end = tracklets.times[tracklets.first], tracklets.times[tracklets.last]
    order = np.argsort(start, kind="stable")
    low = np.searchsorted(start[order], end, side="right")
    before, places = spans(low, np.searchsorted(start[order], end + config.link_gap + TICK, side="right"))
    after = order[places]
    pairs = CandidatePairs(before, after)
    if config.match_across_classes:
        return pairs
    labels = tracklets.elected()
    return pairs[labels[before] == labels[after]]


def _costs(
    pairs: CandidatePairs,
    tracklets: Tracklets,
    ends: States,
    starts: States,
    kalman: KalmanFilter,
    config: TrackerConfig,
) -> Floats:
    """Unlikelihood of each link, in nats, float64 (P,)."""
    before, after = pairs.tracks, pairs.detections
    gap = tracklets.times[tracklets.first[after]] - tracklets.times[tracklets.last[before]]
    forward = _one_way(ends, before, starts, after, gap, kalman, config.height_weight)
    back = _one_way(starts, after, ends, before, gap, kalman, config.height_weight)
    nats = (forward + back) / 2 + config.absence_penalty * gap
    if tracklets.embeddings.shape[1]:
        length = np.linalg.norm(tracklets.embeddings, axis=1)
        known = (length[before] > 0) & (length[after] > 0)
        cosine = 1 - _paired_products(tracklets.embeddings, length, before[known], after[known])
        nats[known] += config.appearance_evidence * (cosine - config.neutral_distance)
        nats[known] = np.where(cosine <= config.max_cosine_distance, nats[known], np.inf)
    return nats


def _paired_products(embeddings: Floats, length: Floats, a: Indices, b: Indices) -> Floats:
    products: Floats = np.einsum("pd,pd->p", embeddings[a], embeddings[b]) / (length[a] * length[b])
    return products


def _one_way(
    states: States,
    here: Indices,
    others: States,
    there: Indices,
    gap: Floats,
    kalman: KalmanFilter,
    height_weight: float,
) -> Floats:
    """How unlikely others are where the states are after the gap, nats, float64 (P,).

    The gap is one step of the filter, in which the velocity does not wander: less far away than in as many small ones.
    """
    mean, covariance = kalman.predict(states[0][here], states[1][here], gap[:, None])
    noise = kalman.measurement_variance(mean[:, 3])
    spread = covariance[:, 0] + others[1][there, 0]
    each = np.arange(len(here))
    return negative_log_likelihood(mean, spread, noise, others[0][there, :4], each, each, height_weight)


def _states(tracklets: Tracklets, kalman: KalmanFilter, backward: bool) -> States:
    """States at the end of each tracklet or, with time running backward, at its start.

    The velocity of the height is left out: people bend and are hidden up to their knees before they disappear.
    """
    size = np.minimum(np.diff(tracklets.ends), _TAIL)
    step = -1 if backward else 1
    row = tracklets.first + size - 1 if backward else tracklets.last - size + 1
    measured = xyxy_to_xyah(tracklets.boxes)
    mean, covariance = kalman.initiate(measured[row])
    for n in range(1, int(size.max())):
        on = np.flatnonzero(size > n)
        rows = row[on] + step * n
        interval = np.abs(tracklets.times[rows] - tracklets.times[rows - step])
        moved = kalman.predict(mean[on], covariance[on], interval[:, None])
        mean[on], covariance[on] = kalman.update(*moved, measured[rows], tracklets.scores[rows])
    mean[:, 6:] = 0
    return mean, covariance
