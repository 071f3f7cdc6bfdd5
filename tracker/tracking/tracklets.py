"""Tracks of a whole file, as the second look takes them: runs of detections without a long gap."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, moved
from tracker.structures.types import Detections
from tracker.tracking.kalman import IDENTITY
from tracker.tracking.track_table import TICK, Indices, TrackTable

_BLOCK = 1024
"""Frames whose rows are kept in one piece: arrays of a few rows are mostly overhead."""
_FAR = 1e6
"""Zoom since the start beyond which positions are counted from anew; tracks do not last as long."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracklets:
    """K runs of detections; all their R rows, tracklet by tracklet, each by time.

    Attributes:
        ends: int64 (K + 1,), where the rows of each tracklet start, and after the last, R.
        frames: int64 (R,), from 0 over the frames that were tracked.
        times: float64 (R,), seconds.
        boxes: float64 (R, 4) xyxy, pixels of the first frame: the camera's own motion is taken out.
        scores: float64 (R,).
        labels: int64 (R,).
        found: int64 (R,), the row of its frame's detections, -1 where it was seen only when looked for again.
        embeddings: float64 (K, D), sum of the unit vectors of each tracklet's detections; zero where there are none.
    """

    ends: Indices
    frames: Indices
    times: Floats
    boxes: Floats
    scores: Floats
    labels: Indices
    found: Indices
    embeddings: Floats

    def __len__(self) -> int:
        """Number of tracklets."""
        return len(self.ends) - 1

    @property
    def first(self) -> Indices:
        """Row of each tracklet's first detection, int64 (K,)."""
        return self.ends[:-1]

    @property
    def last(self) -> Indices:
        """Row of each tracklet's last detection, int64 (K,)."""
        return self.ends[1:] - 1

    def elected(self) -> Indices:
        """The label that most detections of each tracklet have, the least of them in a tie, int64 (K,)."""
        known, column = np.unique(self.labels, return_inverse=True)
        votes = np.zeros((len(self), len(known)), np.int64)
        np.add.at(votes, (np.repeat(np.arange(len(self)), np.diff(self.ends)), column), 1)
        return known[votes.argmax(1)] if len(known) else np.zeros(len(self), np.int64)

    def joined(self, chains: Indices, least: int) -> Self:
        """Tracklets of one chain made one.

        Args:
            chains: int64 (K,), from 0, the chain of each.
            least: Detections that a chain needs to be kept.

        Returns:
            The chains, in the order in which they appear.
        """
        count = int(chains.max(initial=-1)) + 1
        row_chain = np.repeat(chains, np.diff(self.ends))
        size = np.bincount(row_chain, minlength=count)
        start = np.full(count, len(self.frames))
        np.minimum.at(start, row_chain, self.frames)
        first = np.full(count, len(self.frames))
        np.minimum.at(first, row_chain, np.arange(len(row_chain)))
        order = np.lexsort((first, start))
        order = order[size[order] >= least]
        rank = np.full(count, count)
        rank[order] = np.arange(len(order))
        rows = np.lexsort((self.frames, rank[row_chain]))[: size[order].sum()]
        embeddings = np.zeros((count, self.embeddings.shape[1]))
        np.add.at(embeddings, chains, self.embeddings)
        return self._of(rows, np.concatenate([[0], np.cumsum(size[order])]), embeddings[order])

    def each(self) -> Iterator[Self]:
        """The tracklets one by one."""
        for k in range(len(self)):
            rows = np.arange(self.ends[k], self.ends[k + 1])
            yield self._of(rows, np.array([0, len(rows)]), self.embeddings[[k]])

    def _of(self, rows: Indices, ends: Indices, embeddings: Floats) -> Self:
        return type(self)(
            ends,
            self.frames[rows],
            self.times[rows],
            self.boxes[rows],
            self.scores[rows],
            self.labels[rows],
            self.found[rows],
            embeddings,
        )


