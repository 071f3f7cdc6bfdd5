"""The DeepSORT tracker: predicts its tracks, matches them with detections, and keeps their life cycles."""

from collections.abc import Collection
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tracker.boxes import area, iou, xyah_to_xyxy, xyxy_to_xyah
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.tracking.assignment import Indices, Pairs, assign, cascade
from tracker.tracking.costs import Costs, appearance_cost, gating_threshold, overlap_cost
from tracker.tracking.gallery import Embeddings, Gallery
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.table import LabelVote, TrackTable
from tracker.types import Detections, Tracks

_TICK = 1e-6
"""Seconds by which equal intervals may differ, since times are rounded."""


class DeepSort:
    """Follows objects through the frames of one video.

    A detection first starts a tentative track; `n_init` detections in successive frames confirm it and give it an
    id, and a frame without a detection before that ends it. A confirmed track ends when it was not detected for
    `max_age` seconds, or when its predicted box has no area left.

    In every frame confirmed tracks choose among the detections in a cascade, those seen last first; then all tracks
    seen in the frame before choose among the rest by IoU. In the cascade, classes that have embeddings are matched by
    appearance inside the Mahalanobis gate. The others are matched by the IoU with the predicted box, from `min_iou`
    up: the Mahalanobis distance alone prefers tracks of which little is known, and does worse on MOT15 both as the
    cost and as an additional gate. Source: arXiv 1703.07402; for motion alone, arXiv 1602.00763.
    """

    def __init__(self, config: TrackerConfig, embedded_labels: Collection[int] = ()) -> None:
        """Starts without tracks.

        Args:
            config: Settings.
            embedded_labels: Labels of the classes for which embeddings tell individuals apart; all others are
                tracked by motion alone.
        """
        self._config = config
        self._embedded_labels = np.array(sorted(embedded_labels), np.int64)
        self._filter = KalmanFilter(config.position_noise, config.velocity_noise)
        self._max_distance = gating_threshold(config.gating_probability)
        self._table = TrackTable.empty()
        self._vote = LabelVote()
        self._gallery: Gallery | None = None
        self._time = -float("inf")
        self._confirmed = 0

    def update(self, detections: Detections, embeddings: Embeddings, time: float) -> Tracks:
        """Moves on to the next frame; to be called for every frame, also for those without detections.

        The order of the detections does not matter. Detections without area are ignored.

        Args:
            detections: What was found in the frame, N objects.
            embeddings: float32 (N, D), the unit vector of each detection; (N, 0) where there is no embedder. Rows
                of classes that are not embedded are not read.
            time: Seconds from the start of the source to the frame.

        Returns:
            The confirmed tracks that were detected in this frame, and those that were for `coast` seconds not,
            by ascending id.

        Raises:
            InputError: `time` is not after the frame before.
            ValueError: A number is not finite, or the embeddings do not fit the detections or those before. The
                tracker is then as it was.
        """
        self._check(detections, embeddings, time)
        detections, embeddings = _in_canonical_order(detections, embeddings)
        embedded = self._has_embedding(detections, embeddings)
        self._predict(time)
        tracks, found = self._associate(detections, embeddings, embedded)
        rest = np.ones(len(detections), bool)
        rest[found] = False
        self._correct(tracks, detections[found], time)
        self._remember(tracks, embeddings[found], embedded[found])
        self._keep((self._table.ids > 0) | (self._table.misses == 0))
        first = len(self._table)
        self._start(detections[rest], time)
        self._remember(np.arange(first, len(self._table)), embeddings[rest], embedded[rest])
        self._confirm()
        return self._report(time)

    def _check(self, detections: Detections, embeddings: Embeddings, time: float) -> None:
        if not isfinite(time) or time <= self._time:
            raise InputError(
                f"the time of a frame must be after that of the frame before it, got {time} s after {self._time} s"
            )
        for name, values in (("boxes", detections.boxes), ("scores", detections.scores)):
            if not np.isfinite(values).all():
                raise ValueError(f"the {name} of the detections at {time} s hold numbers that are not finite")
        if embeddings.ndim != 2 or len(embeddings) != len(detections):
            raise ValueError(f"{len(detections)} detections need as many embeddings, got shape {embeddings.shape}")
        if self._gallery is not None and len(embeddings) and embeddings.shape[1] != self._gallery.width:
            raise ValueError(f"embeddings must keep their width of {self._gallery.width}, got {embeddings.shape[1]}")
        if not np.isfinite(embeddings[self._has_embedding(detections, embeddings)]).all():
            raise ValueError(f"the embeddings at {time} s hold numbers that are not finite")

    def _has_embedding(self, detections: Detections, embeddings: Embeddings) -> NDArray[np.bool_]:
        if not embeddings.shape[1]:
            return np.zeros(len(detections), np.bool_)
        return np.isin(detections.labels, self._embedded_labels)

    def _predict(self, time: float) -> None:
        table = self._table
        # Before the match, so that a long gap ends tracks whether or not frames without detections fill it.
        self._keep(time - table.last_time <= self._config.max_age + _TICK)
        if len(table):
            table.mean, table.covariance = self._filter.predict(table.mean, table.covariance, time - self._time)
        self._keep((table.mean[:, 2] > 0) & (table.mean[:, 3] > 0))
        table.misses += 1
        self._time = time

    def _associate(self, detections: Detections, embeddings: Embeddings, embedded: NDArray[np.bool_]) -> Pairs:
        """Rows of the table and of the detections that belong together."""
        table = self._table
        allowed = np.full((len(table), len(detections)), self._config.match_across_classes)
        allowed |= table.labels[:, None] == detections.labels
        overlap = iou(xyah_to_xyxy(table.mean[:, :4]), detections.boxes.astype(np.float64))
        by_overlap, near = overlap_cost(overlap.astype(np.float64), self._config.min_iou)
        near &= allowed
        cost, admissible = self._with_appearance((by_overlap, near), allowed, detections, embeddings, embedded)
        tracks, found = cascade(cost, admissible & (table.ids > 0)[:, None], table.misses)
        recent = table.misses == 1
        recent[tracks] = False
        near[~recent] = False
        near[:, found] = False
        more_tracks, more_found = assign(by_overlap, near)
        return np.concatenate([tracks, more_tracks]), np.concatenate([found, more_found])

    def _with_appearance(
        self,
        motion: Costs,
        allowed: NDArray[np.bool_],
        detections: Detections,
        embeddings: Embeddings,
        embedded: NDArray[np.bool_],
    ) -> Costs:
        """The costs of motion alone, replaced where both the track and the detection have embeddings."""
        rows, columns = np.flatnonzero(self._table.slots >= 0), np.flatnonzero(embedded)
        if self._gallery is None or not len(rows) or not len(columns):
            return motion
        cost, admissible = motion[0].copy(), motion[1].copy()
        block = np.ix_(rows, columns)
        mean, covariance = self._table.mean[rows], self._table.covariance[rows]
        distance = self._filter.gating_distance(mean, covariance, _measured(detections[columns])) / self._max_distance
        cost[block], admissible[block] = appearance_cost(
            (distance, allowed[block] & (distance <= 1)),
            self._gallery,
            self._table.slots[rows],
            embeddings[columns],
            self._config.max_cosine_distance,
            self._config.appearance_weight,
        )
        return cost, admissible

    def _correct(self, tracks: Indices, detections: Detections, time: float) -> None:
        """Puts N detections into N rows of the table."""
        table = self._table
        table.mean[tracks], table.covariance[tracks] = self._filter.update(
            table.mean[tracks], table.covariance[tracks], _measured(detections)
        )
        table.hits[tracks] += 1
        table.misses[tracks] = 0
        table.last_time[tracks] = time
        table.scores[tracks] = detections.scores
        self._vote.add(table, tracks, detections.labels)

    def _start(self, detections: Detections, time: float) -> None:
        mean, covariance = self._filter.initiate(_measured(detections))
        first = len(self._table)
        self._table.append(TrackTable.started(mean, covariance, time, detections.scores, detections.labels))
        self._vote.add(self._table, np.arange(first, len(self._table)), detections.labels)

    def _remember(self, tracks: Indices, embeddings: Embeddings, embedded: NDArray[np.bool_]) -> None:
        """Adds the embeddings of N rows of the table to the gallery, where bool (N,) says that they have one."""
        tracks, embeddings = tracks[embedded], embeddings[embedded]
        if not len(tracks):
            return
        if self._gallery is None:
            self._gallery = Gallery(self._config.gallery_size, embeddings.shape[1])
        slots = self._table.slots
        old = slots[tracks] >= 0
        self._gallery.add(slots[tracks[old]], embeddings[old])
        slots[tracks[~old]] = self._gallery.allocate(embeddings[~old])

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        if rows.all():
            return
        gone = self._table.slots[~rows]
        if self._gallery is not None:
            self._gallery.release(gone[gone >= 0])
        self._table.keep(rows)

    def _confirm(self) -> None:
        due = np.flatnonzero((self._table.ids == 0) & (self._table.hits >= self._config.n_init))
        self._table.ids[due] = self._confirmed + 1 + np.arange(len(due))
        self._confirmed += len(due)

    def _report(self, time: float) -> Tracks:
        table = self._table
        observed = table.misses == 0
        coasting = time - table.last_time <= self._config.coast + _TICK
        rows = (table.ids > 0) & (observed | coasting)
        return Tracks(
            ids=table.ids[rows],
            boxes=xyah_to_xyxy(table.mean[rows, :4]).astype(np.float32),
            scores=table.scores[rows],
            labels=table.labels[rows],
            velocities=table.mean[rows, 4:6].astype(np.float32),
            ages=(time - table.first_time[rows]).astype(np.float32),
            observed=observed[rows],
        )


def _in_canonical_order(detections: Detections, embeddings: Embeddings) -> tuple[Detections, Embeddings]:
    """Without boxes that have no area, and in an order that depends on nothing but the detections themselves."""
    order = np.lexsort((detections.scores, detections.labels, *detections.boxes.T[::-1]))
    order = order[area(detections.boxes[order].astype(np.float64)) > 0]
    return detections[order], embeddings[order]


def _measured(detections: Detections) -> NDArray[np.float64]:
    """What the Kalman filter takes of the detections, float64 (N, 4) xyah."""
    return xyxy_to_xyah(detections.boxes.astype(np.float64)).astype(np.float64)
