"""The tracker: predicts its tracks, matches them with detections, and keeps their life cycles."""

from collections.abc import Callable, Collection
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.boxes import Floats, area, clip, intersection, iou, moved, xyah_to_xyxy, xyxy_to_xyah
from tracker.structures.types import Detections, Tracks
from tracker.tracking.association import Matching, PreparedDetections
from tracker.tracking.gallery import Embeddings, Gallery
from tracker.tracking.kalman import IDENTITY, KalmanFilter, warp
from tracker.tracking.re_update import re_update
from tracker.tracking.track_table import TICK, Indices, LabelVote, TrackTable

_DIRECTION = 0.1
"""Seconds after which the detection from which a track's direction is taken is replaced. Source: OC-SORT, 3 frames."""
_SHORT = 2
"""Frames since its last detection up to which a track that is found needs no re-update: one miss bends nothing."""
_RESCORED_IOU = 0.4
"""Largest IoU of a rescored box with a detection: beyond it, it is most likely the same object again."""

Rescorer = Callable[[NDArray[np.float32], NDArray[np.int64]], Detections]
"""Boxes float32 (M, 4) xyxy in pixels and labels int64 (M,) -> what the detector sees there, one row for each."""


def no_rescoring(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
    """The `Rescorer` where there is no detector: no box holds anything."""
    return Detections(boxes, np.zeros(len(boxes), np.float32), labels)


class DeepSort:
    """Follows objects through the frames of one video.

    A detection that is sure enough starts a tentative track; `n_init` detections confirm it and give it an id, once
    others no longer cover it. A confirmed track ends when it was not detected for `max_age` seconds, when it has left
    the picture, or when its predicted box has no area left. How tracks and detections find each other is told in
    `Matching`.

    Source: arXiv 1703.07402, and what `TrackerConfig` names beside each setting.

    Attributes:
        table: The live tracks.
    """

    def __init__(
        self, config: TrackerConfig, reid_class_ids: Collection[int] = (), size: tuple[float, float] = (inf, inf)
    ) -> None:
        """Starts without tracks.

        Args:
            config: Settings.
            reid_class_ids: Labels of the classes for which embeddings tell individuals apart; all others are
                tracked by motion alone.
            size: Width and height of the picture, pixels; without it no track is known to leave.
        """
        self.table = TrackTable.empty()
        self._config = config
        self._size = size
        self._embedded_labels = np.array(sorted(reid_class_ids), np.int64)
        self._filter = KalmanFilter(
            config.position_noise,
            config.velocity_noise,
            config.measurement_noise,
            config.confidence_noise,
            config.adaptive_noise_gate,
        )
        self._matching = Matching(config, self._filter, size)
        self._vote = LabelVote()
        self._galleries: list[Gallery] = []  # one, from the first embedding on
        self._time = -inf
        self._started = self._confirmed = 0

    def update(
        self,
        detections: Detections,
        embeddings: Embeddings,
        time: float,
        camera: Floats = IDENTITY,
        rescore: Rescorer = no_rescoring,
    ) -> Tracks:
        """Moves on to the next frame; to be called for every frame, also for those without detections.

        The order of the detections does not matter. Detections without area are ignored.

        Args:
            detections: What was found in the frame, N objects.
            embeddings: float32 (N, D), the unit vector of each detection; (N, 0) where there is no embedder. Rows
                of classes that are not embedded are not read.
            time: Seconds from the start of the source to the frame.
            camera: float64 (2, 3), an affine map from the pixels of the frame before to those of this one.
            rescore: Looks at boxes again, where `config.rescore` asks for it.

        Returns:
            The confirmed tracks that were detected in this frame, and those that were for `max_coast` seconds not,
            by ascending id.

        Raises:
            InputError: `time` is not after the frame before.
            ValueError: A number is not finite, or the embeddings do not fit the detections or those before. The
                tracker is then as it was.
        """
        self._check(detections, embeddings, time, camera)
        order = _canonical_order(detections)
        seen = PreparedDetections.of(detections, embeddings, order, self._embedded_labels)
        self._predict(time, camera)
        tracks, found = self._matching.match(self.table, seen, self._galleries, time)
        self._correct(tracks, seen.boxes[found], seen.scores[found], seen.labels[found], time)
        self.table.found[tracks] = seen.rows[found]
        self._remember(tracks, seen.embeddings[found], seen.embedded[found])
        if self._config.rescore:
            self._rescore_missed(rescore, seen.boxes, time)
        self._end()
        free = seen.scores >= max(self._config.start_score, self._config.high_score)
        free[found] = False
        self._start(seen, np.flatnonzero(free), time)
        self._confirm()
        return self._report(time, self.table.mean, self.table.misses == 0)

    def predict(self, time: float) -> Tracks:
        """Where the tracks should be in a frame in which nobody looked for objects.

        The tracker stays as it is: no track is missed, and `update` may go on with any frame after its latest one.

        Args:
            time: Seconds from the start of the source to the frame.

        Returns:
            What `update` gave for its latest frame, moved on to this one; `observed` is False everywhere.

        Raises:
            InputError: `time` is not after the latest frame of `update`.
        """
        self._check_time(time)
        table = self.table
        mean = table.mean
        if len(table):
            mean, _ = self._filter.predict(mean, table.covariance, time - self._time)
        tracks = self._report(time, mean, np.zeros(len(table), np.bool_))
        return tracks[area(tracks.boxes) > 0]

    def _check_time(self, time: float) -> None:
        if not isfinite(time) or time <= self._time:
            raise InputError(
                f"the time of a frame must be after that of the frame before it, got {time} s after {self._time} s"
            )

    def _check(self, detections: Detections, embeddings: Embeddings, time: float, camera: Floats) -> None:
        self._check_time(time)
        for name, values in (("boxes", detections.boxes), ("scores", detections.scores)):
            if not np.isfinite(values).all():
                raise ValueError(f"the {name} of the detections at {time} s hold numbers that are not finite")
        if camera is not IDENTITY:
            if camera.shape != (2, 3) or not np.isfinite(camera).all():
                raise ValueError(f"the camera's motion at {time} s must be a finite (2, 3), got shape {camera.shape}")
            if np.linalg.det(camera[:, :2]) <= 0:
                raise ValueError(f"the camera's motion at {time} s folds the picture up or turns it inside out")
        if embeddings.ndim != 2 or len(embeddings) != len(detections):
            raise ValueError(f"{len(detections)} detections need as many embeddings, got shape {embeddings.shape}")
        for gallery in self._galleries:
            if len(embeddings) and embeddings.shape[1] != gallery.width:
                raise ValueError(f"embeddings must keep their width of {gallery.width}, got {embeddings.shape[1]}")
        finite = np.isfinite(embeddings)
        if not finite.all() and not finite[np.isin(detections.labels, self._embedded_labels)].all():
            raise ValueError(f"the embeddings at {time} s hold numbers that are not finite")

    def _predict(self, time: float, camera: Floats) -> None:
        table = self.table
        # Before the match, so that a long gap ends tracks whether or not frames without detections fill it.
        self._keep(time - table.last_time <= self._config.max_age + TICK)
        if len(table):
            if camera is not IDENTITY:
                self._turn(camera)
            table.mean, table.covariance = self._filter.predict(table.mean, table.covariance, time - self._time)
        self._keep((table.mean[:, 2] > 0) & (table.mean[:, 3] > 0))
        table.misses += 1
        table.found[:] = -1
        self._time = time

    def _turn(self, camera: Floats) -> None:
        """Brings all that the table holds in pixels from the frame before into this one."""
        table = self.table
        table.mean, table.covariance = warp(table.mean, table.covariance, camera)
        table.found_mean, table.found_covariance = warp(table.found_mean, table.found_covariance, camera)
        table.last, table.earlier = moved(table.last, camera), moved(table.earlier, camera)

    def _correct(self, tracks: Indices, boxes: Floats, scores: Floats, labels: Indices, time: float) -> None:
        table = self.table
        if not len(tracks):
            return
        if self._config.re_update:
            gone = np.flatnonzero((table.misses[tracks] > _SHORT) & (table.ids[tracks] > 0))
            re_update(self._filter, table, tracks[gone], boxes[gone], scores[gone], time)
        mean, covariance = self._filter.update(
            table.mean[tracks], table.covariance[tracks], xyxy_to_xyah(boxes), scores
        )
        table.mean[tracks], table.covariance[tracks] = mean, covariance
        if self._config.re_update:
            table.found_mean[tracks], table.found_covariance[tracks] = mean, covariance
        if self._config.direction_weight:
            old = tracks[time - table.earlier_time[tracks] > _DIRECTION - TICK]
            table.earlier[old], table.earlier_time[old] = table.last[old], table.last_time[old]
        table.last[tracks] = boxes
        table.hits[tracks] += 1
        table.misses[tracks] = 0
        table.last_time[tracks] = time
        table.scores[tracks] = scores
        self._vote.add(table, tracks, labels)

    def _remember(self, tracks: Indices, embeddings: Embeddings, embedded: NDArray[np.bool_]) -> None:
        """Adds the embeddings of N rows of the table to the gallery, where bool (N,) says that they have one."""
        if not embedded.any():
            return
        if not embedded.all():
            tracks, embeddings = tracks[embedded], embeddings[embedded]
        if not self._galleries:
            config = self._config
            self._galleries = [Gallery(config.gallery_size, embeddings.shape[1], config.appearance_momentum)]
        slots = self.table.slots
        old = slots[tracks] >= 0
        self._galleries[0].add(slots[tracks[old]], embeddings[old])
        if not old.all():
            slots[tracks[~old]] = self._galleries[0].allocate(embeddings[~old])

    def _rescore_missed(self, rescore: Rescorer, seen: Floats, time: float) -> None:
        """Corrects missed tracks by what the detector sees where they should be, if nothing else is seen there."""
        table = self.table
        missed = np.flatnonzero((table.ids > 0) & (table.misses > 0))
        if not len(missed):
            return
        boxes = xyah_to_xyxy(table.mean[missed, :4]).astype(np.float32)
        again = rescore(boxes, table.labels[missed])
        there = again.boxes.astype(np.float64)
        scores = again.scores.astype(np.float64)
        good = (scores >= self._config.rescore) & (area(there) > 0)
        good &= iou(there, seen).max(1, initial=0) <= _RESCORED_IOU
        for best in np.argsort(-scores, kind="stable"):
            if good[best]:
                good &= iou(there, there[[best]])[:, 0] <= _RESCORED_IOU
                good[best] = True
        self._correct(missed[good], there[good], scores[good], again.labels[good], time)

    def _end(self) -> None:
        """Ends tentative tracks that were missed too often, tracks that have left, and duplicates."""
        table, config = self.table, self._config
        missed = table.misses > 0
        if not missed.any():
            return
        ended = (table.ids == 0) & (table.misses > config.tentative_misses)
        rows = np.flatnonzero(missed & ~ended)
        boxes = xyah_to_xyxy(table.mean[rows, :4])
        if self._size[0] < inf:
            ended[rows] = area(clip(boxes, *self._size)) < config.min_visible * area(boxes)
        if config.duplicate_iou and len(rows):
            seen = np.flatnonzero(~missed)
            overlap = iou(boxes, xyah_to_xyxy(table.mean[seen, :4]))
            overlap[table.labels[rows][:, None] != table.labels[seen]] = 0
            ended[rows] |= overlap.max(1, initial=0) > config.duplicate_iou
        self._keep(~ended)

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        if rows.all():
            return
        gone = self.table.slots[~rows]
        for gallery in self._galleries:
            gallery.release(gone[gone >= 0])
        self.table.keep(rows)

    def _start(self, seen: PreparedDetections, rows: Indices, time: float) -> None:
        if not len(rows):
            return
        table, boxes, labels = self.table, seen.boxes[rows], seen.labels[rows]
        mean, covariance = self._filter.initiate(seen.measured[rows])
        first, serials = len(table), self._started + np.arange(len(rows))
        self._started += len(rows)
        scores = seen.scores[rows].astype(np.float32)
        table.append(TrackTable.started(mean, covariance, time, boxes, scores, labels, serials, seen.rows[rows]))
        tracks = np.arange(first, len(table))
        self._vote.add(table, tracks, labels)
        self._remember(tracks, seen.embeddings[rows], seen.embedded[rows])

    def _confirm(self) -> None:
        table, seen = self.table, self.table.misses == 0
        due = np.flatnonzero(seen & (table.ids == 0) & (table.hits >= self._config.n_init))
        if self._config.max_occlusion and len(due):
            others = np.flatnonzero(seen & (table.ids > 0))
            shared = intersection(table.last[due], table.last[others])
            shared[table.labels[due][:, None] != table.labels[others]] = 0
            due = due[shared.sum(1) < self._config.max_occlusion * area(table.last[due])]
        table.ids[due] = self._confirmed + 1 + np.arange(len(due))
        self._confirmed += len(due)

    def _report(self, time: float, mean: Floats, observed: NDArray[np.bool_]) -> Tracks:
        """The confirmed tracks that were found in the latest frame of `update`, and those that coast.

        Args:
            time: Seconds to the frame that is reported, that one or a later one.
            mean: float64 (T, 8), the filter's estimates for it.
            observed: bool (T,), whether tracks were found in it.
        """
        table, share = self.table, self._config.detection_weight
        missed = time - table.last_time
        reported = (table.misses == 0) & (missed <= self._config.max_age + TICK)
        if self._config.max_coast:
            reported |= missed <= self._config.max_coast + TICK
        rows = np.flatnonzero((table.ids > 0) & reported)
        rows = rows[np.argsort(table.ids[rows], kind="stable")]
        observed, mean = observed[rows], mean[rows]
        boxes = xyah_to_xyxy(mean[:, :4])
        boxes += (share * observed)[:, None] * (table.last[rows] - boxes)
        return Tracks(
            ids=table.ids[rows],
            boxes=boxes.astype(np.float32),
            scores=table.scores[rows],
            labels=table.labels[rows],
            velocities=mean[:, 4:6].astype(np.float32),
            ages=(time - table.first_time[rows]).astype(np.float32),
            observed=observed,
            found=np.where(observed, table.found[rows], -1),
        )


def _canonical_order(detections: Detections) -> Indices:
    """Rows of the detections with an area, in an order that depends on nothing but the detections themselves."""
    left = detections.boxes[:, 0]
    order = np.argsort(left, kind="stable")
    if (np.diff(left[order]) == 0).any():
        order = np.lexsort((detections.scores, detections.labels, *detections.boxes.T[::-1]))
    solid = area(detections.boxes.astype(np.float64)) > 0
    return order if solid.all() else order[solid[order]]
