"""Pairs of a track and a detection that are near enough to be compared: few of all, among many objects."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, intersection

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

_HEAP = 200
"""Tracks from which on it is looked whether they lie on one another, and detections in the vertical strip of each."""
_HEAP_OVERLAPS = 64
"""Mean number of detections that overlap a track from which on only the nearest are looked at."""
_NEAREST = 8
"""Detections that are looked at for each track in such a heap of boxes."""
_TIE = 1e-6
"""Distance in pixels, for boxes at the same place, between one and the next in their order."""


@dataclass(slots=True, eq=False)
class CandidatePairs:
    """P pairs, ordered by track."""

    tracks: Indices  # int64 (P,), rows of the table of tracks
    detections: Indices  # int64 (P,), rows of the detections

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.tracks)

    def __getitem__(self, index: Mask | Indices) -> Self:
        """Returns some of the pairs, by a mask or by their indices."""
        return type(self)(self.tracks[index], self.detections[index])


def candidate_pairs(track_boxes: Floats, reach: Floats, detection_boxes: Floats) -> CandidatePairs:
    """Returns the pairs whose boxes overlap, or whose centers are within the track's reach.

    Detections are sorted by x, and each track is compared only with those in its own vertical strip of the image. The
    time is O(N log N) plus the detections in the strips, not tracks times detections. Where hundreds of boxes
    lie on one another, only the detections nearest to each track are returned: all of them would take seconds.

    Args:
        track_boxes: float64 (T, 4) xyxy, predicted.
        reach: float64 (T, 2), largest distance of a detection's center from the track's along x and y, pixels.
        detection_boxes: float64 (N, 4) xyxy.
    """
    if not len(track_boxes) or not len(detection_boxes):
        return CandidatePairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    track_center, track_half = _centers(track_boxes)
    center, half = _centers(detection_boxes)
    order = np.argsort(center[0], kind="stable")
    strip = np.maximum(track_half[0] + half[0].max(), reach[:, 0])
    ends = np.searchsorted(center[0][order], np.concatenate([track_center[0] - strip, track_center[0] + strip]))
    first, last = ends[: len(track_boxes)], ends[len(track_boxes) :]
    if len(track_boxes) > _HEAP and (last - first).mean() > _HEAP and _is_heap(track_boxes, detection_boxes):
        return _nearest(track_boxes, detection_boxes)
    tracks, positions = expand_ranges(first, last)
    detections = order[positions]
    for axis in (1, 0):
        distance = np.abs(center[axis][detections] - track_center[axis][tracks])
        limit = track_half[axis][tracks] + half[axis][detections]
        if reach.any():
            limit = np.maximum(limit, reach[:, axis][tracks])
        inside = (distance < limit).nonzero()[0]
        tracks, detections = tracks[inside], detections[inside]
    return CandidatePairs(tracks, detections)


def _is_heap(track_boxes: Floats, detection_boxes: Floats) -> bool:
    """Returns True if tracks overlap many detections each, by a sample of the tracks."""
    sample = track_boxes[:: len(track_boxes) // 16]
    return bool((intersection(sample, detection_boxes) > 0).sum() > _HEAP_OVERLAPS * len(sample))


def _nearest(track_boxes: Floats, detection_boxes: Floats) -> CandidatePairs:
    """Returns the pairs of each track and the detections whose corners are nearest to its own."""
    from scipy.spatial import cKDTree  # slow to import, and seldom needed

    count = min(_NEAREST, len(detection_boxes))
    _, detections = cKDTree(_with_rank(detection_boxes)).query(_with_rank(track_boxes), k=count)
    tracks = np.repeat(np.arange(len(track_boxes)), count)
    return CandidatePairs(tracks, np.asarray(detections, np.int64).reshape(-1))


def _with_rank(boxes: Floats) -> Floats:
    """Returns (N, 5), boxes with their rank by left side, as a tiny distance between equal ones."""
    rank = np.empty(len(boxes))
    rank[np.argsort(boxes[:, 0], kind="stable")] = _TIE * np.arange(len(boxes))
    return np.column_stack([boxes, rank])


def expand_ranges(first: Indices, last: Indices) -> tuple[Indices, Indices]:
    """Expands R ranges, from `first` up to but without `last`, int64 (R,) each.

    Returns, for every integer in them, the number of its range and the integer itself, int64 (P,) each.
    """
    count = last - first
    ranges = np.repeat(np.arange(len(count)), count)
    return ranges, np.arange(len(ranges)) + np.repeat(first - np.cumsum(count) + count, count)


def _centers(boxes: Floats) -> tuple[Floats, Floats]:
    """Returns the centers, (2, N), and half the widths and heights, (2, N), of (N, 4) xyxy."""
    sides = np.ascontiguousarray(boxes.T)
    return (sides[:2] + sides[2:]) / 2, (sides[2:] - sides[:2]) / 2
