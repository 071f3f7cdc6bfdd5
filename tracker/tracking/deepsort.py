"""The DeepSORT tracker: predicts its tracks, associates them with detections, and starts, confirms and ends them."""

from collections.abc import Callable, Collection
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.structures.boxes import Floats, area, clip, iou, warp_boxes, xyah_to_xyxy, xyxy_to_xyah
from tracker.structures.types import Detections, Tracks
from tracker.tracking.association import Associator
from tracker.tracking.association_inputs import PreparedDetections
from tracker.tracking.common_motion import CommonMotion
from tracker.tracking.decisions import DecisionLog, EndCause
from tracker.tracking.evidence import EVEN_SCORE, has_own_evidence, log_odds, settle_weak_tracks
from tracker.tracking.gallery import Embeddings, Gallery
from tracker.tracking.kalman import IDENTITY, KalmanFilter, warp
from tracker.tracking.measured_noise import MeasuredNoise
from tracker.tracking.object_limits import ObjectLimits
from tracker.tracking.presence import count_misses, update_presence
from tracker.tracking.re_update import re_update
from tracker.tracking.state import TrackerState
from tracker.tracking.track_table import TIME_TOLERANCE, Indices, LabelVoter, TrackTable, table_columns

_DIRECTION_INTERVAL = 0.1
"""Seconds after which the detection from which a track's direction is taken is replaced. Source: OC-SORT, 3 frames."""
_SHORT_GAP = 2
"""Largest number of frames since the last detection without a re-update: a single miss hardly bends the path."""
_STEADY_HITS = 2
"""Detections from which on a track's deviation tells of the camera: the velocity of one detection is unknown."""
_HEIGHT = 3
"""Column of the height in a state."""
_RESCORED_IOU = 0.4
"""Largest IoU of a rescored box with a detection: beyond it, both most likely show the same object."""

Rescorer = Callable[[NDArray[np.float32], NDArray[np.int64]], Detections]
"""A function that runs the detector's RoI head on boxes float32 (M, 4) xyxy in pixels, with labels int64 (M,), and
returns one detection for each box."""


