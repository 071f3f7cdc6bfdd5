"""The association of the tracks and the detections of a frame."""

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, expand, paired_iou
from tracker.tracking import costs
from tracker.tracking.assignment import assign, cascade
from tracker.tracking.association_inputs import PredictedTracks, PreparedDetections
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, Mask, candidate_pairs
from tracker.tracking.decisions import DecisionLog, Obstacle, PairTerms, Round
from tracker.tracking.evidence import EVEN_SCORE
from tracker.tracking.gallery import Gallery
from tracker.tracking.image_border import border_reentry_pairs
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TIME_TOLERANCE, TrackTable

_REENTRY_TIME = 0.5
"""Longest time, seconds, since the last detection of a track at the border that may be re-identified there."""


class _AssociationState:
    """The matches so far, and the tracks and detections that are still unmatched."""

    def __init__(self, table: TrackTable, detections: int, log: DecisionLog | None) -> None:
        self._tracks, self.unmatched_detections = np.ones(len(table), np.bool_), np.ones(detections, np.bool_)
        self._matches: list[CandidatePairs] = []
        self._table, self._log = table, log

    def available(self, pairs: CandidatePairs) -> Mask:
        """Returns True for pairs of which neither side is matched, bool (P,)."""
        return self._tracks[pairs.tracks] & self.unmatched_detections[pairs.detections]

    def match(self, name: Round, pairs: CandidatePairs, cost: Floats, limit: float) -> None:
        """Matches pairs by their costs, float64 (P,), of at most `limit`; see `assign`."""
        self.add(name, pairs, cost, assign(pairs, cost, limit))

    def add(self, name: Round, pairs: CandidatePairs, cost: Floats, assigned: Indices) -> None:
        """Matches some of the pairs, whose costs are float64 (P,)."""
        self._matches.append(pairs[assigned])
        self._tracks[self._matches[-1].tracks] = False
        self.unmatched_detections[self._matches[-1].detections] = False
        if self._log is not None:
            self._log.add_match(self._table, name, self._matches[-1], cost[assigned])

    def match_by_overlap(
        self, name: Round, pairs: CandidatePairs, track_boxes: Floats, detection_boxes: Floats, min_iou: float
    ) -> None:
        """Matches the pairs of greatest total IoU, of at least `min_iou` each, among those that are available."""
        pairs = pairs[self.available(pairs)]
        if not len(pairs):
            return
        overlap = paired_iou(track_boxes[pairs.tracks], detection_boxes[pairs.detections])
        index = np.flatnonzero(overlap >= min_iou)
        self.match(name, pairs[index], 1 - overlap[index], 1.0)

    def matches(self) -> tuple[Indices, Indices]:
        """Returns the rows of the tracks and of the detections of all matches, int64 (P,) each."""
        none = [np.zeros(0, np.int64)]
        tracks = np.concatenate(none + [pairs.tracks for pairs in self._matches])
        return tracks, np.concatenate(none + [pairs.detections for pairs in self._matches])


