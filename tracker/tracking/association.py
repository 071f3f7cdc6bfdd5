"""How the tracks and the detections of a frame find each other."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, expand, paired_iou, xyah_to_xyxy, xyxy_to_xyah
from tracker.structures.types import Detections
from tracker.tracking.assignment import assign, cascade
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, candidate_pairs
from tracker.tracking.costs import (
    Mask,
    direction_cost,
    gating_threshold,
    min_of_both,
    motion_appearance_cost,
    negative_log_likelihood,
    overlap_cost,
)
from tracker.tracking.gallery import Embeddings, Gallery
from tracker.tracking.image_border import border_reentry_pairs
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TICK, TrackTable

_JUST_MISSED = 0.5
"""Seconds since its last detection in which a track at the edge of the picture can be what is found there now."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDetections:
    """What was found in a frame, as the tracker takes it.

    Attributes:
        rows: int64 (N,), where each stands among the frame's detections.
        boxes: float64 (N, 4) xyxy.
        measured: float64 (N, 4) xyah.
        scores: float64 (N,).
        labels: int64 (N,).
        embeddings: float32 (N, D).
        embedded: bool (N,), whose embeddings mean something.
    """

    rows: Indices
    boxes: Floats
    measured: Floats
    scores: Floats
    labels: Indices
    embeddings: Embeddings
    embedded: Mask

    @classmethod
    def of(cls, detections: Detections, embeddings: Embeddings, rows: Indices, reid_class_ids: Indices) -> Self:
        """Some rows of detections that have an area, and of their embeddings, (N, D), which count for some labels."""
        boxes, labels = detections.boxes[rows].astype(np.float64), detections.labels[rows]
        embedded = np.zeros(len(rows), np.bool_)
        if embeddings.shape[1]:
            embedded |= (labels[:, None] == reid_class_ids).any(1)
        scores = detections.scores[rows].astype(np.float64)
        return cls(rows, boxes, xyxy_to_xyah(boxes), scores, labels, embeddings[rows], embedded)


