"""The state of all live tracks as a struct of arrays, one row for each track."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats

Indices = NDArray[np.int64]

TIME_TOLERANCE = 1e-6
"""Seconds by which equal intervals may differ, since times are rounded."""


@dataclass(slots=True, eq=False)
class TrackTable:
    """Live tracks, the oldest first, so that serials ascend; T rows."""

    ids: Indices  # int64 (T,), from 1; 0 while the track is tentative
    mean: Floats  # float64 (T, 8), see `KalmanFilter`
    covariance: Floats  # float64 (T, 3, 4), see `KalmanFilter`
    hits: Indices  # int64 (T,), detections so far
    misses: Indices  # int64 (T,), frames since the latest detection
    evidence: Floats  # float64 (T,), nats, see `log_odds`
    weak: NDArray[np.bool_]  # bool (T,), True while too little speaks for an object to start a track
    skipped: Floats  # float64 (T,), frames between its detections in which the detector missed it
    presence: Floats  # float64 (T,), probability that the object is visible, 1 where it was just detected
    first_time: Floats  # float64 (T,), seconds, of the first detection
    last_time: Floats  # float64 (T,), seconds, of the latest detection
    scores: NDArray[np.float32]  # float32 (T,), of the latest detection
    labels: Indices  # int64 (T,), the label of most of the track's detections; in a tie, the label before
    votes: Indices  # int64 (T, L), number of the track's detections with each of the L labels known to the tracker
    gallery_index: Indices  # int64 (T,), the track's index in the gallery, -1 for a track without embeddings
    serials: Indices  # int64 (T,), counted from 0 over all tracks, tentative ones too
    detection_index: Indices  # int64 (T,), row of this frame's detections that was matched with the track, or -1
    last_box: Floats  # float64 (T, 4), xyxy of the latest detection
    earlier_box: Floats  # float64 (T, 4), xyxy of a detection before the latest, or of the first
    earlier_time: Floats  # float64 (T,), seconds, of that detection
    updated_mean: Floats  # float64 (T, 8), state just after the latest detection
    updated_covariance: Floats  # float64 (T, 3, 4), of that state

    @classmethod
    def from_detections(
        cls,
        mean: Floats,
        covariance: Floats,
        time: float,
        boxes: Floats,
        scores: NDArray[np.float32],
        labels: Indices,
        serials: Indices,
        detection_index: Indices,
    ) -> Self:
        """Returns tentative tracks of one detection each, before their first vote and without embeddings."""
        count = len(mean)
        return cls(
            ids=np.zeros(count, np.int64),
            mean=mean,
            covariance=covariance,
            hits=np.ones(count, np.int64),
            misses=np.zeros(count, np.int64),
            evidence=np.zeros(count),
            weak=np.zeros(count, np.bool_),
            skipped=np.zeros(count),
            presence=np.ones(count),
            first_time=np.full(count, time),
            last_time=np.full(count, time),
            scores=scores,
            labels=labels,
            votes=np.zeros((count, 0), np.int64),
            gallery_index=np.full(count, -1, np.int64),
            serials=serials,
            detection_index=detection_index,
            last_box=boxes,
            earlier_box=boxes,
            earlier_time=np.full(count, time),
            updated_mean=mean,
            updated_covariance=covariance,
        )

    @classmethod
    def empty(cls) -> Self:
        """Returns a table without tracks."""
        none = np.zeros(0, np.int64)
        boxes, scores = np.zeros((0, 4)), np.zeros(0, np.float32)
        return cls.from_detections(np.zeros((0, 8)), np.zeros((0, 3, 4)), 0.0, boxes, scores, none, none, none)

    def __len__(self) -> int:
        """Returns the number of tracks."""
        return len(self.ids)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Removes the tracks for which `mask`, bool (T,), is False."""
        rows = np.flatnonzero(mask)
        for name in _FIELDS:
            setattr(self, name, getattr(self, name)[rows])

    def append(self, other: Self) -> None:
        """Adds newer tracks, which have no votes yet."""
        other.votes = np.zeros((len(other), self.votes.shape[1]), np.int64)
        for name in _FIELDS:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))


_FIELDS = tuple(field.name for field in fields(TrackTable))


def table_columns() -> tuple[str, ...]:
    """Returns the names of the columns of a `TrackTable`."""
    return _FIELDS


class LabelVoter:
    """Counts the labels of each track's detections and gives each track its most frequent label.

    Attributes:
        known: int64 (L,), the label of each column of the votes, ascending.
    """

    def __init__(self) -> None:
        """Starts without labels."""
        self.known = np.zeros(0, np.int64)

    def add(self, table: TrackTable, rows: Indices, labels: Indices) -> None:
        """Adds one vote, int64 (N,), to each of N distinct rows of the table, and updates their labels."""
        if not len(rows):
            return
        if len(self.known) == 1 and (labels == self.known[0]).all():
            table.votes[rows, 0] += 1  # with a single label, no track can change its own
            return
        self._add_columns(table, labels)
        table.votes[rows, np.searchsorted(self.known, labels)] += 1
        votes, current = table.votes[rows], np.searchsorted(self.known, table.labels[rows])
        each, most = np.arange(len(rows)), votes.argmax(1)
        change = votes[each, most] > votes[each, current]
        table.labels[rows[change]] = self.known[most[change]]

    def _add_columns(self, table: TrackTable, labels: Indices) -> None:
        known = np.union1d(self.known, labels)
        if len(known) > len(self.known):
            votes = np.zeros((len(table), len(known)), np.int64)
            votes[:, np.searchsorted(known, self.known)] = table.votes
            table.votes, self.known = votes, known
