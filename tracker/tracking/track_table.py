"""What the tracker remembers of its live tracks: one row each, in arrays that grow and shrink with them."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats

Indices = NDArray[np.int64]

TICK = 1e-6
"""Seconds by which equal intervals may differ, since times are rounded."""


@dataclass(slots=True, eq=False)
class TrackTable:
    """Live tracks, the oldest first, so that serials ascend.

    Attributes:
        ids: int64 (T,), from 1; 0 while the track is tentative.
        mean: float64 (T, 8), see `KalmanFilter`.
        covariance: float64 (T, 3, 4), see `KalmanFilter`.
        hits: int64 (T,), detections so far.
        misses: int64 (T,), frames since the latest detection.
        first_time: float64 (T,), seconds, of the first detection.
        last_time: float64 (T,), seconds, of the latest detection.
        scores: float32 (T,), of the latest detection.
        labels: int64 (T,), the label that most of the track's detections had; in a tie, the one it had before.
        votes: int64 (T, L), how many of its detections had each of the labels seen by the tracker.
        slots: int64 (T,), the track's place in the gallery, -1 where it has none.
        serials: int64 (T,), counted from 0 over all tracks, tentative ones too.
        found: int64 (T,), the row of this frame's detections that the track took, -1 where it took none.
        last: float64 (T, 4), xyxy of the latest detection.
        earlier: float64 (T, 4), xyxy of a detection before that one, or the first.
        earlier_time: float64 (T,), seconds, of that detection.
        found_mean: float64 (T, 8), state just after the latest detection.
        found_covariance: float64 (T, 3, 4), of that state.
    """

    ids: Indices
    mean: Floats
    covariance: Floats
    hits: Indices
    misses: Indices
    first_time: Floats
    last_time: Floats
    scores: NDArray[np.float32]
    labels: Indices
    votes: Indices
    slots: Indices
    serials: Indices
    found: Indices
    last: Floats
    earlier: Floats
    earlier_time: Floats
    found_mean: Floats
    found_covariance: Floats

    @classmethod
    def started(
        cls,
        mean: Floats,
        covariance: Floats,
        time: float,
        boxes: Floats,
        scores: NDArray[np.float32],
        labels: Indices,
        serials: Indices,
        found: Indices,
    ) -> Self:
        """Tentative tracks of one detection each, before their first vote and without a place in the gallery."""
        count = len(mean)
        return cls(
            ids=np.zeros(count, np.int64),
            mean=mean,
            covariance=covariance,
            hits=np.ones(count, np.int64),
            misses=np.zeros(count, np.int64),
            first_time=np.full(count, time),
            last_time=np.full(count, time),
            scores=scores,
            labels=labels,
            votes=np.zeros((count, 0), np.int64),
            slots=np.full(count, -1, np.int64),
            serials=serials,
            found=found,
            last=boxes,
            earlier=boxes,
            earlier_time=np.full(count, time),
            found_mean=mean,
            found_covariance=covariance,
        )

    @classmethod
    def empty(cls) -> Self:
        """No tracks."""
        none = np.zeros(0, np.int64)
        boxes, scores = np.zeros((0, 4)), np.zeros(0, np.float32)
        return cls.started(np.zeros((0, 8)), np.zeros((0, 3, 4)), 0.0, boxes, scores, none, none, none)

    def __len__(self) -> int:
        """Number of tracks."""
        return len(self.ids)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drops the tracks for which bool (T,) is False."""
        kept = np.flatnonzero(rows)
        for name in _FIELDS:
            setattr(self, name, getattr(self, name)[kept])

    def append(self, other: Self) -> None:
        """Adds younger tracks; they have no votes yet."""
        other.votes = np.zeros((len(other), self.votes.shape[1]), np.int64)
        for name in _FIELDS:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))


_FIELDS = tuple(field.name for field in fields(TrackTable))


class LabelVote:
    """Counts the labels of each track's detections; remembers which column of the votes is which label."""

    def __init__(self) -> None:
        """Starts without labels."""
        self._known = np.zeros(0, np.int64)  # ascending

    def add(self, table: TrackTable, rows: Indices, labels: Indices) -> None:
        """Gives one vote, int64 (N,), to each of N distinct rows of the table, and elects their labels anew."""
        if not len(rows):
            return
        if len(self._known) == 1 and (labels == self._known[0]).all():
            table.votes[rows, 0] += 1  # nothing to elect
            return
        self._learn(table, labels)
        table.votes[rows, np.searchsorted(self._known, labels)] += 1
        votes, elected = table.votes[rows], np.searchsorted(self._known, table.labels[rows])
        each, leader = np.arange(len(rows)), votes.argmax(1)
        change = votes[each, leader] > votes[each, elected]
        table.labels[rows[change]] = self._known[leader[change]]

    def _learn(self, table: TrackTable, labels: Indices) -> None:
        known = np.union1d(self._known, labels)
        if len(known) > len(self._known):
            votes = np.zeros((len(table), len(known)), np.int64)
            votes[:, np.searchsorted(known, self._known)] = table.votes
            table.votes, self._known = votes, known