class TrackletRecorder:
    """Keeps the detections of all tracks of a `DeepSort`, frame by frame."""

    def __init__(self, gap: float) -> None:
        """Starts without tracks.

        Args:
            gap: Seconds without a detection after which a track goes on as another tracklet.
        """
        self._gap = gap
        self._times: list[float] = []
        self._to_scene: Floats = np.eye(3)  # from the pixels of this frame to those of the first
        self._cameras: list[Floats] = []
        self._rows: list[_Rows] = []
        self._of_serial = np.zeros((0, 2), np.int64)  # tracklet of each track, and whether it was confirmed
        self._latest = np.zeros(0)  # time of each track's latest detection
        self._count = 0
        self._sums: Floats = np.zeros((0, 0))

    def add(
        self,
        time: float,
        camera: Floats,
        table: TrackTable,
        detections: Detections,
        embeddings: NDArray[np.float32],
        embedded: NDArray[np.bool_],
    ) -> None:
        """Takes what the tracker made of a frame; `embedded` says which rows of the embeddings count."""
        self._look(camera)
        tracks = np.flatnonzero(table.misses == 0)  # also those found by rescoring, which have no row of the detections
        serials, found = table.serials[tracks], table.found[tracks]
        self._grow(int(serials.max(initial=-1)) + 1)
        new = time - self._latest[serials] > self._gap + TICK
        self._of_serial[serials[new], 0] = self._count + np.arange(new.sum())
        self._count += int(new.sum())
        self._latest[serials] = time
        self._of_serial[table.serials[table.ids > 0], 1] = 1
        boxes: Floats = table.last[tracks]
        tracklets = self._of_serial[serials, 0]
        if self._cameras[-1] is not IDENTITY:
            boxes = moved(boxes, self._to_scene[:2])
        frame = np.full(len(tracks), len(self._times))
        detected = np.flatnonzero(found >= 0)
        labels = table.labels[tracks]
        labels[detected] = detections.labels[found[detected]]
        scores = table.scores[tracks].astype(np.float64)
        self._append(time, (frame, np.stack([serials, tracklets], axis=1), boxes, scores, labels, found))
        if len(embedded):
            known = detected[embedded[found[detected]]]
            self._sum(tracklets[known], embeddings[found[known]])

    def skip(self, time: float) -> None:
        """Takes a frame in which nobody looked; the camera is taken to stand still until the next one."""
        self._cameras.append(self._cameras[-1] if self._cameras else IDENTITY)
        self._append(time, _NOTHING)

    def finish(self) -> tuple[Floats, Floats, Tracklets]:
        """What was kept of the tracks that were confirmed.

        Returns:
            Seconds of each frame, float64 (F,); the maps from the first frame's pixels to those of each, float64
            (F, 2, 3); and the tracklets.
        """
        frames, names, boxes, scores, labels, taken = _stacked(self._rows)
        serials, tracklets = names.T
        kept = self._of_serial[serials, 1] > 0
        rows = np.lexsort((frames, tracklets))
        rows = rows[kept[rows]]
        names, count = np.unique(tracklets[rows], return_counts=True)
        times = np.array(self._times)
        sums = np.zeros((self._count, self._sums.shape[1]))
        sums[: len(self._sums)] = self._sums[: self._count]
        return (
            times,
            np.array(self._cameras).reshape(-1, 2, 3),
            Tracklets(
                np.concatenate([[0], np.cumsum(count)]),
                frames[rows],
                times[frames[rows]],
                boxes[rows],
                scores[rows],
                labels[rows],
                taken[rows],
                sums[names],
            ),
        )

    def _append(self, time: float, rows: "_Rows") -> None:
        self._rows.append(rows)
        self._times.append(time)
        if len(self._times) % _BLOCK == 0:
            self._rows[-_BLOCK:] = [_stacked(self._rows[-_BLOCK:])]

    def _look(self, camera: Floats) -> None:
        if camera is not IDENTITY:
            self._to_scene = self._to_scene @ np.linalg.inv(np.vstack([camera, [0, 0, 1]]))
            zoom = np.sqrt(abs(np.linalg.det(self._to_scene[:2, :2])))
            if not 1 / _FAR < zoom < _FAR:
                self._to_scene = np.eye(3)
                self._latest[:] = -np.inf
        still = np.array_equal(self._to_scene, np.eye(3))
        self._cameras.append(IDENTITY if still else np.linalg.inv(self._to_scene)[:2])

    def _grow(self, serials: int) -> None:
        more = serials - len(self._latest)
        if more > 0:
            more = max(more, len(self._latest))
            self._of_serial = np.concatenate([self._of_serial, np.zeros((more, 2), np.int64)])
            self._latest = np.concatenate([self._latest, np.full(more, -np.inf)])

    def _sum(self, tracklets: Indices, embeddings: NDArray[np.float32]) -> None:
        if not len(tracklets):
            return
        if self._count > len(self._sums):
            grown = np.zeros((2 * self._count, embeddings.shape[1]))
            if len(self._sums):
                grown[: len(self._sums)] = self._sums
            self._sums = grown
        self._sums[tracklets] += embeddings


_Rows = tuple[Indices, Indices, Floats, Floats, Indices, Indices]
"""Of R detections: frames; serial of the track and number of the tracklet, int64 (R, 2); boxes, scores, labels; row
among the detections of the frame."""
_NOTHING: _Rows = (
    np.zeros(0, np.int64),
    np.zeros((0, 2), np.int64),
    np.zeros((0, 4)),
    np.zeros(0),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
)


def _stacked(parts: list[_Rows]) -> _Rows:
    frames, names, boxes, scores, labels, found = map(np.concatenate, zip(_NOTHING, *parts, strict=True))
    return frames, names, boxes, scores, labels, found
