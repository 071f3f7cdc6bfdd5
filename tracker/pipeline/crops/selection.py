"""The crops that show a track best: candidates that are kept while it lasts, and the selection among them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, area, clip, intersection

FIRST_SLOT = 0.1
"""Seconds of which only the best crop is kept, at first: neighboring frames hardly differ."""
HALF_SIZE = 48.0
"""Pixels, the square root of a crop's area at which the size's factor on the quality is one half."""
MIN_RELATIVE_QUALITY = 0.5
"""Crops below this fraction of the best one's quality are left out: bad crops would differ most of all."""


@dataclass(frozen=True, eq=False, slots=True)
class CropCandidate:
    """A crop of a track.

    Attributes:
        frame: Index of its frame.
        time: Seconds from the source's first frame.
        quality: From 0 to 1.
        jpeg: The crop, encoded.
    """

    frame: int
    time: float
    quality: float
    jpeg: bytes


@dataclass(eq=False)
class CropReservoir:
    """The candidates of one track: the best crop of each time slot, at most `capacity` of them.

    When the capacity is exceeded the slots become twice as long, so that a track of any length is covered evenly by a
    bounded number of crops.
    """

    capacity: int
    start: float
    slot: float = FIRST_SLOT
    kept: dict[int, CropCandidate] = field(default_factory=dict)

    def would_keep(self, time: float, quality: float) -> bool:
        """Returns True if a crop would be kept; others need not be encoded."""
        current = self.kept.get(self._slot_index(time))
        return current is None or quality > current.quality

    def add(self, crop: CropCandidate) -> None:
        """Adds a crop for which `would_keep` is True."""
        self.kept[self._slot_index(crop.time)] = crop
        if len(self.kept) > self.capacity:
            self.slot *= 2
            crops = list(self.kept.values())
            self.kept = {}
            for other in crops:
                if self.would_keep(other.time, other.quality):
                    self.kept[self._slot_index(other.time)] = other

    def above_quality(self) -> list[CropCandidate]:
        """Returns the crops in order of time, without those that are much worse than the best."""
        best = max((crop.quality for crop in self.kept.values()), default=0)
        crops = (crop for crop in self.kept.values() if crop.quality >= MIN_RELATIVE_QUALITY * best)
        return sorted(crops, key=lambda crop: crop.time)

    def _slot_index(self, time: float) -> int:
        return int((time - self.start) / self.slot)


def crop_quality(boxes: Floats, scores: Floats, size: tuple[float, float]) -> Floats:
    """Returns a quality from 0 to 1 for each of a frame's boxes.

    It is the product of the score, the fraction of the box inside the image, the fraction that no other box covers, and
    a factor of the size.

    Args:
        boxes: (M, 4) xyxy, pixels, all tracks of the frame.
        scores: (M,).
        size: Width and height of the image, pixels.

    Returns:
        (M,); 0 where nothing is inside the image.
    """
    total = np.maximum(area(boxes), 1e-9)
    inside = area(clip(boxes, *size))
    shared = intersection(boxes, boxes)
    np.fill_diagonal(shared, 0)
    free = 1 - np.minimum(shared.max(1, initial=0) / total, 1)
    side = np.sqrt(inside)
    quality: Floats = scores * inside / total * free * side / (side + HALF_SIZE)
    return quality


def farthest_point_sampling(points: NDArray[np.floating], weights: Floats, count: int) -> list[int]:
    """Selects the row of the highest weight, then each time the one that is farthest from all selected ones.

    Source: farthest-point sampling, Gonzalez 1985, with distances multiplied by the weights.

    Args:
        points: (N, D).
        weights: (N,), above 0.
        count: Most rows to select.

    Returns:
        Row indices without repetition.
    """
    selected = [int(np.argmax(weights))]
    nearest = np.full(len(points), np.inf)
    while len(selected) < min(count, len(points)):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[selected[-1]], axis=1))
        rest = np.where(np.isin(np.arange(len(points)), selected), -1, nearest * weights)
        selected.append(int(np.argmax(rest)))
    return selected
