"""Offline tracking: the tracks of a whole file, linked, smoothed and interpolated."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from math import inf
from typing import Any

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, warp_boxes
from tracker.structures.types import Detections, Tracks
from tracker.tracking.candidate_pairs import Mask
from tracker.tracking.deepsort import DeepSort, Rescorer, no_rescoring
from tracker.tracking.gallery import Embeddings
from tracker.tracking.kalman import IDENTITY, KalmanFilter
from tracker.tracking.linking import LinkLog, link
from tracker.tracking.object_limits import read_limits
from tracker.tracking.slot_linking import link_known_numbers
from tracker.tracking.smoothing import fill_gaps, keep_likely_fills, smooth
from tracker.tracking.track_table import Indices
from tracker.tracking.tracklets import TrackletRecorder, Tracklets

_KNOWN_GAP = 0.3
"""Seconds without a detection after which a track is split where the number of objects is known: `relink_gap`, if less.
All links are then found at once, and what is lost may have moved in any way, so that each part is smoothed alone."""


def first_pass(config: TrackerConfig) -> TrackerConfig:
    """Returns the settings of the first pass, which is causal: the second one decides which tracks are too many.

    Example:
        >>> first_pass(TrackerConfig(offline=True, exactly="4")) == TrackerConfig()
        True
    """
    return config.model_copy(update={"offline": False, "max_objects": "", "exactly": ""})


class OfflineTracker:
    """A tracker of a whole file, in two passes.

    The first pass is that of `DeepSort`, of which every detection of a confirmed track is recorded, also those before
    its confirmation. A track that was missed for longer than `relink_gap` is split, so that the second pass links by
    past and future what the first matched by the past alone. Then all tracklets are linked in one assignment (see
    `link`), those of too few detections are dropped, the trajectories are smoothed (see `smooth`), gaps of up to
    `max_gap` seconds are filled where that is likely right (see `keep_likely_fills`), and each trajectory gets the
    class of most of its detections. Ids count from 1 in the order of appearance.

    Memory: 83 bytes for each detection of a track, 40 for each frame, or 250 where the camera moves, and an embedding
    for each tracklet; from the last frame on, up to 1100 bytes for each row in all. The result depends on the frames
    alone.

    Attributes:
        log: Takes what is linked; None for nothing.
        categories: Names of the classes by label, for limits of classes; see `ObjectLimits`.
    """

    def __init__(
        self, config: TrackerConfig, reid_class_ids: Collection[int] = (), size: tuple[float, float] = (inf, inf)
    ) -> None:
        """Starts without tracks; the arguments are those of `DeepSort`."""
        self.log: LinkLog | None = None
        self._config = config
        self._limits = read_limits(config)
        self.categories: Sequence[str] = ()
        self._tracker = DeepSort(first_pass(config), reid_class_ids, size)
        self._reid_class_ids = np.array(sorted(reid_class_ids), np.int64)
        noise = config.position_noise, config.velocity_noise, config.measurement_noise, config.confidence_noise
        self._filter = KalmanFilter(*noise, noise_unit=config.noise_unit)
        self._recorder = TrackletRecorder(min(config.relink_gap, _KNOWN_GAP) if self._limits else config.relink_gap)

    def update(
        self,
        detections: Detections,
        embeddings: Embeddings,
        time: float,
        camera_motion: Floats = IDENTITY,
        rescore: Rescorer = no_rescoring,
    ) -> None:
        """Tracks the next frame; arguments and errors are those of `DeepSort.update`."""
        self._tracker.update(detections, embeddings, time, camera_motion, rescore)
        has_embedding = np.zeros(0, np.bool_)
        if embeddings.shape[1]:
            has_embedding = np.isin(detections.labels, self._reid_class_ids)
        self._recorder.add(
            time, self._tracker.camera_motion, self._tracker.table, detections, embeddings, has_embedding
        )

    def skip(self, time: float) -> None:
        """Moves on to a frame, `time` seconds from the start of the source, in which the detector did not run.

        The time must be after all frames before. Gaps are filled in the frame as in others.
        """
        self._recorder.skip(time)

    def finish(self) -> Iterator[Tracks]:
        """Yields the final tracks of every frame, in order."""
        times, camera_motions, tracklets = self._recorder.finish()
        analyzed = self._recorder.analyzed
        if self._limits:
            chains = link_known_numbers(tracklets, self._filter, self._config, self._limits, self.categories, self.log)
        else:
            chains = link(tracklets, self._filter, self._config, self.log)
        kept = np.flatnonzero(chains >= 0)
        joined = tracklets.keep(kept).join(chains[kept], self._config.min_detections)
        if self.log is not None:
            self.log.tracklets, self.log.serials = tracklets, self._recorder.serials
            self.log.numbers = _numbers(tracklets, chains, joined)
        trajectories = joined.split()
        parts = [
            self._finalize(each, number, times, analyzed, camera_motions) for number, each in enumerate(trajectories, 1)
        ]
        frames = np.concatenate([np.zeros(0, np.int64), *(frames for frames, _ in parts)])
        order = np.argsort(frames, kind="stable")  # which leaves the ids of a frame ascending
        rows = _concatenate([tracks for _, tracks in parts])[order]
        ends = np.searchsorted(frames[order], np.arange(len(times) + 1))
        for frame in range(len(times)):
            yield rows[ends[frame] : ends[frame + 1]]

    def _finalize(
        self, trajectory: Tracklets, number: int, times: Floats, analyzed: Mask, camera_motions: Floats
    ) -> tuple[Indices, Tracks]:
        """Returns the frames of one trajectory, gaps filled, and its rows in them."""
        heights = trajectory.boxes[:, 3] - trajectory.boxes[:, 1]
        frames = fill_gaps(trajectory.frames, times, self._config.max_gap)
        if self._config.fill_support:
            frames = keep_likely_fills(frames, trajectory.frames, heights, analyzed, self._config.fill_support)
        boxes, velocities = smooth(trajectory, frames, times, self._filter)
        for part in trajectory.split_at_gaps(_KNOWN_GAP) if self._limits else ():
            inside = (frames >= part.frames[0]) & (frames <= part.frames[-1])
            boxes[inside], velocities[inside] = smooth(part, frames[inside], times, self._filter)
        latest = np.searchsorted(trajectory.frames, frames, side="right") - 1
        observed = trajectory.frames[latest] == frames
        weight = (self._config.detection_weight * observed)[:, None]
        boxes += weight * (trajectory.boxes[latest] - boxes)
        motions = camera_motions[frames]
        if (motions != IDENTITY).any():
            boxes = warp_boxes(boxes, motions)
            velocities = np.einsum("nij,nj->ni", motions[:, :, :2], velocities)
        return frames, Tracks(
            ids=np.full(len(frames), number),
            boxes=boxes.astype(np.float32),
            scores=trajectory.scores[latest].astype(np.float32),
            labels=np.full(len(frames), trajectory.majority_labels()[0]),
            velocities=velocities.astype(np.float32),
            ages=(times[frames] - times[frames[0]]).astype(np.float32),
            observed=observed,
            detection_index=np.where(observed, trajectory.detection_index[latest], -1),
        )


def _numbers(tracklets: Tracklets, chains: Indices, joined: Tracklets) -> Indices:
    """Returns the number of the trajectory that each tracklet is part of, int64 (K,) from 1; 0 for none."""
    firsts = zip(joined.frames[joined.first].tolist(), joined.detection_index[joined.first].tolist(), strict=True)
    number = {first: n for n, first in enumerate(firsts, 1)}  # no two tracks have the same detection
    of_chain = np.zeros(int(chains.max(initial=-1)) + 2, np.int64)  # the last one of what is in no chain
    rows = zip(
        tracklets.frames[tracklets.first].tolist(), tracklets.detection_index[tracklets.first].tolist(), strict=True
    )
    for chain, first in zip(chains.tolist(), rows, strict=True):
        of_chain[chain] = number.get(first, of_chain[chain])
    return of_chain[chains]


def _concatenate(parts: list[Tracks]) -> Tracks:
    """Returns the rows of several Tracks without `data`, one after the other."""
    integers, boxes, floats = np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    none = Tracks(integers, boxes, floats, integers, boxes[:, :2], floats, np.zeros(0, np.bool_), integers)
    names = [field.name for field in fields(Tracks) if field.name != "data"]
    columns: dict[str, Any] = {name: np.concatenate([getattr(each, name) for each in (none, *parts)]) for name in names}
    return Tracks(**columns)
