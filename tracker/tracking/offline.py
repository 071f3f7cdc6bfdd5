"""The second look: the tracks of a whole file, linked, smoothed and filled with all of it in view."""

from collections.abc import Collection, Iterator
from dataclasses import fields
from math import inf

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, moved
from tracker.structures.types import Detections, Tracks
from tracker.tracking.deepsort import DeepSort, Rescorer, no_rescoring
from tracker.tracking.gallery import Embeddings
from tracker.tracking.kalman import IDENTITY, KalmanFilter
from tracker.tracking.linking import link
from tracker.tracking.smoothing import filled, smooth
from tracker.tracking.track_table import Indices
from tracker.tracking.tracklets import TrackletRecorder, Tracklets


class OfflineTracker:
    """Tracks a file in two passes.

    The first is that of `DeepSort`, of which every detection of a confirmed track is kept, those before its
    confirmation too. Where a track was missed for longer than `relink_gap`, it is cut, so that what was decided with
    the past alone is decided again. Then all tracklets are linked at once (see `link`), those of too few detections are
    dropped, the trajectories are smoothed (see `smooth`), gaps of up to `max_gap` seconds are filled, and each gets the
    class that most of its detections have. Ids count from 1 in the order of appearance.

    What it keeps is 83 bytes for each detection of a track, 40 for each frame, or 250 where the camera moves, and an
    embedding for each tracklet; from the last frame on, up to 1100 bytes for each row in all. The result depends on the
    frames alone.
    """

    def __init__(
        self, config: TrackerConfig, reid_class_ids: Collection[int] = (), size: tuple[float, float] = (inf, inf)
    ) -> None:
        """Starts without tracks; takes what `DeepSort` does."""
        self._config = config
        self._tracker = DeepSort(config, reid_class_ids, size)
        self._embedded_labels = np.array(sorted(reid_class_ids), np.int64)
        self._filter = KalmanFilter(
            config.position_noise, config.velocity_noise, config.measurement_noise, config.confidence_noise
        )
        self._recorder = TrackletRecorder(config.relink_gap)

    def update(
        self,
        detections: Detections,
        embeddings: Embeddings,
        time: float,
        camera: Floats = IDENTITY,
        rescore: Rescorer = no_rescoring,
    ) -> None:
        """Moves on to the next frame; arguments and errors are those of `DeepSort.update`."""
        self._tracker.update(detections, embeddings, time, camera, rescore)
        table = self._tracker.table
        embedded = np.isin(detections.labels, self._embedded_labels) if embeddings.shape[1] else np.zeros(0, np.bool_)
        self._recorder.add(time, camera, table, detections, embeddings, embedded)

    def skip(self, time: float) -> None:
        """Moves on to a frame in which nobody looked for objects; gaps are filled in it as in others.

        Args:
            time: Seconds from the start of the source to the frame, after all frames before.
        """
        self._recorder.skip(time)

    def finish(self) -> Iterator[Tracks]:
        """The final tracks of every frame that was given, in order."""
        times, cameras, tracklets = self._recorder.finish()
        trajectories = tracklets.joined(link(tracklets, self._filter, self._config), self._config.min_detections)
        parts = [
            self._final(trajectory, number, times, cameras) for number, trajectory in enumerate(trajectories.each(), 1)
        ]
        frames = np.concatenate([np.zeros(0, np.int64), *(frames for frames, _ in parts)])
        order = np.argsort(frames, kind="stable")  # which leaves the ids of a frame ascending
        whole = _together([tracks for _, tracks in parts])[order]
        ends = np.searchsorted(frames[order], np.arange(len(times) + 1))
        for frame in range(len(times)):
            yield whole[ends[frame] : ends[frame + 1]]

    def _final(self, trajectory: Tracklets, number: int, times: Floats, cameras: Floats) -> tuple[Indices, Tracks]:
        """The frames of one trajectory, gaps filled, and its rows in them."""
        frames = filled(trajectory.frames, times, self._config.max_gap)
        boxes, velocities = smooth(trajectory, frames, times, self._filter)
        latest = np.searchsorted(trajectory.frames, frames, side="right") - 1
        observed = trajectory.frames[latest] == frames
        share = (self._config.detection_weight * observed)[:, None]
        boxes += share * (trajectory.boxes[latest] - boxes)
        views = cameras[frames]
        if (views != IDENTITY).any():
            boxes = moved(boxes, views)
            velocities = np.einsum("nij,nj->ni", views[:, :, :2], velocities)
        return frames, Tracks(
            ids=np.full(len(frames), number),
            boxes=boxes.astype(np.float32),
            scores=trajectory.scores[latest].astype(np.float32),
            labels=np.full(len(frames), trajectory.elected()[0]),
            velocities=velocities.astype(np.float32),
            ages=(times[frames] - times[frames[0]]).astype(np.float32),
            observed=observed,
            found=np.where(observed, trajectory.found[latest], -1),
        )


def _together(parts: list[Tracks]) -> Tracks:
    """The rows of several Tracks, one after the other."""
    none = Tracks(
        ids=np.zeros(0, np.int64),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        labels=np.zeros(0, np.int64),
        velocities=np.zeros((0, 2), np.float32),
        ages=np.zeros(0, np.float32),
        observed=np.zeros(0, np.bool_),
        found=np.zeros(0, np.int64),
    )
    columns = (np.concatenate([getattr(part, field.name) for part in (none, *parts)]) for field in fields(Tracks))
    return Tracks(*columns)
