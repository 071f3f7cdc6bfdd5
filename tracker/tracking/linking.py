"""Linking of the tracklets of a file that show one object: one assignment of their ends to their starts."""

from dataclasses import dataclass

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, xyxy_to_xyah
from tracker.tracking.assignment import assign
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, Mask, expand_ranges
from tracker.tracking.costs import negative_log_likelihood
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TIME_TOLERANCE
from tracker.tracking.tracklets import Tracklets

States = tuple[Floats, Floats]
"""Means and covariances of `KalmanFilter`."""

_TAIL = 60
"""Detections at an end of a tracklet from which the state there is estimated; older ones hardly count."""
_BLOCK = 8192
"""Pairs whose costs are computed at a time: bounds the memory of the copies of their states and embeddings."""


_COLUMNS = "gaps", "motion", "cosine", "nll"


@dataclass(frozen=True, slots=True, eq=False)
class LinkTerms:
    """The terms of the costs of P links of the end of a tracklet and the start of a later one."""

    pairs: CandidatePairs  # rows of the tracklets before, and of those after
    gaps: Floats  # float64 (P,), seconds
    motion: Floats  # float64 (P,), nats, the mean of both directions
    cosine: Floats  # float64 (P,), NaN where one has no embedding
    nll: Floats  # float64 (P,), nats, what the assignment minimizes; infinite where the appearance excludes the link

    def __getitem__(self, rows: Mask) -> "LinkTerms":
        """Returns those of some of the pairs, bool (P,)."""
        return LinkTerms(self.pairs[rows], *(getattr(self, name)[rows] for name in _COLUMNS))


class LinkLog:
    """The links of tracklets that were made and those that were possible; `OfflineTracker` fills it if it is its `log`.

    Attributes:
        tracklets: All of them.
        serials: Number of the track of each, int64 (K,), see `TrackTable`.
        numbers: Id of the final track of each, int64 (K,); 0 where it was dropped.
        terms: Of all pairs that are near enough in time.
        linked: True for those that were linked, bool (P,).
    """

    def __init__(self) -> None:
        """Starts empty."""
        none, rows = np.zeros(0), np.zeros(0, np.int64)
        self.tracklets = Tracklets(
            np.zeros(1, np.int64), rows, none, np.zeros((0, 4)), none, rows, rows, np.zeros((0, 0))
        )
        self.serials = self.numbers = rows
        self.terms = LinkTerms(CandidatePairs(rows, rows), none, none, none, none)
        self.linked = np.zeros(0, np.bool_)

    def add(self, terms: LinkTerms, linked: Mask, numbers: Indices) -> None:
        """Adds links between some of the tracklets, whose numbers among all are int64 (K,)."""
        pairs = CandidatePairs(
            np.concatenate([self.terms.pairs.tracks, numbers[terms.pairs.tracks]]),
            np.concatenate([self.terms.pairs.detections, numbers[terms.pairs.detections]]),
        )
        columns = [np.concatenate([getattr(self.terms, name), getattr(terms, name)]) for name in _COLUMNS]
        self.terms, self.linked = LinkTerms(pairs, *columns), np.concatenate([self.linked, linked])


def link(
    tracklets: Tracklets,
    kalman: KalmanFilter,
    config: TrackerConfig,
    log: LinkLog | None = None,
    numbers: Indices | None = None,
) -> Indices:
    """Links tracklets to chains.

    Each end may be linked with one start, at most `link_gap` seconds later, and each start with one end. The assignment
    minimizes the sum of the links' negative log-likelihoods, which must be below `max_nll`; an end without a link costs
    `max_nll`. The motion cost of a link is the mean of two directions: that of the start when the first tracklet is
    predicted forward, and that of the end when the second is predicted backward. The time between them and appearance
    are added as in tracking. The log, unless it is None, takes the links; `numbers` are those of the tracklets among
    all of the run, int64 (K,), None for 0, 1, 2, ...
    Source: the one-to-one linking of tracklets is that of AFLink, arXiv 2202.13514, section 3.3.

    Returns the chain of each of the K tracklets, int64 (K,) from 0.
    """
    pairs = _candidates(tracklets, config)
    if not len(pairs):
        return np.arange(len(tracklets))
    terms = link_terms(pairs, tracklets, kalman, config)
    admissible = np.flatnonzero(terms.nll < config.max_nll)
    chosen = admissible[assign(pairs[admissible], terms.nll[admissible], config.max_nll)]
    links = pairs[chosen]
    if log is not None:
        rows = np.arange(len(tracklets)) if numbers is None else numbers
        log.add(terms, np.isin(np.arange(len(pairs)), chosen), rows)
    chains = np.arange(len(tracklets))
    for n in np.argsort(tracklets.times[tracklets.first[links.detections]], kind="stable"):
        chains[links.detections[n]] = chains[links.tracks[n]]
    return np.unique(chains, return_inverse=True)[1].astype(np.int64)


