"""Boxes, labels and segmentations of a training image, and their geometric transforms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, Segmentation
from tracker.structures.boxes import Rectangle

MIN_VISIBLE = 0.35  # fraction of a box's area below which a cropped box becomes an ignore region
MIN_SIDE = 4.0  # pixels; a box with a shorter side becomes an ignore region

Boxes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BoxTargets:
    """Objects of an image and its ignore regions. Every method returns new targets."""

    boxes: Boxes  # float32 (N, 4) xyxy pixels
    labels: NDArray[np.int64]  # int64 (N,), from 0
    segmentations: tuple[Segmentation, ...]  # polygons of each of the N objects; none if only its box is known
    ignore: Boxes  # float32 (K, 4) xyxy pixels
    uncertain: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # (U, 4), see `AnnotatedImage`
    uncertain_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def from_image(cls, image: AnnotatedImage) -> Self:
        """Returns the objects and ignore regions of an annotated image."""
        return cls(
            *(image.boxes, image.labels, image.segmentations, image.ignore),
            *(image.uncertain, image.uncertain_labels),
        )

    def scale(self, factors: Sequence[float]) -> "BoxTargets":
        """Multiplies x and y by two factors."""
        xy = np.array(factors, np.float32)
        return self._map(lambda boxes: boxes * np.tile(xy, 2), lambda polygon: polygon * xy)

    def hflip(self, width: int) -> "BoxTargets":
        """Flips horizontally in an image of this width."""
        sign, offset = np.array((-1, 1), np.float32), np.array((width, 0), np.float32)
        return self._map(
            lambda b: np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], 1),
            lambda polygon: polygon * sign + offset,
        )

    def translate(self, x: float, y: float) -> "BoxTargets":
        """Moves to the right by x and down by y, pixels."""
        xy = np.array((x, y), np.float32)
        return self._map(lambda boxes: boxes + np.tile(xy, 2), lambda polygon: polygon + xy)

    def _map(self, on_boxes: Callable[[Boxes], Boxes], on_polygon: Callable[[Boxes], Boxes]) -> "BoxTargets":
        """Applies functions to all boxes (N, 4) and to each polygon (P, 2)."""
        boxes, ignore, uncertain = map(on_boxes, (self.boxes, self.ignore, self.uncertain))
        segmentations = tuple(tuple(map(on_polygon, polygons)) for polygons in self.segmentations)
        return replace(self, boxes=boxes, segmentations=segmentations, ignore=ignore, uncertain=uncertain)

    def crop(self, window: Rectangle) -> "BoxTargets":
        """Clips the boxes to a window; objects with too little left become ignore regions.

        Polygons are not clipped: an object's mask is the part of its polygons inside its box.
        """
        low, high = np.array(window[:2] * 2, np.float32), np.array(window[2:] * 2, np.float32)
        boxes, uncertain = (np.clip(b, low, high) for b in (self.boxes, self.uncertain))
        sides = boxes[:, 2:] - boxes[:, :2]
        full_area = np.maximum((self.boxes[:, 2:] - self.boxes[:, :2]).prod(1), 1e-6)
        keep = (sides.min(1, initial=np.inf) >= MIN_SIDE) & (sides.prod(1) / full_area >= MIN_VISIBLE)
        outside = sides.min(1, initial=np.inf) <= 0
        ignore = np.concatenate([np.clip(self.ignore, low, high), boxes[~keep & ~outside]])
        segmentations = tuple(self.segmentations[index] for index in np.flatnonzero(keep))
        visible = (uncertain[:, 2:] > uncertain[:, :2]).all(1)
        return BoxTargets(
            *(boxes[keep], self.labels[keep], segmentations, ignore.astype(np.float32)),
            *(uncertain[visible], self.uncertain_labels[visible]),
        )

    def ignore_covered(self, covered: NDArray[np.bool_]) -> "BoxTargets":
        """Turns the covered objects, bool (N,), into ignore regions."""
        segmentations = tuple(self.segmentations[index] for index in np.flatnonzero(~covered))
        ignore = np.concatenate([self.ignore, self.boxes[covered]])
        boxes, labels = self.boxes[~covered], self.labels[~covered]
        return replace(self, boxes=boxes, labels=labels, segmentations=segmentations, ignore=ignore)


def concatenate(targets: Sequence[BoxTargets]) -> BoxTargets:
    """Concatenates the objects of several targets, in their order."""
    return BoxTargets(
        np.concatenate([target.boxes for target in targets]),
        np.concatenate([target.labels for target in targets]),
        tuple(polygons for target in targets for polygons in target.segmentations),
        np.concatenate([target.ignore for target in targets]),
        np.concatenate([target.uncertain for target in targets]),
        np.concatenate([target.uncertain_labels for target in targets]),
    )


def rasterize(polygons: Segmentation, box: Boxes, width: int, height: int) -> NDArray[np.uint8]:
    """Returns the mask uint8 (height, width), 1 inside both the polygons and the box."""
    mask = np.zeros((height, width), np.uint8)
    # OpenCV's integer coordinates are those of pixel centers, half a pixel from the corner; points are in sixteenths.
    points = [np.rint((polygon - 0.5) * 16).astype(np.int32) for polygon in polygons]
    cv2.fillPoly(mask, points, 1, shift=4)
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    clipped = np.zeros_like(mask)
    clipped[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return clipped
