"""Tracklets of a whole file for offline tracking: runs of detections of one track without a long gap."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, warp_boxes
from tracker.structures.types import Detections
from tracker.tracking.kalman import IDENTITY
from tracker.tracking.track_table import TIME_TOLERANCE, Indices, TrackTable

_BLOCK = 1024
"""Frames whose rows are merged into one set of arrays: small arrays are mostly overhead."""
_MAX_ZOOM = 1e6
"""Zoom since the start beyond which scene coordinates start anew; no track lasts that long."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracklets:
    """K runs of detections; all their R rows, tracklet by tracklet, each by time."""

    offsets: Indices  # int64 (K + 1,), row at which each tracklet starts, and after the last, R
    frames: Indices  # int64 (R,), from 0 over the frames that were tracked
    times: Floats  # float64 (R,), seconds
    boxes: Floats  # float64 (R, 4) xyxy, pixels of the first frame: camera motion is compensated
    scores: Floats  # float64 (R,)
    labels: Indices  # int64 (R,)
    detection_index: Indices  # int64 (R,), row of its frame's detections, -1 where the box was found by rescoring
    embeddings: Floats  # float64 (K, D), sum of the unit vectors of each tracklet's detections; zero without any

    def __len__(self) -> int:
        """Returns the number of tracklets."""
        return len(self.offsets) - 1

    @property
    def first(self) -> Indices:
        """Row of each tracklet's first detection, int64 (K,)."""
        return self.offsets[:-1]

    @property
    def last(self) -> Indices:
        """Row of each tracklet's last detection, int64 (K,)."""
        return self.offsets[1:] - 1

    def majority_labels(self) -> Indices:
        """Returns the label of most detections of each tracklet, the least of them in a tie, int64 (K,)."""
        known, column = np.unique(self.labels, return_inverse=True)
        votes = np.zeros((len(self), len(known)), np.int64)
        np.add.at(votes, (np.repeat(np.arange(len(self)), np.diff(self.offsets)), column), 1)
        return known[votes.argmax(1)] if len(known) else np.zeros(len(self), np.int64)

    def join(self, chains: Indices, min_detections: int) -> Self:
        """Joins the tracklets of each chain to one; `chains` is the chain of each, int64 (K,) from 0.

        Returns the chains of at least `min_detections` as tracklets, in the order in which they appear.
        """
        count = int(chains.max(initial=-1)) + 1
        row_chain = np.repeat(chains, np.diff(self.offsets))
        size = np.bincount(row_chain, minlength=count)
        start = np.full(count, len(self.frames))
        np.minimum.at(start, row_chain, self.frames)
        first = np.full(count, len(self.frames))
        np.minimum.at(first, row_chain, np.arange(len(row_chain)))
        order = np.lexsort((first, start))
        order = order[size[order] >= min_detections]
        rank = np.full(count, count)
        rank[order] = np.arange(len(order))
        rows = np.lexsort((self.frames, rank[row_chain]))[: size[order].sum()]
        embeddings = np.zeros((count, self.embeddings.shape[1]))
        np.add.at(embeddings, chains, self.embeddings)
        return self._select(rows, np.concatenate([[0], np.cumsum(size[order])]), embeddings[order])

    def keep(self, indices: Indices) -> Self:
        """Returns some of the tracklets, int64 (M,)."""
        sizes = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.arange(offsets[-1]) + np.repeat(self.first[indices] - offsets[:-1], sizes)
        return self._select(rows, offsets, self.embeddings[indices])

    def split(self) -> Iterator[Self]:
        """Yields the tracklets one by one."""
        for k in range(len(self)):
            rows = np.arange(self.offsets[k], self.offsets[k + 1])
            yield self._select(rows, np.array([0, len(rows)]), self.embeddings[[k]])

    def split_at_gaps(self, max_gap: float) -> Iterator[Self]:
        """Yields the parts of a single tracklet between which it was not detected for more than `max_gap` seconds."""
        starts = np.flatnonzero(np.diff(self.times, prepend=-np.inf) > max_gap)
        for start, end in zip(starts, [*starts[1:], len(self.times)], strict=True):
            yield self._select(np.arange(start, end), np.array([0, end - start]), self.embeddings)

    def _select(self, rows: Indices, offsets: Indices, embeddings: Floats) -> Self:
        frames, times, boxes, scores = self.frames[rows], self.times[rows], self.boxes[rows], self.scores[rows]
        labels, detection_index = self.labels[rows], self.detection_index[rows]
        return type(self)(offsets, frames, times, boxes, scores, labels, detection_index, embeddings)