def link_terms(pairs: CandidatePairs, tracklets: Tracklets, kalman: KalmanFilter, config: TrackerConfig) -> LinkTerms:
    """Returns the terms of the costs of links of a tracklet and a later one."""
    ends, starts = _states(tracklets, kalman, backward=False), _states(tracklets, kalman, backward=True)
    parts = np.split(np.arange(len(pairs)), np.arange(_BLOCK, len(pairs), _BLOCK))
    terms = [_terms(pairs[part], tracklets, ends, starts, kalman, config) for part in parts]
    columns = [np.concatenate([getattr(each, name) for each in terms]) for name in _COLUMNS]
    return LinkTerms(pairs, *columns)


def _candidates(tracklets: Tracklets, config: TrackerConfig) -> CandidatePairs:
    """Returns the pairs of a tracklet and a later one of the same class that starts soon enough after its end."""
    start, end = tracklets.times[tracklets.first], tracklets.times[tracklets.last]
    order = np.argsort(start, kind="stable")
    low = np.searchsorted(start[order], end, side="right")
    high = np.searchsorted(start[order], end + config.link_gap + TIME_TOLERANCE, side="right")
    before, positions = expand_ranges(low, high)
    pairs = CandidatePairs(before, order[positions])
    if config.match_across_classes:
        return pairs
    labels = tracklets.majority_labels()
    return pairs[labels[before] == labels[pairs.detections]]


def _terms(
    pairs: CandidatePairs,
    tracklets: Tracklets,
    ends: States,
    starts: States,
    kalman: KalmanFilter,
    config: TrackerConfig,
) -> LinkTerms:
    """Returns the terms of the cost of each link."""
    before, after = pairs.tracks, pairs.detections
    gap = tracklets.times[tracklets.first[after]] - tracklets.times[tracklets.last[before]]
    forward = _motion_cost(ends, before, starts, after, gap, kalman, config.height_weight)
    backward = _motion_cost(starts, after, ends, before, gap, kalman, config.height_weight)
    motion = (forward + backward) / 2
    nll, cosines = motion + config.absence_penalty * gap, np.full(len(pairs), np.nan)
    if tracklets.embeddings.shape[1]:
        length = np.linalg.norm(tracklets.embeddings, axis=1)
        known = (length[before] > 0) & (length[after] > 0)
        a, b = before[known], after[known]
        similarity = np.einsum("pd,pd->p", tracklets.embeddings[a], tracklets.embeddings[b]) / (length[a] * length[b])
        cosine = 1 - similarity
        nll[known] += config.appearance_evidence * (cosine - config.neutral_distance)
        nll[known] = np.where(cosine <= config.max_cosine_distance, nll[known], np.inf)
        cosines[known] = cosine
    return LinkTerms(pairs, gap, motion, cosines, nll)


def _motion_cost(
    states: States,
    rows: Indices,
    others: States,
    other_rows: Indices,
    gap: Floats,
    kalman: KalmanFilter,
    height_weight: float,
) -> Floats:
    """Returns the negative log-likelihood of other states under the states predicted over the gap, float64 (P,).

    The gap is one step of the filter, in which the velocity is constant: the gate grows less than in many small steps.
    """
    mean, covariance = kalman.predict(states[0][rows], states[1][rows], gap[:, None])
    noise = kalman.measurement_variance(kalman.size(mean))
    variance = covariance[:, 0] + others[1][other_rows, 0]
    each = np.arange(len(rows))
    return negative_log_likelihood(mean, variance, noise, others[0][other_rows, :4], each, each, height_weight)


def _states(tracklets: Tracklets, kalman: KalmanFilter, backward: bool) -> States:
    """Returns the states at the end of each tracklet or, with time running backward, at its start.

    The velocity of the height is set to 0: people bend and are hidden up to their knees before they disappear.
    """
    size = np.minimum(np.diff(tracklets.offsets), _TAIL)
    step = -1 if backward else 1
    start = tracklets.first + size - 1 if backward else tracklets.last - size + 1
    measurements = xyxy_to_xyah(tracklets.boxes)
    mean, covariance = kalman.initiate(measurements[start])
    for n in range(1, int(size.max())):
        active = np.flatnonzero(size > n)
        rows = start[active] + step * n
        interval = np.abs(tracklets.times[rows] - tracklets.times[rows - step])
        predicted = kalman.predict(mean[active], covariance[active], interval[:, None])
        mean[active], covariance[active] = kalman.update(*predicted, measurements[rows], tracklets.scores[rows])
    mean[:, 6:] = 0
    return mean, covariance
