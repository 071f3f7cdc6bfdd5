"""The detections of a video tracked once more, with time running backward, and what both passes say about each."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.config import TrackerConfig
from tracker.data.run_tracks import RunTracks
from tracker.data.store import StoredFrame
from tracker.structures.boxes import Floats, iou
from tracker.structures.types import Tracks
from tracker.tracking import DeepSort
from tracker.tracking.offline import OfflineTracker

Indices = NDArray[np.int64]

_MIN_IOU = 0.5
"""Least IoU of a box of a track with the detection that it was made of; its filter moves it a little."""
_KEPT = (
    "start_score",
    "high_score",
    "neutral_cosine_distance",
    "match_across_classes",
    "max_objects",
    "exactly",
    "offline",
)
"""Settings of the run that the backward pass shares: those that depend on the detector, the scene and the use."""


def reference_settings(config: TrackerConfig) -> TrackerConfig:
    """Returns the settings of the backward pass for a run with these: the defaults, but for what the run's input needs.

    A pass with the settings of the run would break tracks at the same places, where these settings break them.

    Example:
        >>> reference_settings(TrackerConfig(max_age=0.1, start_score=0.5)).max_age
        3.0
    """
    return TrackerConfig(**{name: getattr(config, name) for name in _KEPT})


@dataclass(frozen=True, eq=False)
class PassComparison:
    """The tracks of a run and of a backward pass to which the same detections belong.

    Attributes:
        frame_times: float64 (F,), seconds of the frames on which the detector ran, ascending.
        row_detection: int64 (R,), the detection behind each row of the run's tracks, counted over all frames; -1 where
            there is none.
        backward_ids: int64 (D,), the track of the backward pass that holds each detection; 0 for none.
        embedding_ids: int64 (K,), the tracks of the run that have embeddings, ascending.
        embedding_sums: float64 (K, E), the sum of the unit vectors of their detections.
        embedding_counts: int64 (K,), the number of these.
    """

    frame_times: Floats
    row_detection: Indices
    backward_ids: Indices
    embedding_ids: Indices
    embedding_sums: Floats
    embedding_counts: Indices


def compare_with_backward_pass(
    tracks: RunTracks,
    frames: Iterable[StoredFrame],
    config: TrackerConfig,
    reid_class_ids: Collection[int] = (),
    categories: Sequence[str] = (),
) -> PassComparison:
    """Tracks stored detections from the last frame to the first, and finds the detection behind each row of a run.

    Args:
        tracks: The tracks of the run.
        frames: Its stored frames, from the last to the first, with the detections that were tracked.
        config: The settings of its tracker; the backward pass has those of `reference_settings`.
        reid_class_ids: See `DeepSort`.
        categories: Names of the classes by the labels of the detections.
    """
    size = tracks.width or np.inf, tracks.height or np.inf
    backward = _BackwardTracker(config, reid_class_ids, size, categories)
    matcher = _RowMatcher(tracks)
    sums: dict[int, Floats] = {}
    counts: dict[int, int] = {}
    times: list[float] = []
    for frame in frames:
        if not frame.detector_ran:
            backward.skip(frame.time)
            continue
        times.append(frame.time)
        offset = backward.update(frame)
        ids, index = matcher.match(frame, offset)
        embedded = np.isin(frame.detections.labels[index], list(reid_class_ids) if frame.embeddings.shape[1] else [])
        for track_id, row in zip(ids[embedded].tolist(), index[embedded].tolist(), strict=True):
            sums[track_id] = sums.get(track_id, 0) + frame.embeddings[row].astype(np.float64)
            counts[track_id] = counts.get(track_id, 0) + 1
    known = sorted(sums)
    return PassComparison(
        frame_times=np.array(times[::-1], np.float64),
        row_detection=matcher.row_detection,
        backward_ids=backward.finish(),
        embedding_ids=np.array(known, np.int64),
        embedding_sums=np.array([sums[each] for each in known], np.float64),
        embedding_counts=np.array([counts[each] for each in known], np.int64),
    )


class _BackwardTracker:
    """The tracker of the backward pass, causal or offline as in the run."""

    def __init__(
        self,
        config: TrackerConfig,
        reid_class_ids: Collection[int],
        size: tuple[float, float],
        categories: Sequence[str],
    ) -> None:
        config = reference_settings(config)
        self._sort: DeepSort | None = None
        self._offline: OfflineTracker | None = None
        if config.offline:
            self._offline = OfflineTracker(config, reid_class_ids, size)
            self._offline.categories = categories
        else:
            self._sort = DeepSort(config, reid_class_ids, size)
            self._sort.limits.categories = categories
        self._end: float | None = None
        self._frames: list[tuple[int, int]] = []  # of each frame: the number of its first detection, and of detections
        self._ids: list[Indices] = []
        self._count = 0

    def update(self, frame: StoredFrame) -> int:
        """Tracks the frame before the latest one; returns the number of its first detection."""
        first, size = self._count, len(frame.detections)
        self._count += size
        arguments = frame.detections, frame.embeddings, self._reversed(frame.time)
        self._frames.append((first, size))
        if self._offline is not None:
            self._offline.update(*arguments)
        elif self._sort is not None:
            self._ids.append(_ids_of_detections(self._sort.update(*arguments), size))
        return first

    def skip(self, time: float) -> None:
        """Goes on to a frame without detector."""
        elapsed = self._reversed(time)
        if self._offline is not None:
            self._offline.skip(elapsed)
            self._frames.append((self._count, 0))

    def finish(self) -> Indices:
        """Returns the track of each detection, int64 (D,), 0 for none."""
        if self._offline is not None:
            pairs = zip(self._offline.finish(), self._frames, strict=True)
            self._ids = [_ids_of_detections(tracks, size) for tracks, (_, size) in pairs]
        return np.concatenate([np.zeros(0, np.int64), *self._ids])

    def _reversed(self, time: float) -> float:
        if self._end is None:
            self._end = time
        return self._end - time


def _ids_of_detections(tracks: Tracks, size: int) -> Indices:
    ids = np.zeros(size, np.int64)
    known = tracks.detection_index >= 0
    ids[tracks.detection_index[known]] = tracks.ids[known]
    return ids


class _RowMatcher:
    """Finds the detections of which the observed rows of a run's tracks were made, by their overlap."""

    def __init__(self, tracks: RunTracks) -> None:
        order = np.flatnonzero(tracks.observed)
        self._rows = order[np.argsort(tracks.frames[order], kind="stable")]
        self._frames = tracks.frames[self._rows]
        self._tracks = tracks
        self.row_detection = np.full(len(tracks), -1)

    def match(self, frame: StoredFrame, offset: int) -> tuple[Indices, Indices]:
        """Returns the ids of the tracks that have a detection in the frame, and its index, int64 (M,) each."""
        start, end = np.searchsorted(self._frames, (frame.index, frame.index + 1))
        rows = self._rows[start:end]
        boxes: Floats = frame.detections.boxes.astype(np.float64)
        if frame.fit is not None:
            boxes = frame.fit.to_picture(boxes)  # whose pixels tables are in
        overlap = iou(self._tracks.boxes[rows], boxes)
        # Of classes that are often taken for each other, both boxes may be at one place.
        matched, index = linear_sum_assignment(-np.where(overlap >= _MIN_IOU, overlap, 0))
        good = overlap[matched, index] >= _MIN_IOU
        matched, index = rows[matched[good]], index[good].astype(np.int64)
        self.row_detection[matched] = offset + index
        return self._tracks.ids[matched], index
