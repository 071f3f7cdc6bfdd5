"""Which crops show a track best: the candidates that are kept while it lasts, and the choice among them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, area, clip, intersection

FIRST_SLOT = 0.1
"""Seconds of which only the best view is kept, at first: neighbouring frames hardly differ."""
HALF_SIZE = 48.0
"""Pixels, the square root of a crop's area at which its size counts a half."""
FAIR = 0.5
"""Views of less than this share of the best one's quality are left out: most different of all are the spoilt ones."""


@dataclass(frozen=True, eq=False, slots=True)
class CropCandidate:
    """A crop of a track.

    Attributes:
        frame: Index of its frame.
        time: Seconds from the source's first frame.
        quality: From 0 to 1.
        jpeg: The picture, encoded.
    """

    frame: int
    time: float
    quality: float
    jpeg: bytes


@dataclass(eq=False)
class CropReservoir:
    """The candidates of one track: the best view of each slot of time.

    There are at most `most`. Where there would be more, slots become twice as long, so that a track of any length is
    covered evenly by a bounded number of pictures.
    """

    most: int
    start: float
    slot: float = FIRST_SLOT
    kept: dict[int, CropCandidate] = field(default_factory=dict)

    def would_keep(self, time: float, quality: float) -> bool:
        """Whether a view would be kept, so that no other needs to be cut out and encoded."""
        rival = self.kept.get(self._number(time))
        return rival is None or quality > rival.quality

    def add(self, view: CropCandidate) -> None:
        """Takes a view that is wanted."""
        self.kept[self._number(view.time)] = view
        if len(self.kept) > self.most:
            self.slot *= 2
            views = list(self.kept.values())
            self.kept = {}
            for one in views:
                if self.would_keep(one.time, one.quality):
                    self.kept[self._number(one.time)] = one

    def above_quality(self) -> list[CropCandidate]:
        """The views in order of time, without those that are much worse than the best."""
        best = max((view.quality for view in self.kept.values()), default=0)
        return sorted((v for v in self.kept.values() if v.quality >= FAIR * best), key=lambda view: view.time)

    def _number(self, time: float) -> int:
        return int((time - self.start) / self.slot)


def quality(boxes: Floats, scores: Floats, size: tuple[float, float]) -> Floats:
    """How well each of a frame's boxes shows its object: its score, by size, by what is inside the picture and free.

    Args:
        boxes: (M, 4) xyxy, pixels, all tracks of the frame.
        scores: (M,).
        size: Width and height of the picture, pixels.

    Returns:
        (M,), from 0 to 1; 0 where nothing is inside the picture.
    """
    whole = np.maximum(area(boxes), 1e-9)
    inside = area(clip(boxes, *size))
    shared = intersection(boxes, boxes)
    np.fill_diagonal(shared, 0)
    free = 1 - np.minimum(shared.max(1, initial=0) / whole, 1)
    side = np.sqrt(inside)
    judged: Floats = scores * inside / whole * free * side / (side + HALF_SIZE)
    return judged


def farthest_point_sampling(points: NDArray[np.floating], worth: Floats, count: int) -> list[int]:
    """The best row, then each time the one that is farthest from all before, where worth counts too.

    Source: farthest-point sampling, Gonzalez 1985, with the distances weighted by worth.

    Args:
        points: (N, D).
        worth: (N,), above 0.
        count: How many at most.

    Returns:
        Rows, none twice.
    """
    chosen = [int(np.argmax(worth))]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        rest = np.where(np.isin(np.arange(len(points)), chosen), -1, nearest * worth)
        chosen.append(int(np.argmax(rest)))
    return chosen
