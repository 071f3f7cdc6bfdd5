"""Linking of the tracklets of a file where the number of objects is known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, expand_ranges
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.linking import LinkLog, link, link_terms
from tracker.tracking.object_limits import ObjectLimit, TimeSpans, distance_cost, warn_of_too_many
from tracker.tracking.tracklets import Tracklets

_NEXT = 60
"""Most tracklets after the end of each one that are considered as its continuation."""
_OTHER_CLASS = 3.0
"""Cost of a link between tracklets of different classes, nats."""
_EMPTY = 1e4
"""Cost of an object of which nothing is seen, nats: more than that of any link."""


def link_known_numbers(
    tracklets: Tracklets,
    kalman: KalmanFilter,
    config: TrackerConfig,
    limits: Sequence[ObjectLimit],
    categories: Sequence[str],
    log: LinkLog | None = None,
) -> Indices:
    """Links tracklets to chains where numbers of objects are known; see `link`, which links those of other classes.

    Each of N objects that may be in the scene at a time is a sequence of tracklets that follow each other, so that
    tracklets of one time are different objects. All sequences are found in one assignment of ends to starts, in which
    each tracklet may also be left out. The cost of a link is that of `link` or, if less, that of the distance (see
    `distance_cost`). If the number is exact, all tracklets of a sequence are one object. Otherwise those whose link
    costs less than `max_nll` in `link` are, and those of which all other objects were there, or lost for at most
    `link_gap` seconds, when the second began: it is then likelier that the one that was lost came back than that it
    left and another one came.
    Source: multi-object tracking as an assignment with a known number of paths, Zhang, Li and Nevatia 2008.

    Returns:
        The chain of each of the K tracklets, int64 (K,) from 0; -1 for those that are left out.
    """
    chains = np.full(len(tracklets), -1)
    rest = np.ones(len(tracklets), np.bool_)
    labels = tracklets.majority_labels()
    for limit in limits:
        members = np.flatnonzero(limit.covers(labels, categories) & rest)
        part = tracklets.keep(members)
        _warn(part, limit, config)
        found = _link_slots(part, kalman, config, limit, log, members)
        chains[members] = np.where(found >= 0, found + chains.max(initial=-1) + 1, -1)
        rest[members] = False
    members = np.flatnonzero(rest)
    chains[members] = link(tracklets.keep(members), kalman, config, log, members) + chains.max(initial=-1) + 1
    return chains


def _link_slots(
    tracklets: Tracklets,
    kalman: KalmanFilter,
    config: TrackerConfig,
    limit: ObjectLimit,
    log: LinkLog | None,
    numbers: Indices,
) -> Indices:
    """Returns the chain of each tracklet of the objects of one limit, int64 (K,) from 0; -1 for none.

    The log, unless it is None, takes the links; `numbers` are those of the tracklets among all, int64 (K,).
    """
    count, slots = len(tracklets), limit.number
    if not count:
        return np.zeros(0, np.int64)
    pairs = _followers(tracklets)
    terms = link_terms(pairs, tracklets, kalman, config)
    motion = terms.nll
    gap = tracklets.times[tracklets.first[pairs.detections]] - tracklets.times[tracklets.last[pairs.tracks]]
    labels = tracklets.majority_labels()
    cost = np.minimum(motion, _distance_costs(pairs, tracklets, gap, config.measurement_noise))
    cost += _OTHER_CLASS * (labels[pairs.tracks] != labels[pairs.detections])
    following = _solve(pairs, cost, config.max_nll + np.diff(tracklets.offsets), slots, _EMPTY if limit.exact else 0.0)
    chosen = np.flatnonzero(following[pairs.tracks] == pairs.detections)
    chosen = chosen[np.argsort(tracklets.times[tracklets.first[pairs.detections[chosen]]], kind="stable")]
    if not limit.exact:
        sequence = _chain(following, pairs[chosen])
        is_full = _is_full(pairs[chosen], tracklets, sequence, slots, config.link_gap)
        is_link = (motion[chosen] < config.max_nll) | is_full
        chosen = chosen[is_link & (gap[chosen] <= config.link_gap)]
    if log is not None:
        linked = np.isin(np.arange(len(pairs)), chosen)
        near = linked | (gap <= config.link_gap)
        log.add(terms[near], linked[near], numbers)
    return _chain(following, pairs[chosen])


def _chain(following: Indices, links: CandidatePairs) -> Indices:
    """Returns the chain of each tracklet, int64 (K,) from 0, by links in order of time; -1 for those left out."""
    count = len(following)
    chains = np.where(following == np.arange(count), -1, np.arange(count))
    for before, after in zip(links.tracks.tolist(), links.detections.tolist(), strict=True):
        chains[after] = chains[before]
    known = np.unique(chains[chains >= 0])
    return np.where(chains >= 0, np.searchsorted(known, chains), -1)


def _is_full(
    pairs: CandidatePairs, tracklets: Tracklets, sequence: Indices, slots: int, longest_gap: float
) -> NDArray[np.bool_]:
    """Returns True for pairs, bool (P,), at whose second tracklet all other objects are there, or were just lost.

    `sequence` is that of each tracklet, int64 (K,), and `longest_gap` the seconds for which an object counts as lost.
    """
    start, end = tracklets.times[tracklets.first], tracklets.times[tracklets.last]
    time, there = start[pairs.detections], np.zeros(len(pairs), np.int64)
    for each in range(sequence.max(initial=-1) + 1):
        members = np.flatnonzero(sequence == each)
        members = members[np.argsort(start[members], kind="stable")]
        latest = np.searchsorted(start[members], time, side="right") - 1
        alive = (latest >= 0) & (end[members[latest]] >= time - longest_gap)
        there += alive & (sequence[pairs.detections] != each)
    return there >= slots - 1


def _followers(tracklets: Tracklets) -> CandidatePairs:
    """Returns the pairs of a tracklet and each of the next ones that start after its end."""
    start, end = tracklets.times[tracklets.first], tracklets.times[tracklets.last]
    order = np.argsort(start, kind="stable")
    low = np.searchsorted(start[order], end, side="right")
    before, positions = expand_ranges(low, np.minimum(low + _NEXT, len(order)))
    return CandidatePairs(before, order[positions])


def _distance_costs(pairs: CandidatePairs, tracklets: Tracklets, gap: Floats, measurement_noise: float) -> Floats:
    ends, starts = tracklets.boxes[tracklets.last[pairs.tracks]], tracklets.boxes[tracklets.first[pairs.detections]]
    distance = np.linalg.norm((starts[:, :2] + starts[:, 2:] - ends[:, :2] - ends[:, 2:]) / 2, axis=1)
    size = np.maximum(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    return distance_cost(distance, size, gap, measurement_noise)


def _solve(pairs: CandidatePairs, cost: Floats, left_out: Floats, slots: int, empty: float) -> Indices:
    """Returns the tracklet that follows each one, int64 (K,): K or more where none does, itself where it is left out.

    The K ends and the beginnings of all slots are assigned to the K starts and the ends of the slots, one to one.

    Args:
        pairs: Pairs of tracklets of which the second may follow the first.
        cost: float64 (P,), of each.
        left_out: float64 (K,), cost of leaving out each tracklet.
        slots: Number of objects that there may be at a time.
        empty: Cost of a slot without tracklets.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    count = len(left_out)
    each, slot = np.arange(count), count + np.arange(slots)
    rows = [pairs.tracks, each, slot, np.repeat(slot, count), np.tile(each, slots)]
    columns = [pairs.detections, each, slot, np.tile(each, slots), np.repeat(slot, count)]
    none = np.zeros(count * slots)
    weight = np.concatenate([cost, left_out, np.full(slots, empty), none, none])
    # The solver takes 0 for no edge. A constant changes nothing, since every row gets exactly one column.
    weight += 1 - weight.min()
    size = count + slots
    graph = csr_array((weight, (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))
    matched = np.zeros(size, np.int64)
    found = min_weight_full_bipartite_matching(graph)
    matched[found[0]] = found[1]
    return matched[:count]


def _warn(tracklets: Tracklets, limit: ObjectLimit, config: TrackerConfig) -> None:
    """Logs when more objects are seen at once than there can be; tracks that are too short to be kept do not count."""
    sizes = np.diff(tracklets.offsets)
    kept = np.repeat(sizes >= config.min_detections, sizes)
    times, number = np.unique(tracklets.times[kept], return_counts=True)
    spans = TimeSpans()
    for time in times[number > limit.number].tolist():
        spans.add(time)
    warn_of_too_many(limit, spans)