def no_rescoring(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
    """Returns the boxes with a score of 0: the `Rescorer` of a run without a detector.

    Example:
        >>> no_rescoring(np.zeros((1, 4), np.float32), np.zeros(1, np.int64)).scores.tolist()
        [0.0]
    """
    return Detections(boxes, np.zeros(len(boxes), np.float32), labels)


class DeepSort:
    """A tracker of the objects in one video, frame by frame.

    A detection of high score, or some of lower scores that follow each other, starts a tentative track. `n_init`
    detections confirm the track and give it an id, unless other tracks occlude it. A confirmed track ends when it was
    not detected for `max_age` seconds, when it has left the image, or when its predicted box has no area left.
    `Associator` describes how tracks and detections are matched.

    Source: arXiv 1703.07402, and the papers that `TrackerConfig` names beside each setting.

    Attributes:
        table: The live tracks.
        camera_motion: float64 (2, 3), the motion of the camera that the latest frame was compensated for: the one that
            was given, followed by the one that the tracks showed.
        log: Takes what is decided about some tracks; None for nothing.
        limits: The known numbers of objects.

    Example:
        >>> tracker = DeepSort(TrackerConfig(n_init=2))
        >>> for frame in range(3):
        ...     boxes = np.array([[10 + 5 * frame, 20, 50 + 5 * frame, 100]], np.float32)
        ...     detections = Detections(boxes, np.array([0.9], np.float32), np.array([0]))
        ...     tracks = tracker.update(detections, None, time=frame / 25)
        >>> tracks.ids.tolist(), tracks.observed.tolist()
        ([1], [True])
    """

    def __init__(
        self, config: TrackerConfig, reid_class_ids: Collection[int] = (), size: tuple[float, float] = (inf, inf)
    ) -> None:
        """Starts without tracks.

        Args:
            config: Settings.
            reid_class_ids: Labels of the classes whose embeddings identify an object; all others are tracked by
                motion alone.
            size: Width and height of the image, pixels; without it no track is known to leave.
        """
        self.table = TrackTable.empty()
        self.camera_motion = IDENTITY
        self.limits = ObjectLimits(config)
        self._config = config
        self._size = size
        self._reid_class_ids = np.array(sorted(reid_class_ids), np.int64)
        noise = config.position_noise, config.velocity_noise, config.measurement_noise, config.confidence_noise
        self._filter = KalmanFilter(*noise, config.adaptive_noise_gate, config.noise_unit)
        self._noise = MeasuredNoise()
        self._common_motion = CommonMotion()
        self._associator = Associator(config, self._filter, size)
        self._voter = LabelVoter()
        self._gallery: Gallery | None = None  # made for the first embedding, whose length it takes
        self._time = -inf
        self._started = self._confirmed = 0

    @property
    def log(self) -> DecisionLog | None:
        return self._associator.log

    @log.setter
    def log(self, log: DecisionLog | None) -> None:
        self._associator.log = log

    def update(
        self,
        detections: Detections,
        embeddings: Embeddings | None,
        time: float,
        camera_motion: Floats = IDENTITY,
        rescore: Rescorer = no_rescoring,
    ) -> Tracks:
        """Tracks the next frame; to be called for every frame, also for those without detections.

        The order of the detections does not matter. Detections without area are ignored.

        Args:
            detections: The detections of the frame, N objects.
            embeddings: float32 (N, D), the unit vector of each detection; None without an embedder. Rows of classes
                without embeddings are not read.
            time: Seconds from the start of the source to the frame.
            camera_motion: float64 (2, 3), an affine map from the pixels of the frame before to those of this one.
            rescore: Scores the predicted boxes of missed tracks, if `config.rescore` is not 0.

        Returns:
            The confirmed tracks that were detected in this frame, those whose objects are likely visible
            (`min_presence`), and those whose latest detection is at most `max_coast` seconds old, by ascending id.

        Raises:
            InputError: `time` is not after the frame before.
            ValueError: A number is not finite, or the embeddings do not fit the detections or those before. The
                tracker is then as it was.
        """
        if embeddings is None:
            embeddings = np.zeros((len(detections), 0), np.float32)
        self._check(detections, embeddings, time, camera_motion)
        prepared = PreparedDetections.from_detections(detections, embeddings, self._reid_class_ids, self._config)
        elapsed = time - self._time
        self._predict(time, camera_motion)
        self.camera_motion = camera_motion
        if self._config.camera_motion == "tracks":
            self._follow_camera(prepared)
        tracks, matched = self._associator.associate(self.table, prepared, self._gallery, time)
        self._measure_noise(tracks, prepared.measurements[matched])
        self._correct(tracks, prepared.boxes[matched], prepared.scores[matched], prepared.labels[matched], time)
        settle_weak_tracks(self.table, tracks, prepared.scores[matched], self._config)
        self.table.detection_index[tracks] = prepared.rows[matched]
        self._add_embeddings(tracks, prepared.embeddings[matched], prepared.has_embedding[matched])
        if self._config.rescore:
            self._rescore_missed(rescore, prepared.boxes, time)
        update_presence(self.table, elapsed)
        self._end_tracks(time)
        unmatched = np.ones(len(prepared.scores), np.bool_)
        unmatched[matched] = False
        may_start = prepared.scores >= max(self._config.start_score, self._config.high_score)
        self._start_tracks(prepared, np.flatnonzero(unmatched & may_start), time)
        if self._config.min_evidence:
            weak = unmatched & ~may_start & (prepared.scores > EVEN_SCORE)
            self._start_tracks(prepared, np.flatnonzero(weak), time, weak=True)
        self._confirm_tracks(time)
        if self.log is not None:
            self.log.end_frame(self.table, time)
        return self._output(time, self.table.mean, self.table.misses == 0)

    def add_reid_class_ids(self, class_ids: Collection[int]) -> None:
        """Adds labels of classes whose embeddings identify an object, from the next frame on."""
        self._reid_class_ids = np.union1d(self._reid_class_ids, np.array(sorted(class_ids), np.int64))

    def predict(self, time: float) -> Tracks:
        """Predicts the tracks for a frame in which the detector did not run.

        The tracker stays as it is: no track is missed, and `update` may go on with any frame after its latest one.

        Args:
            time: Seconds from the start of the source to the frame.

        Returns:
            The tracks that `update` returned for its latest frame, predicted to this one; `observed` is False
            everywhere.

        Raises:
            InputError: `time` is not after the latest frame of `update`.
        """
        self._check_time(time)
        mean = self.table.mean
        if len(mean):
            mean, _ = self._filter.predict(mean, self.table.covariance, time - self._time)
        tracks = self._output(time, mean, np.zeros(len(mean), np.bool_))
        return tracks[area(tracks.boxes) > 0]

    def state(self) -> TrackerState:
        """Returns all that `restore` needs for tracks to go on."""
        arrays = {name: getattr(self.table, name) for name in table_columns()}
        arrays["known_labels"], arrays["measured_noise"] = self._voter.known, self._noise.state()
        if self._gallery is not None:
            entries = np.flatnonzero(self.table.gallery_index >= 0)
            arrays["embeddings"], arrays["embeddings_added"] = self._gallery.get(self.table.gallery_index[entries])
            arrays["embeddings_row"] = entries
        return TrackerState(arrays, self._started, self._confirmed, self._time)

    def restore(self, state: TrackerState, elapsed: float) -> None:
        """Goes on from a saved state, before the first frame.

        Args:
            state: Of a tracker with the same settings.
            elapsed: Seconds from the start of its source to the start of this one.
        """
        columns = {name: state.arrays[name] for name in table_columns()}
        for name in ("first_time", "last_time", "earlier_time"):
            columns[name] = columns[name] - elapsed
        columns["gallery_index"] = np.full(len(columns["ids"]), -1, np.int64)
        self.table = TrackTable(**columns)
        self._voter.known = state.arrays["known_labels"]
        self._noise.restore(state.arrays["measured_noise"])
        self._started, self._confirmed, self._time = state.started, state.confirmed, state.time - elapsed
        if "embeddings" in state.arrays:
            embeddings, added = state.arrays["embeddings"], state.arrays["embeddings_added"]
            config = self._config
            self._gallery = Gallery(config.gallery_size, embeddings.shape[2], config.appearance_momentum)
            self.table.gallery_index[state.arrays["embeddings_row"]] = self._gallery.put(embeddings, added)

    def _check_time(self, time: float) -> None:
        if not isfinite(time) or time <= self._time:
            raise InputError(
                f"the time of a frame must be after that of the frame before it, got {time} s after {self._time} s"
            )

    def _check(self, detections: Detections, embeddings: Embeddings, time: float, camera_motion: Floats) -> None:
        self._check_time(time)
        for name, values in (("boxes", detections.boxes), ("scores", detections.scores)):
            if not np.isfinite(values).all():
                raise ValueError(f"the {name} of the detections at {time} s hold numbers that are not finite")
        if camera_motion is not IDENTITY:
            if camera_motion.shape != (2, 3) or not np.isfinite(camera_motion).all():
                raise ValueError(f"the camera motion at {time} s must be a finite (2, 3), got {camera_motion.shape}")
            if np.linalg.det(camera_motion[:, :2]) <= 0:
                raise ValueError(f"the camera motion at {time} s mirrors the image or gives it no area")
        if embeddings.ndim != 2 or len(embeddings) != len(detections):
            raise ValueError(f"{len(detections)} detections need as many embeddings, got shape {embeddings.shape}")
        dimension = self._gallery.dimension if self._gallery else embeddings.shape[1]
        if len(embeddings) and embeddings.shape[1] != dimension:
            raise ValueError(f"embeddings must keep their dimension of {dimension}, got {embeddings.shape[1]}")
        finite = np.isfinite(embeddings)
        if not finite.all() and not finite[np.isin(detections.labels, self._reid_class_ids)].all():
            raise ValueError(f"the embeddings at {time} s hold numbers that are not finite")

    def _predict(self, time: float, camera_motion: Floats) -> None:
        table = self.table
        # Before the association, so that a long gap ends tracks with or without empty frames in it.
        self._keep(time - table.last_time <= self._config.max_age + TIME_TOLERANCE, EndCause.AGE, time)
        if len(table):
            if camera_motion is not IDENTITY:
                self._warp(camera_motion)
            table.mean, table.covariance = self._filter.predict(table.mean, table.covariance, time - self._time)
        self._keep((table.mean[:, 2] > 0) & (table.mean[:, 3] > 0), EndCause.AREA, time)
        table.misses += 1
        table.detection_index[:] = -1
        self._time = time

    def _follow_camera(self, detections: PreparedDetections) -> None:
        """Moves all tracks by what the deviations of those that were detected in the frame before have in common."""
        table = self.table
        recent = (table.misses == 1) & (table.hits >= _STEADY_HITS)
        mean, high = table.mean[recent], detections.scores >= self._config.high_score
        variance = table.covariance[recent, 0] + self._filter.measurement_variance(self._filter.size(mean))
        shift = self._common_motion.update(mean[:, :4], variance[:, :2], detections.measurements[high])
        if shift.any():
            self._warp(np.column_stack([np.eye(2), shift]))
            self.camera_motion = np.column_stack([self.camera_motion[:, :2], self.camera_motion[:, 2] + shift])

    def _warp(self, camera_motion: Floats) -> None:
        """Transforms all that the table holds in pixels from the frame before into this one."""
        table = self.table
        table.mean, table.covariance = warp(table.mean, table.covariance, camera_motion)
        table.updated_mean, table.updated_covariance = warp(table.updated_mean, table.updated_covariance, camera_motion)
        table.last_box = warp_boxes(table.last_box, camera_motion)
        table.earlier_box = warp_boxes(table.earlier_box, camera_motion)

    def _measure_noise(self, tracks: Indices, measurements: Floats) -> None:
        """Compares N measurements, (N, 4) xyah, with the predictions of the rows of the table that they belong to."""
        table = self.table
        steady = (table.misses[tracks] == 1) & (table.hits[tracks] >= _STEADY_HITS)
        tracks, height = tracks[steady], measurements[steady, _HEIGHT]
        mean = table.mean[tracks]
        assumed = self._filter.measurement_variance(self._filter.size(mean))
        self._noise.add(height - mean[:, _HEIGHT], (table.covariance[tracks, 0] + assumed)[:, _HEIGHT])

    def _correct(self, tracks: Indices, boxes: Floats, scores: Floats, labels: Indices, time: float) -> None:
        """Updates N rows of the table by a detection each."""
        table = self.table
        if not len(tracks):
            return
        if self._config.re_update:
            gap = np.flatnonzero((table.misses[tracks] > _SHORT_GAP) & (table.ids[tracks] > 0))
            re_update(self._filter, table, tracks[gap], boxes[gap], scores[gap], time)
        predicted = table.mean[tracks], table.covariance[tracks]
        mean, covariance = self._filter.update(*predicted, xyxy_to_xyah(boxes), scores)
        table.mean[tracks], table.covariance[tracks] = mean, covariance
        if self._config.re_update:
            table.updated_mean[tracks], table.updated_covariance[tracks] = mean, covariance
        if self._config.direction_weight:
            old = tracks[time - table.earlier_time[tracks] > _DIRECTION_INTERVAL - TIME_TOLERANCE]
            table.earlier_box[old], table.earlier_time[old] = table.last_box[old], table.last_time[old]
        count_misses(table, tracks, time)
        table.evidence[tracks] += log_odds(scores)
        table.hits[tracks] += 1
        table.misses[tracks] = 0
        table.last_box[tracks], table.last_time[tracks], table.scores[tracks] = boxes, time, scores
        self._voter.add(table, tracks, labels)

    def _add_embeddings(self, tracks: Indices, embeddings: Embeddings, has_embedding: NDArray[np.bool_]) -> None:
        """Adds the embeddings of N rows of the table to the gallery, where `has_embedding`, bool (N,), is True."""
        if not has_embedding.any():
            return
        if not has_embedding.all():
            tracks, embeddings = tracks[has_embedding], embeddings[has_embedding]
        if self._gallery is None:
            config = self._config
            self._gallery = Gallery(config.gallery_size, embeddings.shape[1], config.appearance_momentum)
        index = self.table.gallery_index
        old = index[tracks] >= 0
        self._gallery.add(index[tracks[old]], embeddings[old])
        if not old.all():
            index[tracks[~old]] = self._gallery.allocate(embeddings[~old])

    def _rescore_missed(self, rescore: Rescorer, detection_boxes: Floats, time: float) -> None:
        """Updates missed tracks by their rescored boxes, unless these overlap a detection or each other."""
        table = self.table
        missed = np.flatnonzero((table.ids > 0) & (table.misses > 0))
        if not len(missed):
            return
        predicted = xyah_to_xyxy(table.mean[missed, :4]).astype(np.float32)
        rescored = rescore(predicted, table.labels[missed])
        boxes, scores = rescored.boxes.astype(np.float64), rescored.scores.astype(np.float64)
        accepted = (scores >= self._config.rescore) & (area(boxes) > 0)
        accepted &= iou(boxes, detection_boxes).max(1, initial=0) <= _RESCORED_IOU
        for best in np.argsort(-scores, kind="stable"):
            if accepted[best]:
                accepted &= iou(boxes, boxes[[best]])[:, 0] <= _RESCORED_IOU
                accepted[best] = True
        self._correct(missed[accepted], boxes[accepted], scores[accepted], rescored.labels[accepted], time)

    def _end_tracks(self, time: float) -> None:
        """Ends tentative tracks that were missed too often, tracks that have left the image, and duplicates."""
        table, config = self.table, self._config
        if not (table.misses > 0).any():
            return
        self._keep((table.ids > 0) | (table.misses <= config.tentative_misses), EndCause.TENTATIVE, time)
        missed = table.misses > 0
        rows = np.flatnonzero(missed)
        boxes = xyah_to_xyxy(table.mean[rows, :4])
        left = duplicate = np.zeros(len(table), np.bool_)
        if config.duplicate_iou and len(rows):
            detected, duplicate = np.flatnonzero(~missed), duplicate.copy()
            overlap = iou(boxes, xyah_to_xyxy(table.mean[detected, :4]))
            overlap[table.labels[rows][:, None] != table.labels[detected]] = 0
            duplicate[rows] = overlap.max(1, initial=0) > config.duplicate_iou
        if self._size[0] < inf:
            # Given boxes may reach out of the image: such a track leaves once less of it is visible than before.
            visible, before = self._visible(boxes), self._visible(table.last_box[rows])
            left[rows] = visible < config.min_visible * before
            duplicate = duplicate[self._keep(~left, EndCause.LEFT, time)]
        if config.duplicate_iou:
            self._keep(~duplicate, EndCause.DUPLICATE, time)

    def _visible(self, boxes: Floats) -> Floats:
        """Returns the fraction of each box that lies inside the image, float64 (N,)."""
        fraction: Floats = area(clip(boxes, *self._size)) / area(boxes)
        return fraction

    def _keep(self, mask: NDArray[np.bool_], cause: EndCause, time: float) -> NDArray[np.bool_]:
        """Ends the tracks for which `mask`, bool (T,), is False; cause and time are for the log.

        Returns False for those that ended, bool (T,): of known numbers of objects, none ends.
        """
        if mask.all():
            return mask
        if self.limits:
            held = np.flatnonzero(~mask & self.limits.held(self.table))
            self._rest(held)
            mask = mask.copy()
            mask[held] = True
        if self.log is not None:
            self.log.add_ends(self.table.serials[~mask], cause, time)
        released = self.table.gallery_index[~mask]
        if self._gallery is not None:
            self._gallery.release(released[released >= 0])
        self.table.keep(mask)
        return mask

    def _rest(self, rows: Indices) -> None:
        """Puts tracks of the table that were lost for long, but never end, where they were detected last."""
        table = self.table
        table.mean[rows], table.covariance[rows] = self._filter.initiate(xyxy_to_xyah(table.last_box[rows]))

    def _start_tracks(self, detections: PreparedDetections, rows: Indices, time: float, weak: bool = False) -> None:
        if not len(rows):
            return
        table, boxes, labels = self.table, detections.boxes[rows], detections.labels[rows]
        mean, covariance = self._filter.initiate(detections.measurements[rows])
        first, serials = len(table), self._started + np.arange(len(rows))
        self._started += len(rows)
        scores, index = detections.scores[rows].astype(np.float32), detections.rows[rows]
        table.append(TrackTable.from_detections(mean, covariance, time, boxes, scores, labels, serials, index))
        tracks = np.arange(first, len(table))
        table.weak[tracks], table.evidence[tracks] = weak, log_odds(detections.scores[rows])
        self._voter.add(table, tracks, labels)
        self._add_embeddings(tracks, detections.embeddings[rows], detections.has_embedding[rows])
        if self.log is not None:
            self.log.add_starts(table, first, weak, time)

    def _confirm_tracks(self, time: float) -> None:
        table, detected = self.table, self.table.misses == 0
        due = np.flatnonzero(detected & (table.ids == 0) & ~table.weak & (table.hits >= self._config.n_init))
        covered = due[:0]
        if self._config.max_occlusion and len(due):
            others = np.flatnonzero(detected & (table.ids > 0))
            own = has_own_evidence(table, due, others, self._config)
            covered, due = due[~own], due[own]
        admitted, replaced = due, due[:0]
        if self.limits:
            admitted, replaced = self.limits.admit(table, due, self._gallery, self._time)
        table.ids[admitted] = self._confirmed + 1 + np.arange(len(admitted))
        self._confirmed += len(admitted)
        if self.log is not None:
            self.log.add_confirmed(table, due[table.ids[due] > 0], covered, time)
        if len(replaced):
            self._keep(~np.isin(np.arange(len(table)), replaced), EndCause.REPLACED, time)

    def _output(self, time: float, mean: Floats, observed: NDArray[np.bool_]) -> Tracks:
        """Returns the confirmed tracks that were detected in the latest frame of `update`, and those that coast.

        The output is for the frame at `time`, the latest one or a later one, with the filter's estimates for it,
        float64 (T, 8); `observed`, bool (T,), is True for tracks that were detected in it.
        """
        table = self.table
        weight = self._config.detection_weight**self._noise.fraction  # towards 1 the more precise the detector is
        elapsed = time - table.last_time
        active = (table.presence >= self._config.min_presence) & (elapsed <= self._config.max_age + TIME_TOLERANCE)
        if self._config.max_coast:
            active |= elapsed <= self._config.max_coast + TIME_TOLERANCE
        rows = np.flatnonzero((table.ids > 0) & active)
        rows = rows[np.argsort(table.ids[rows], kind="stable")]
        observed, mean = observed[rows], mean[rows]
        boxes = xyah_to_xyxy(mean[:, :4])
        boxes += (weight * observed)[:, None] * (table.last_box[rows] - boxes)
        return Tracks(
            ids=table.ids[rows],
            boxes=boxes.astype(np.float32),
            scores=table.scores[rows],
            labels=table.labels[rows],
            velocities=mean[:, 4:6].astype(np.float32),
            ages=(time - table.first_time[rows]).astype(np.float32),
            observed=observed,
            detection_index=np.where(observed, table.detection_index[rows], -1),
        )
