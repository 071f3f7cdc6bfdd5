"""Which pairs of a track and a detection are near enough to be looked at: few of them, among many objects."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats

Indices = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class CandidatePairs:
    """P pairs, ordered by track.

    Attributes:
        tracks: int64 (P,), rows of the table of tracks.
        detections: int64 (P,), rows of the detections.
    """

    tracks: Indices
    detections: Indices

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.tracks)

    def __getitem__(self, rows: NDArray[np.bool_] | Indices) -> Self:
        """Some of the pairs, by a mask or by their numbers."""
        return type(self)(self.tracks[rows], self.detections[rows])


def candidate_pairs(boxes: Floats, reach: Floats, detected: Floats) -> CandidatePairs:
    """The pairs whose boxes overlap, or whose centres are within the track's reach.

    Detections are sorted by x, and each track looks only at those in its own strip of the picture. This costs
    O(N log N) and what lies in the strips, not tracks times detections.

    Args:
        boxes: float64 (T, 4) xyxy, where the tracks should be.
        reach: float64 (T, 2), farthest that the centre of a detection may be from the track's along x and y, pixels.
        detected: float64 (N, 4) xyxy.
    """
    if not len(boxes) or not len(detected):
        return CandidatePairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    centre, half = _centres(boxes)
    other, other_half = _centres(detected)
    order = np.argsort(other[0], kind="stable")
    strip = np.maximum(half[0] + other_half[0].max(), reach[:, 0])
    ends = np.searchsorted(other[0][order], np.concatenate([centre[0] - strip, centre[0] + strip]))
    tracks, places = spans(ends[: len(boxes)], ends[len(boxes) :])
    detections = order[places]
    for axis in (1, 0):
        off = np.abs(other[axis][detections] - centre[axis][tracks])
        limit = half[axis][tracks] + other_half[axis][detections]
        if reach.any():
            limit = np.maximum(limit, reach[:, axis][tracks])
        inside = (off < limit).nonzero()[0]
        tracks, detections = tracks[inside], detections[inside]
    return CandidatePairs(tracks, detections)


def spans(first: Indices, last: Indices) -> tuple[Indices, Indices]:
    """Every place in each row's span, from `first` up to and without `last`, int64 (R,) each: rows and places, (P,)."""
    count = last - first
    rows = np.repeat(np.arange(len(count)), count)
    return rows, np.arange(len(rows)) + np.repeat(first - np.cumsum(count) + count, count)


def _centres(boxes: Floats) -> tuple[Floats, Floats]:
    """(N, 4) xyxy -> x and y of the centres, (2, N), and half the widths and heights, (2, N)."""
    sides = np.ascontiguousarray(boxes.T)
    return (sides[:2] + sides[2:]) / 2, (sides[2:] - sides[:2]) / 2
