"""What is on a training picture, and what becomes of it when the picture is scaled, mirrored, moved and cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, Outline

MIN_VISIBLE = 0.35  # of a box's area, below which a cut box is ignored instead of learned
MIN_SIDE = 6.0  # pixels, below which a box is ignored

Boxes = NDArray[np.float32]
Rectangle = tuple[int, int, int, int]
"""x1 y1 x2 y2, whole pixels."""


@dataclass(frozen=True, eq=False)
class BoxTargets:
    """Objects, and regions to be ignored.

    Attributes:
        boxes: float32 (N, 4) xyxy pixels.
        labels: int64 (N,), from 0.
        outlines: Of each of the N objects.
        ignore: float32 (K, 4) xyxy pixels.
    """

    boxes: Boxes
    labels: NDArray[np.int64]
    outlines: tuple[Outline, ...]
    ignore: Boxes

    def scaled(self, factor: Sequence[float]) -> "BoxTargets":
        """Their x and y multiplied."""
        by = np.array(factor, np.float32)
        both = np.tile(by, 2)
        outlines = tuple(tuple(polygon * by for polygon in outline) for outline in self.outlines)
        return BoxTargets(self.boxes * both, self.labels, outlines, self.ignore * both)

    def mirrored(self, width: int) -> "BoxTargets":
        """Left and right exchanged in a picture of this width."""
        boxes, ignore = (
            np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], 1) for b in (self.boxes, self.ignore)
        )
        flip, start = np.array((-1, 1), np.float32), np.array((width, 0), np.float32)
        outlines = tuple(tuple(polygon * flip + start for polygon in outline) for outline in self.outlines)
        return BoxTargets(boxes, self.labels, outlines, ignore)

    def shifted(self, x: float, y: float) -> "BoxTargets":
        """Moved to the right and down."""
        by = np.array((x, y), np.float32)
        both = np.tile(by, 2)
        outlines = tuple(tuple(polygon + by for polygon in outline) for outline in self.outlines)
        return BoxTargets(self.boxes + both, self.labels, outlines, self.ignore + both)

    def cut(self, inner: Rectangle) -> "BoxTargets":
        """What is left of them inside a rectangle; those of which too little is left are to be ignored.

        Outlines stay whole: an object's mask is its outline inside its box.
        """
        low, high = np.array(inner[:2] * 2, np.float32), np.array(inner[2:] * 2, np.float32)
        boxes = np.clip(self.boxes, low, high)
        side = boxes[:, 2:] - boxes[:, :2]
        whole = np.maximum((self.boxes[:, 2:] - self.boxes[:, :2]).prod(1), 1e-6)
        keep = (side.min(1, initial=np.inf) >= MIN_SIDE) & (side.prod(1) / whole >= MIN_VISIBLE)
        gone = side.min(1, initial=np.inf) <= 0
        ignore = np.concatenate([np.clip(self.ignore, low, high), boxes[~keep & ~gone]])
        outlines = tuple(self.outlines[row] for row in np.flatnonzero(keep))
        return BoxTargets(boxes[keep], self.labels[keep], outlines, ignore.astype(np.float32))

    def hidden(self, covered: NDArray[np.bool_]) -> "BoxTargets":
        """Without those that are covered (N,): where they were is to be ignored."""
        outlines = tuple(self.outlines[row] for row in np.flatnonzero(~covered))
        ignore = np.concatenate([self.ignore, self.boxes[covered]])
        return BoxTargets(self.boxes[~covered], self.labels[~covered], outlines, ignore)


def objects_of(picture: AnnotatedImage) -> BoxTargets:
    """What a picture's annotation says."""
    return BoxTargets(picture.boxes, picture.labels, picture.outlines, picture.ignore)


def joined(parts: Sequence[BoxTargets]) -> BoxTargets:
    """The objects of several parts, in their order."""
    return BoxTargets(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(outline for part in parts for outline in part.outlines),
        np.concatenate([part.ignore for part in parts]),
    )


def mask_of(outline: Outline, box: Boxes, width: int, height: int) -> NDArray[np.uint8]:
    """uint8 (height, width), 1 where the outline's inside and the box meet."""
    mask = np.zeros((height, width), np.uint8)
    # A pixel's number is that of its centre here, half a pixel from its corner; the points are in sixteenths of it.
    points = [np.rint((polygon - 0.5) * 16).astype(np.int32) for polygon in outline]
    cv2.fillPoly(mask, points, 1, shift=4)
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    inside = np.zeros_like(mask)
    inside[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return inside