class Associator:
    """Matches tracks with detections, in six rounds; what is matched takes part in no later round.

    1. Established tracks, those of at least `n_init` detections, are matched with the high-score detections. Occluded
       tracks that are not confirmed yet are among them: their detections then start no other tracks.
    2. Established tracks that were detected in the frame before are matched with the low-score detections, by overlap
       alone. Source: BYTE, arXiv 2110.06864.
    3. Established tracks are matched with high-score detections by their last detected box, if `recover_iou` is not 0
       and their appearance, unless with "iou", is not different; with "likelihood" only those that were detected in the
       frame before, which may have turned faster than expected.
       Source: observation-centric recovery, arXiv 2203.14360.
    4. Tentative tracks are matched with high-score detections. With "mahalanobis", tentative tracks and those that were
       detected in the frame before are matched by overlap alone. Source: arXiv 1703.07402, section 2.3.
    5. Tracks that were missed at the border of the image a short time ago are matched with high-score detections
       there: see `border_reentry_pairs`.
    6. Weak tracks, for which too little speaks to start them, are matched by overlap alone with what is left.

    `association` sets the cost of rounds 1 and 4. With "likelihood", a pair is admissible if its negative
    log-likelihood, appearance included, is low enough and, for tracks that were detected in the frame before, its
    overlap at least `min_iou`. The cost is the sum of both, so that one assignment compares tracks that were just
    detected with those missed for long. With "iou" a pair is admissible by its overlap, and appearance may lower its
    cost. With "mahalanobis", classes with embeddings are matched by distance and appearance inside both gates, and the
    others as with "iou".

    Attributes:
        log: Takes what is decided; None for nothing.
    """

    def __init__(self, config: TrackerConfig, kalman: KalmanFilter, size: tuple[float, float]) -> None:
        """Takes the settings, the tracks' filter, and width and height of the image, pixels."""
        self.log: DecisionLog | None = None
        self._config = config
        self._size = size
        self._filter = kalman
        is_gated = config.association == "mahalanobis"
        self._gate = costs.gating_threshold(config.gating_probability) if is_gated else float("inf")
        self._max_cost = config.direction_weight + 1
        if config.association == "likelihood":
            self._max_cost += config.likelihood_weight * config.max_nll

    def associate(
        self, table: TrackTable, detections: PreparedDetections, gallery: Gallery | None, time: float
    ) -> tuple[Indices, Indices]:
        """Returns the rows of the table and of the detections that are matched, int64 (P,) each.

        Args:
            table: Tracks, predicted to this frame.
            detections: The detections of this frame.
            gallery: The embeddings of the tracks; None before the first embedding.
            time: Of this frame, seconds.
        """
        config, state = self._config, _AssociationState(table, len(detections.boxes), self.log)
        if not len(table) or not len(detections.boxes):
            return state.matches()
        predicted = PredictedTracks.from_table(table, self._filter, config, time)
        established, high = ~table.weak & (table.hits >= config.n_init), detections.scores >= config.high_score
        everything = self._candidates(predicted, detections)
        nearby = everything[self._same_class(everything, table, detections)]
        weak = table.weak[nearby.tracks]
        weak_pairs, nearby = nearby[weak], nearby[~weak]
        pairs, cost = self._costs(nearby[high[nearby.detections]], predicted, detections, gallery)
        first = established[pairs.tracks]
        if config.cascade:
            assigned = cascade(pairs[first], cost[first], self._max_cost, table.misses[pairs.tracks[first]])
            state.add(Round.COST, pairs[first], cost[first], assigned)
        else:
            state.match(Round.COST, pairs[first], cost[first], self._max_cost)
        if not high.all():
            recent = established & (table.misses == 1)
            low_pairs = nearby[~high[nearby.detections] & recent[nearby.tracks]]
            state.match_by_overlap(Round.LOW_SCORE, low_pairs, predicted.boxes, detections.boxes, config.low_iou)
        if config.recover_iou:
            self._match_by_last_box(state, table, detections, gallery, established, high)
        if config.association == "mahalanobis":
            recent = ~established | (table.misses == 1)
            rest = nearby[high[nearby.detections] & recent[nearby.tracks]]
            boxes = predicted.expanded_boxes, detections.expanded_boxes
            state.match_by_overlap(Round.OVERLAP, rest, *boxes, config.min_iou)
        else:
            tentative = np.flatnonzero(~first & state.available(pairs))
            state.match(Round.TENTATIVE, pairs[tentative], cost[tentative], self._max_cost)
        if config.border_overlap and self._size[0] < np.inf:
            self._match_at_border(state, table, detections, time)
        weak_pairs = weak_pairs[detections.scores[weak_pairs.detections] > EVEN_SCORE]
        state.match_by_overlap(Round.WEAK, weak_pairs, predicted.boxes, detections.boxes, config.low_iou)
        if self.log is not None:
            terms, obstacles = self._explain(everything, predicted, detections, gallery)
            self.log.add_terms(terms, obstacles, predicted, detections, config, time)
        return state.matches()

    def _candidates(self, predicted: PredictedTracks, detections: PreparedDetections) -> CandidatePairs:
        """Returns the pairs that are near enough for any of the costs, also those of different classes."""
        config, table = self._config, predicted.table
        reach = np.zeros((len(table), 2))
        if config.association == "mahalanobis":
            reach = np.sqrt(self._gate * predicted.innovation_variance[:, :2])
        elif config.association == "likelihood" and predicted.missed.any():
            max_nll = config.max_nll - predicted.absence_penalty
            max_nll += config.appearance_evidence * config.neutral_distance * (table.gallery_index >= 0)
            max_nll[~predicted.missed] = 0
            reach = np.sqrt(2 * np.maximum(max_nll, 0)[:, None] * predicted.innovation_variance[:, :2])
        return candidate_pairs(predicted.expanded_boxes, reach, detections.expanded_boxes)

    def _same_class(self, pairs: CandidatePairs, table: TrackTable, detections: PreparedDetections) -> Mask:
        """Returns True for pairs of classes that may match, bool (P,)."""
        same: Mask = table.labels[pairs.tracks] == detections.labels[pairs.detections]
        return np.ones_like(same) if self._config.match_across_classes else same

    def _costs(
        self, pairs: CandidatePairs, predicted: PredictedTracks, detections: PreparedDetections, gallery: Gallery | None
    ) -> tuple[CandidatePairs, Floats]:
        """Returns the admissible pairs and their costs, for the first and the fourth round."""
        overlap, cost, near = self._overlap_costs(pairs, predicted, detections)
        if self._config.association != "mahalanobis":  # whose gates alone count where there are embeddings
            index = np.flatnonzero(near)
            pairs, overlap, cost = pairs[index], overlap[index], cost[index]
        terms = self._terms(pairs, overlap, cost, predicted, detections, gallery)
        return pairs[terms.admissible], terms.cost[terms.admissible]

    def _overlap_costs(
        self, pairs: CandidatePairs, predicted: PredictedTracks, detections: PreparedDetections
    ) -> tuple[Floats, Floats, Mask]:
        """Returns the IoU of pairs, its cost, and True where it does not exclude the pair."""
        config, t, d = self._config, pairs.tracks, pairs.detections
        boxes = predicted.expanded_boxes[t], detections.expanded_boxes[d]
        overlap, cost = costs.overlap_cost(*boxes, detections.scores[d], config.score_weight, config.generalized_iou)
        admissible = (overlap >= config.min_iou) & (overlap > 0)
        if config.association == "likelihood":
            admissible |= predicted.missed[t]
        return overlap, cost, admissible

    def _terms(
        self,
        pairs: CandidatePairs,
        overlap: Floats,
        cost: Floats,
        predicted: PredictedTracks,
        detections: PreparedDetections,
        gallery: Gallery | None,
    ) -> PairTerms:
        """Returns the terms of the cost of pairs, of which the IoU and its cost are known."""
        config, table = self._config, predicted.table
        known, cosine = _cosine_distances(pairs, table, detections, gallery)
        t, d = pairs.tracks, pairs.detections
        admissible, distance = np.ones(len(pairs), np.bool_), None
        if config.association == "likelihood":
            variances = predicted.innovation_variance, predicted.measurement_variance
            nll = costs.negative_log_likelihood(
                table.mean, *variances, detections.measurements, t, d, config.height_weight
            )
            nll += predicted.absence_penalty[t]
            nll[known] += config.appearance_evidence * (cosine - config.neutral_distance)
            admissible = nll < config.max_nll
            admissible[known] &= cosine <= config.max_cosine_distance
            cost, distance = cost + config.likelihood_weight * nll, nll
        elif config.association == "mahalanobis":
            admissible = (overlap >= config.min_iou) & (overlap > 0)
            mean, covariance = table.mean[t[known]], table.covariance[t[known]]
            distance = self._filter.gating_distance(mean, covariance, detections.measurements[d[known]])
            cost[known], admissible[known] = costs.motion_appearance_cost(
                distance, self._gate, cosine, config.max_cosine_distance, config.appearance_weight
            )
        else:
            cost[known] = costs.min_of_both(overlap[known], cost[known], cosine, config.max_cosine_distance)
        if config.direction_weight:
            angle = costs.direction_cost(table.earlier_box[t], table.last_box[t], detections.boxes[d])
            cost = cost + config.direction_weight * np.clip(detections.scores[d], 0, 1) * angle
        return PairTerms(pairs, overlap, known, distance, cosine, cost, admissible)

    def _explain(
        self, pairs: CandidatePairs, predicted: PredictedTracks, detections: PreparedDetections, gallery: Gallery | None
    ) -> tuple[PairTerms, list[Obstacle]]:
        """Returns the terms of all pairs, and what keeps each from being matched by its cost."""
        config, table = self._config, predicted.table
        overlap, cost, near = self._overlap_costs(pairs, predicted, detections)
        terms = self._terms(pairs, overlap, cost, predicted, detections, gallery)
        obstacles = np.full(len(pairs), Obstacle.NONE, object)
        obstacles[terms.known[terms.cosine > config.max_cosine_distance]] = Obstacle.APPEARANCE
        if config.association == "likelihood" and terms.distance is not None:
            obstacles[terms.distance >= config.max_nll] = Obstacle.LIKELIHOOD
        if config.association == "mahalanobis" and terms.distance is not None:
            obstacles[terms.known[terms.distance > self._gate]] = Obstacle.GATE
            near[terms.known] = True
        obstacles[~near] = Obstacle.OVERLAP
        least = np.where(table.weak[pairs.tracks], EVEN_SCORE, config.high_score)
        obstacles[detections.scores[pairs.detections] < least] = Obstacle.SCORE
        obstacles[~self._same_class(pairs, table, detections)] = Obstacle.CLASS
        return terms, [Obstacle(name) for name in obstacles.tolist()]  # NumPy has made texts of them

    def _match_by_last_box(
        self,
        state: _AssociationState,
        table: TrackTable,
        detections: PreparedDetections,
        gallery: Gallery | None,
        established: Mask,
        high: Mask,
    ) -> None:
        """Matches by the last detected box, unless the appearance speaks against it."""
        last_boxes = expand(table.last_box, self._config.buffer_scale)
        pairs = candidate_pairs(last_boxes, np.zeros((len(table), 2)), detections.expanded_boxes)
        same_class = self._same_class(pairs, table, detections)
        if self._config.association == "likelihood":
            established = established & (table.misses == 1)
        pairs = pairs[same_class & established[pairs.tracks] & high[pairs.detections]]
        if self._config.association != "iou":
            known, cosine = _cosine_distances(pairs, table, detections, gallery)
            different = np.zeros(len(pairs), np.bool_)
            different[known] = cosine > self._config.neutral_distance
            pairs = pairs[~different]
        state.match_by_overlap(Round.LAST_BOX, pairs, last_boxes, detections.expanded_boxes, self._config.recover_iou)

    def _match_at_border(
        self, state: _AssociationState, table: TrackTable, detections: PreparedDetections, time: float
    ) -> None:
        """Matches what is left, if the same side of the image cuts both off."""
        new = state.unmatched_detections & (detections.scores >= self._config.high_score)
        if not new.any():
            return
        pairs = candidate_pairs(table.last_box, np.zeros((len(table), 2)), detections.boxes)
        recent = ~table.weak & (time - table.last_time <= _REENTRY_TIME + TIME_TOLERANCE)
        pairs = pairs[state.available(pairs) & recent[pairs.tracks] & new[pairs.detections]]
        t, d, min_overlap = pairs.tracks, pairs.detections, self._config.border_overlap
        same_class = table.labels[t] == detections.labels[d]
        index, overlap = border_reentry_pairs(
            table.last_box[t], table.mean[t, 4:6], same_class, detections.boxes[d], min_overlap, self._size
        )
        state.match(Round.BORDER, pairs[index], 1 - overlap, 1.0)


def _cosine_distances(
    pairs: CandidatePairs, table: TrackTable, detections: PreparedDetections, gallery: Gallery | None
) -> tuple[Indices, Floats]:
    """Returns the indices of the pairs of which both sides have an embedding, and their cosine distances."""
    if gallery is None or not detections.has_embedding.any():
        return np.zeros(0, np.int64), np.zeros(0)
    known = np.flatnonzero((table.gallery_index >= 0)[pairs.tracks] & detections.has_embedding[pairs.detections])
    entries, rows = table.gallery_index[pairs.tracks[known]], pairs.detections[known]
    return known, gallery.cosine_distance(entries, detections.embeddings, rows)