class TrackletRecorder:
    """A recorder of the detections of all tracks of a `DeepSort`, frame by frame.

    Attributes:
        serials: After `finish`, the number of the track of each tracklet, int64 (K,); see `TrackTable`.
    """

    def __init__(self, max_gap: float) -> None:
        """Takes the seconds without a detection after which a track continues as another tracklet."""
        self.serials = np.zeros(0, np.int64)
        self._max_gap = max_gap
        self._times: list[float] = []
        self._skipped: list[int] = []
        self._to_scene: Floats = np.eye(3)  # from the pixels of this frame to those of the first
        self._camera_motions: list[Floats] = []  # from the pixels of the first frame to those of each
        self._rows: list[_Rows] = []
        self._of_serial = np.zeros((0, 2), np.int64)  # tracklet of each track, and 1 if the track was confirmed
        self._latest = np.zeros(0)  # time of each track's latest detection
        self._count = 0
        self._sums: Floats = np.zeros((0, 0))

    def add(
        self,
        time: float,
        camera_motion: Floats,
        table: TrackTable,
        detections: Detections,
        embeddings: NDArray[np.float32],
        has_embedding: NDArray[np.bool_],
    ) -> None:
        """Records a frame after the tracker's update; `has_embedding` is True for rows of embeddings that count."""
        self._add_camera_motion(camera_motion)
        tracks = np.flatnonzero(table.misses == 0)  # with those found by rescoring, which have no row of the detections
        serials, index = table.serials[tracks], table.detection_index[tracks]
        self._grow(int(serials.max(initial=-1)) + 1)
        new = time - self._latest[serials] > self._max_gap + TIME_TOLERANCE
        self._of_serial[serials[new], 0] = self._count + np.arange(new.sum())
        self._count += int(new.sum())
        self._latest[serials] = time
        self._of_serial[table.serials[table.ids > 0], 1] = 1
        boxes: Floats = table.last_box[tracks]
        tracklets = self._of_serial[serials, 0]
        if self._camera_motions[-1] is not IDENTITY:
            boxes = warp_boxes(boxes, self._to_scene[:2])
        frame = np.full(len(tracks), len(self._times))
        detected = np.flatnonzero(index >= 0)
        labels = table.labels[tracks]
        labels[detected] = detections.labels[index[detected]]
        scores = table.scores[tracks].astype(np.float64)
        self._append(time, (frame, np.stack([serials, tracklets], axis=1), boxes, scores, labels, index))
        if len(has_embedding):
            known = detected[has_embedding[index[detected]]]
            self._add_embeddings(tracklets[known], embeddings[index[known]])

    def skip(self, time: float) -> None:
        """Records a frame without detection; the camera is assumed to stand still until the next one."""
        self._skipped.append(len(self._times))
        self._camera_motions.append(self._camera_motions[-1] if self._camera_motions else IDENTITY)
        self._append(time, _NO_ROWS)

    @property
    def analyzed(self) -> NDArray[np.bool_]:
        """True for the frames in which the detector ran, bool (F,)."""
        mask = np.ones(len(self._times), np.bool_)
        mask[np.array(self._skipped, np.int64)] = False
        return mask

    def finish(self) -> tuple[Floats, Floats, Tracklets]:
        """Returns the record of the tracks that were confirmed.

        It is the seconds of each frame, float64 (F,); the camera motion from the first frame's pixels to those of each,
        float64 (F, 2, 3); and the tracklets.
        """
        frames, track_tracklet, boxes, scores, labels, index = _concatenate(self._rows)
        serials, tracklets = track_tracklet.T
        confirmed = self._of_serial[serials, 1] > 0
        rows = np.lexsort((frames, tracklets))
        rows = rows[confirmed[rows]]
        numbers, first, count = np.unique(tracklets[rows], return_index=True, return_counts=True)
        self.serials = serials[rows][first]
        times, frames = np.array(self._times), frames[rows]
        sums = np.zeros((self._count, self._sums.shape[1]))
        sums[: len(self._sums)] = self._sums[: self._count]
        offsets = np.concatenate([[0], np.cumsum(count)])
        columns = frames, times[frames], boxes[rows], scores[rows], labels[rows], index[rows]
        motions = np.array(self._camera_motions).reshape(-1, 2, 3)
        return times, motions, Tracklets(offsets, *columns, sums[numbers])

    def _append(self, time: float, rows: "_Rows") -> None:
        self._rows.append(rows)
        self._times.append(time)
        if len(self._times) % _BLOCK == 0:
            self._rows[-_BLOCK:] = [_concatenate(self._rows[-_BLOCK:])]

    def _add_camera_motion(self, camera_motion: Floats) -> None:
        if camera_motion is not IDENTITY:
            self._to_scene = self._to_scene @ np.linalg.inv(np.vstack([camera_motion, [0, 0, 1]]))
            zoom = np.sqrt(abs(np.linalg.det(self._to_scene[:2, :2])))
            if not 1 / _MAX_ZOOM < zoom < _MAX_ZOOM:
                self._to_scene = np.eye(3)
                self._latest[:] = -np.inf
        still = np.array_equal(self._to_scene, np.eye(3))
        self._camera_motions.append(IDENTITY if still else np.linalg.inv(self._to_scene)[:2])

    def _grow(self, serials: int) -> None:
        more = serials - len(self._latest)
        if more > 0:
            more = max(more, len(self._latest))
            self._of_serial = np.concatenate([self._of_serial, np.zeros((more, 2), np.int64)])
            self._latest = np.concatenate([self._latest, np.full(more, -np.inf)])

    def _add_embeddings(self, tracklets: Indices, embeddings: NDArray[np.float32]) -> None:
        if not len(tracklets):
            return
        if self._count > len(self._sums):
            grown = np.zeros((2 * self._count, embeddings.shape[1]))
            if len(self._sums):
                grown[: len(self._sums)] = self._sums
            self._sums = grown
        self._sums[tracklets] += embeddings


_Rows = tuple[Indices, Indices, Floats, Floats, Indices, Indices]
"""Columns of R detections: frames; serial of the track and number of the tracklet, int64 (R, 2); boxes; scores; labels;
row among the detections of the frame."""
_NONE = np.zeros(0, np.int64)
_NO_ROWS: _Rows = (_NONE, np.zeros((0, 2), np.int64), np.zeros((0, 4)), np.zeros(0), _NONE, _NONE)


def _concatenate(parts: list[_Rows]) -> _Rows:
    frames, track_tracklet, boxes, scores, labels, index = map(np.concatenate, zip(_NO_ROWS, *parts, strict=True))
    return frames, track_tracklet, boxes, scores, labels, index