class Matching:
    """Pairs tracks with detections, in five rounds; who has found its like takes part in no later one.

    1. Established tracks, those of `n_init` detections, choose among the detections that are sure. Covered ones, which
       are not confirmed, are among them: what they take leads no other track astray.
    2. Those seen in the frame before choose among the unsure ones, by overlap alone. Source: BYTE, arXiv 2110.06864.
    3. Those still left choose among the sure ones by their last detected box, where `recover_iou` asks for it.
       Source: observation-centric recovery, arXiv 2203.14360.
    4. Tentative tracks choose among the sure ones that are left. With "mahalanobis", they and those seen in the frame
       before choose by overlap alone. Source: arXiv 1703.07402, section 2.3.
    5. Tracks that were just missed at an edge of the picture take what is found there: see `border_reentry_pairs`.

    In rounds 1 and 4, what a pair costs is told by `association`. With "likelihood", no detection is admitted that is
    too unlikely, appearance included, and for tracks seen in the frame before also none that overlaps less than
    `min_iou`; both enter the cost of all, so that one assignment weighs tracks just seen and long missed against each
    other. With "iou" the overlap admits all, and appearance may make a pair cheaper; with "mahalanobis" classes that
    are embedded are matched by distance and appearance inside both gates, and the others as with "iou".
    """

    def __init__(self, config: TrackerConfig, kalman: KalmanFilter, size: tuple[float, float]) -> None:
        """Takes the settings, the filter that the tracks are kept with, and width and height of the picture."""
        self._config = config
        self._size = size
        self._filter = kalman
        self._gate = gating_threshold(config.gating_probability)
        motion = config.direction_weight + 1
        if config.association == "likelihood":
            motion += config.likelihood_weight * config.max_nll
        self._limit = motion

    def match(
        self, table: TrackTable, seen: PreparedDetections, galleries: list[Gallery], time: float
    ) -> tuple[Indices, Indices]:
        """Rows of the table and of the detections that belong together, int64 (P,) each.

        Args:
            table: Tracks, predicted to this frame.
            seen: What was found in it.
            galleries: What the tracks look like; none before the first embedding.
            time: Of this frame, seconds.
        """
        rounds = _AssociationState(len(table), len(seen.boxes))
        if not len(table) or not len(seen.boxes):
            return rounds.result()
        expected = _PredictedTracks.of(table, self._filter, self._config, time)
        established, sure = table.hits >= self._config.n_init, seen.scores >= self._config.high_score
        grown = expand(seen.boxes, self._config.buffer_scale)
        near_by = self._candidates(table, expected, seen, grown)
        pairs, cost = self._costs(near_by[sure[near_by.detections]], table, expected, seen, grown, galleries)
        old = established[pairs.tracks]
        first = pairs[old]
        if self._config.cascade:
            rounds.add(first, cascade(first, cost[old], self._limit, table.misses[first.tracks]))
        else:
            rounds.add(first, assign(first, cost[old], self._limit))
        if not sure.all():
            recent = established & (table.misses == 1)
            unsure = near_by[~sure[near_by.detections] & recent[near_by.tracks]]
            rounds.add_by_overlap(unsure, expected.boxes, seen.boxes, self._config.low_iou)
        if self._config.recover_iou:
            self._recover(rounds, table, seen, grown, established, sure)
        if self._config.association == "mahalanobis":
            recent = ~established | (table.misses == 1)
            rest = near_by[sure[near_by.detections] & recent[near_by.tracks]]
            rounds.add_by_overlap(rest, expected.grown, grown, self._config.min_iou)
        else:
            young = np.flatnonzero(~old & rounds.open(pairs))
            last = pairs[young]
            rounds.add(last, assign(last, cost[young], self._limit))
        if self._config.border_overlap and self._size[0] < np.inf:
            self._at_borders(rounds, table, seen, time)
        return rounds.result()

    def _candidates(
        self, table: TrackTable, expected: "_PredictedTracks", seen: PreparedDetections, grown: Floats
    ) -> CandidatePairs:
        """Pairs of classes that may match, and that are near enough for any of the costs."""
        config = self._config
        reach = np.zeros((len(table), 2))
        if config.association == "mahalanobis":
            reach = np.sqrt(self._gate * expected.spread[:, :2])
        elif config.association == "likelihood" and expected.missed.any():
            nats = config.max_nll - expected.absence_penalty
            nats += config.appearance_evidence * config.neutral_distance * (table.slots >= 0)
            nats[~expected.missed] = 0
            reach = np.sqrt(2 * np.maximum(nats, 0)[:, None] * expected.spread[:, :2])
        pairs = candidate_pairs(expected.grown, reach, grown)
        if config.match_across_classes:
            return pairs
        return pairs[table.labels[pairs.tracks] == seen.labels[pairs.detections]]

    def _costs(
        self,
        pairs: CandidatePairs,
        table: TrackTable,
        expected: "_PredictedTracks",
        seen: PreparedDetections,
        grown: Floats,
        galleries: list[Gallery],
    ) -> tuple[CandidatePairs, Floats]:
        """The admissible pairs, and what they cost, for the first and the last round."""
        config = self._config
        t, d = pairs.tracks, pairs.detections
        overlap, cost = overlap_cost(
            expected.grown[t], grown[d], seen.scores[d], config.score_weight, config.generalized_iou
        )
        admissible = (overlap >= config.min_iou) & (overlap > 0)
        if config.association == "likelihood":
            admissible |= expected.missed[t]
        elif config.association == "mahalanobis":
            admissible |= True
        if not admissible.all():
            rows = np.flatnonzero(admissible)
            pairs, overlap, cost = pairs[rows], overlap[rows], cost[rows]
        known, cosine = _cosine_distances(pairs, table, seen, galleries)
        if config.association == "likelihood":
            cost, admissible = self._by_likelihood(pairs, cost, known, cosine, expected, seen, table)
        elif config.association == "mahalanobis":
            admissible = (overlap >= config.min_iou) & (overlap > 0)
            self._by_distance(pairs, cost, admissible, known, cosine, table, seen)
        else:
            admissible = np.ones(len(pairs), np.bool_)
            cost[known] = min_of_both(overlap[known], cost[known], cosine, config.max_cosine_distance)
        if config.direction_weight:
            t, d = pairs.tracks, pairs.detections
            turned = direction_cost(table.earlier[t], table.last[t], seen.boxes[d])
            cost = cost + config.direction_weight * np.clip(seen.scores[d], 0, 1) * turned
        if admissible.all():
            return pairs, cost
        return pairs[admissible], cost[admissible]

    def _by_likelihood(
        self,
        pairs: CandidatePairs,
        cost: Floats,
        known: Indices,
        cosine: Floats,
        expected: "_PredictedTracks",
        seen: PreparedDetections,
        table: TrackTable,
    ) -> tuple[Floats, Mask]:
        config, t, d = self._config, pairs.tracks, pairs.detections
        nats = negative_log_likelihood(
            table.mean, expected.spread, expected.noise, seen.measured, t, d, config.height_weight
        )
        nats += expected.absence_penalty[t]
        if len(known):
            nats[known] += config.appearance_evidence * (cosine - config.neutral_distance)
        admissible = nats < config.max_nll
        admissible[known] &= cosine <= config.max_cosine_distance
        return cost + config.likelihood_weight * nats, admissible

    def _by_distance(
        self,
        pairs: CandidatePairs,
        cost: Floats,
        admissible: Mask,
        known: Indices,
        cosine: Floats,
        table: TrackTable,
        seen: PreparedDetections,
    ) -> None:
        """Brings distance and appearance into the pairs of which the latter is known, in place."""
        t, d = pairs.tracks[known], pairs.detections[known]
        motion = self._filter.gating_distance(table.mean[t], table.covariance[t], seen.measured[d])
        cost[known], admissible[known] = motion_appearance_cost(
            motion, self._gate, cosine, self._config.max_cosine_distance, self._config.appearance_weight
        )

    def _recover(
        self,
        rounds: "_AssociationState",
        table: TrackTable,
        seen: PreparedDetections,
        grown: Floats,
        established: Mask,
        sure: Mask,
    ) -> None:
        last = expand(table.last, self._config.buffer_scale)
        pairs = candidate_pairs(last, np.zeros((len(table), 2)), grown)
        same = table.labels[pairs.tracks] == seen.labels[pairs.detections]
        same |= self._config.match_across_classes
        pairs = pairs[same & established[pairs.tracks] & sure[pairs.detections]]
        rounds.add_by_overlap(pairs, last, grown, self._config.recover_iou)

    def _at_borders(
        self, rounds: "_AssociationState", table: TrackTable, seen: PreparedDetections, time: float
    ) -> None:
        """Pairs what is left, if an edge of the picture cuts both and it would otherwise start a track."""
        new = rounds.unmatched & (seen.scores >= self._config.high_score)
        if not new.any():
            return
        pairs = candidate_pairs(table.last, np.zeros((len(table), 2)), seen.boxes)
        just_missed = time - table.last_time <= _JUST_MISSED + TICK
        pairs = pairs[rounds.open(pairs) & just_missed[pairs.tracks] & new[pairs.detections]]
        t, d, share = pairs.tracks, pairs.detections, self._config.border_overlap
        same = table.labels[t] == seen.labels[d]
        rows, held = border_reentry_pairs(table.last[t], table.mean[t, 4:6], same, seen.boxes[d], share, self._size)
        rounds.add(pairs[rows], assign(pairs[rows], 1 - held, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _PredictedTracks:
    """Where the tracks should be in this frame; T rows.

    Attributes:
        boxes: float64 (T, 4) xyxy.
        grown: float64 (T, 4) xyxy, by `expand`.
        noise: float64 (T, 4), variances of a measurement.
        spread: float64 (T, 4), variances with which a measurement is expected.
        missed: bool (T,), not seen in the frame before.
        absence: float64 (T,), what their absence costs, nats.
    """

    boxes: Floats
    grown: Floats
    noise: Floats
    spread: Floats
    missed: Mask
    absence_penalty: Floats

    @classmethod
    def of(cls, table: TrackTable, kalman: KalmanFilter, config: TrackerConfig, time: float) -> Self:
        boxes = xyah_to_xyxy(table.mean[:, :4])
        noise, missed = kalman.measurement_variance(table.mean[:, 3]), table.misses > 1
        absence_penalty = config.absence_penalty * (time - table.last_time) * missed
        return cls(
            boxes, expand(boxes, config.buffer_scale), noise, table.covariance[:, 0] + noise, missed, absence_penalty
        )


class _AssociationState:
    """Who has found its like so far."""

    def __init__(self, tracks: int, detections: int) -> None:
        self._tracks, self._detections = np.ones(tracks, np.bool_), np.ones(detections, np.bool_)
        self._found: list[CandidatePairs] = []

    def open(self, pairs: CandidatePairs) -> Mask:
        """Which of the pairs could still be made, bool (P,)."""
        return self._tracks[pairs.tracks] & self._detections[pairs.detections]

    @property
    def unmatched(self) -> Mask:
        """Which detections have not found their like, bool (N,)."""
        return self._detections

    def add(self, pairs: CandidatePairs, chosen: Indices) -> None:
        """Makes some of the pairs."""
        self._found.append(pairs[chosen])
        self._tracks[self._found[-1].tracks] = False
        self._detections[self._found[-1].detections] = False

    def add_by_overlap(self, pairs: CandidatePairs, boxes: Floats, detected: Floats, least: float) -> None:
        """Makes the pairs of greatest overlap among those that are still open, from an IoU of `least` up."""
        pairs = pairs[self.open(pairs)]
        if not len(pairs):
            return
        overlap = paired_iou(boxes[pairs.tracks], detected[pairs.detections])
        rows = np.flatnonzero(overlap >= least)
        self.add(pairs[rows], assign(pairs[rows], 1 - overlap[rows], 1.0))

    def result(self) -> tuple[Indices, Indices]:
        """Rows of the tracks and of the detections of all pairs made."""
        none = [np.zeros(0, np.int64)]
        tracks = np.concatenate(none + [pairs.tracks for pairs in self._found])
        return tracks, np.concatenate(none + [pairs.detections for pairs in self._found])


def _cosine_distances(
    pairs: CandidatePairs, table: TrackTable, seen: PreparedDetections, galleries: list[Gallery]
) -> tuple[Indices, Floats]:
    """Numbers of the pairs of which both sides have an embedding, and the cosine distances of these."""
    if not galleries or not seen.embedded.any():
        return np.zeros(0, np.int64), np.zeros(0)
    known = np.flatnonzero((table.slots >= 0)[pairs.tracks] & seen.embedded[pairs.detections])
    slots, rows = table.slots[pairs.tracks[known]], pairs.detections[known]
    return known, galleries[0].cosine_distance(slots, seen.embeddings, rows)
