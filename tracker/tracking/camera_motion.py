"""The camera's own motion: measured in the pictures, and taken out of the states of the tracks.

Detections that jump because the camera turned look to the Kalman filter like objects that accelerate. Here the motion
of what stands still is measured between two pictures, so that the tracks can be brought into the pixels of the new one
before they are predicted. Source: BoT-SORT, arXiv 2206.14651, section 3.2, for flow; StrongSORT,
arXiv 2202.13514, for ECC.
"""

from dataclasses import dataclass
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats, clip
from tracker.tracking.kalman import IDENTITY

Pixels = NDArray[np.uint8]

_SIDE = 320
"""Longest side of the pictures that are measured, pixels. The corners of a 1280 x 720 picture are then right to 0.6 px
with flow, 0.16 in the median, and to 0.4 and 0.09 with ECC; detections are not that exact. 640 takes twice as long."""

_CORNERS = 200
"""Most corners that flow follows."""
_QUALITY = 0.001
"""How weak a corner may be beside the strongest. With 0.01 one gaudy thing holds all corners of a misty picture."""
_SPACING = 8
"""Least distance between two corners, measured pixels, so that they do not all lie on one tree."""
_WINDOW = 15
"""Side of the square around a corner that is found again, measured pixels; 21 is slower and less exact."""
_PYRAMID = 3
"""How often flow halves the picture: it follows motion of up to a quarter of the longer side."""
_OFF = 1.0
"""Farthest from where the camera's motion puts it that a corner counts as standing still, measured pixels."""

_LEVELS = (4, 2, 1)
"""How many times smaller the pictures are that ECC goes through, since it converges only from nearby: it follows motion
of up to a sixteenth of the longer side, often twice that."""
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
"""ECC ends after so many steps, or with a step that gains less; with 1e-3 it stops short of wide pans."""
_BLUR = 3
"""Side of the Gaussian that ECC smooths the pictures with, measured pixels."""

_BLOCK = 16
"""Side of the blocks in which two pictures are compared, measured pixels."""
_TEXTURE = 4.0
"""Standard deviation, grey levels, from which a block holds something to compare."""
_COMPARED = 0.1
"""Least share of the blocks that must be comparable; fewer say nothing about the rest of the picture."""
_AGREEMENT = 0.6
"""Least mean correlation of the blocks under the motion. Right motions of real pictures reach 0.97, and 0.7 where near
and far move differently; the best found between 700 pairs of unrelated pictures is 0.24 with flow, 0.5 with ECC."""
_LEFT = 0.9
"""Most that a motion may leave of the correlation that standing still lacks. Noise thus does not move a camera that
stands, and pans from 0.5 px of 1280 are still seen."""
_LOSS = 0.1
"""A block that loses more correlation than this is one that the motion makes worse."""
_WORSE = 0.1
"""Most blocks, as a share, that may become worse. A camera that turns or zooms makes none worse; when it drives past
one near tree, the motion of the tree makes 0.3 of the others worse."""


class CameraMotion:
    """Measures how the picture moved since the frame before.

    In small grey copies of the two pictures, flow finds the similarity that most corners follow, and ECC the affine map
    under which the pictures correlate best. Then the pictures are compared block by block, with that motion and
    without it. It is believed only if they agree with it, clearly better than without it, and nearly nowhere worse:
    a wrong motion moves all tracks away from their objects, which is worse than none. So a scene cut, noise, a flat
    picture, boxes all over it, or one near thing that passes give no motion.

    A 1280 x 720 picture takes 6 ms of one core with flow and 9 ms with ECC. Both are exact to a fraction of a pixel
    where the boxes hold all that moves. Flow also bears other things that move, and follows wider pans. The result
    depends on the pictures alone, not on OpenCV's threads or random numbers.

    Source: corners, Shi and Tomasi 1994; flow, Bouguet 2001; ECC, Evangelidis and Psarakis 2008, PAMI 30 (10).
    """

    def __init__(self, method: Literal["none", "flow", "ecc"]) -> None:
        """Starts before the first frame.

        Args:
            method: How to measure; "none" never looks at a picture.
        """
        self._method = method
        self._before = _View.nothing()

    def update(self, image: Pixels, boxes: NDArray[np.float32]) -> Floats:
        """Moves on to the next frame.

        Args:
            image: uint8 (H, W, 3), RGB.
            boxes: float32 (N, 4), xyxy pixels, of what moves on its own and is therefore left out: the detections.

        Returns:
            float64 (2, 3), an affine map from the pixels of the frame before to those of this one. Origin of both is
            the picture's top left corner, as for boxes. `IDENTITY` for the first frame, after a change of the size,
            and where no motion is believed.
        """
        if self._method == "none":
            return IDENTITY
        before, now = self._before, _View.of(image, boxes)
        self._before = now
        if before.size != now.size:
            return IDENTITY
        motion = _flow(before, now) if self._method == "flow" else _ecc(before, now)
        return motion if _believable(before, now, motion) else IDENTITY


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """A picture as it is measured.

    Attributes:
        grey: uint8 (h, w), no side longer than `_SIDE`.
        still: uint8 (h, w), 0 in the boxes of what moves on its own, 255 elsewhere.
        size: Width and height of the full picture, pixels.
    """

    grey: Pixels
    still: Pixels
    size: tuple[int, int]

    @classmethod
    def nothing(cls) -> Self:
        """A picture without pixels, to which no other is alike."""
        return cls(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), (0, 0))

    @classmethod
    def of(cls, image: Pixels, boxes: NDArray[np.float32]) -> Self:
        height, width = image.shape[:2]
        factor = min(1.0, _SIDE / max(width, height))
        small = max(1, round(width * factor)), max(1, round(height * factor))
        colour = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), np.uint8)
        still = np.full_like(grey, 255)
        inside = clip(boxes, width, height) * np.tile(np.divide(small, (width, height)), 2)
        for left, top, right, bottom in np.c_[np.floor(inside[:, :2]), np.ceil(inside[:, 2:])].astype(int):
            still[top:bottom, left:right] = 0
        return cls(grey, still, (width, height))

    def smaller(self, factor: int) -> Self:
        """The same with sides shorter by `factor`; the boxes keep every pixel that they touch."""
        size = tuple(max(1, side // factor) for side in self.grey.shape[::-1])
        grey, still = (cv2.resize(array, size, interpolation=cv2.INTER_AREA) for array in (self.grey, self.still))
        return type(self)(np.asarray(grey, np.uint8), np.where(still < 255, 0, still).astype(np.uint8), self.size)

    def to_full(self) -> Floats:
        """(3, 3), from indices of the measured pixels, whose centres they are, to positions in the full picture."""
        x, y = np.divide(self.size, self.grey.shape[::-1])
        return np.array([[x, 0, x / 2], [0, y, y / 2], [0, 0, 1]])


def _conjugate(motion: Floats, change: Floats) -> Floats:
    """A motion (2, 3) as it looks in other coordinates, into which (3, 3) `change` brings those of the motion."""
    square = np.vstack([motion, [0, 0, 1]])
    return np.asarray((change @ square @ np.linalg.inv(change))[:2], np.float64)


def _flow(before: _View, now: _View) -> Floats:
    """The similarity that most corners follow, float64 (2, 3) in full pixels; `IDENTITY` where there is none."""
    corners = cv2.goodFeaturesToTrack(before.grey, _CORNERS, _QUALITY, _SPACING, mask=before.still)
    if corners is None or not len(corners):
        return IDENTITY
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before.grey, now.grey, corners, np.empty_like(corners), winSize=(_WINDOW, _WINDOW), maxLevel=_PYRAMID
    )
    kept = found[:, 0] == 1
    if kept.sum() < 3:  # two points fix a similarity, a third can contradict it
        return IDENTITY
    # RANSAC draws from a generator of its own, always with the same seed.
    motion, _ = cv2.estimateAffinePartial2D(corners[kept], moved[kept], ransacReprojThreshold=_OFF)
    return IDENTITY if motion is None else _conjugate(motion, before.to_full())


def _ecc(before: _View, now: _View) -> Floats:
    """The affine map of highest correlation, float64 (2, 3) in full pixels; `IDENTITY` where there is none."""
    motion, around = IDENTITY, np.ones((_BLUR + 2, _BLUR + 2), np.uint8)
    for factor in _LEVELS:
        old, new = before.smaller(factor), now.smaller(factor)
        start = _conjugate(motion, np.linalg.inv(old.to_full())).astype(np.float32)
        still = np.minimum(cv2.warpAffine(old.still, start, new.still.shape[::-1], flags=cv2.INTER_NEAREST), new.still)
        still = cv2.erode(
            still, around, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )  # as far as blur and slope reach
        try:
            _, found = cv2.findTransformECC(old.grey, new.grey, start, cv2.MOTION_AFFINE, _STOP, still, _BLUR)
        except cv2.error:  # it did not converge, or nothing is left to compare
            return IDENTITY
        motion = _conjugate(np.asarray(found, np.float64), old.to_full())
    return motion


def _believable(before: _View, now: _View, motion: Floats) -> bool:
    """Whether the pictures agree under the motion, clearly better than without it, and nearly nowhere worse."""
    if motion is IDENTITY or not np.isfinite(motion).all():
        return False
    (moving, seen), (resting, seen_at_rest) = (_agreement(before, now, m) for m in (motion, IDENTITY))
    compared = seen & seen_at_rest
    if not compared.any() or compared.mean() < _COMPARED:
        return False
    moving, resting = moving[compared], resting[compared]
    agreement, worse = moving.mean(), moving < resting - _LOSS
    clearly_better = 1 - agreement < _LEFT * (1 - resting.mean())
    return bool(agreement >= _AGREEMENT and clearly_better and worse.mean() <= _WORSE)


def _agreement(before: _View, now: _View, motion: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """How alike the blocks of two pictures are when the second is brought back by the motion between them.

    Returns:
        float64 (h / 16, w / 16), correlation from -1 to 1, and bool, True for blocks with texture that lie inside of
        the second picture and outside of all boxes; correlations elsewhere mean nothing.
    """
    small = _conjugate(motion, np.linalg.inv(before.to_full()))
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = before.grey.shape[::-1]
    brought, still = (
        cv2.warpAffine(array, small, size, flags=how) for array in (now.grey.astype(np.float64), now.still)
    )
    a, b = before.grey - 128.0, brought - 128.0
    mean_a, mean_b = _block_means(a), _block_means(b)
    spread_a, spread_b = _block_means(a * a) - mean_a**2, _block_means(b * b) - mean_b**2
    shared = _block_means(a * b) - mean_a * mean_b
    seen = _block_means(np.minimum(before.still, still) / 255.0) == 1
    return shared / np.sqrt(np.maximum(spread_a, 1) * np.maximum(spread_b, 1)), seen & (spread_a > _TEXTURE**2)


def _block_means(values: Floats) -> Floats:
    """(h, w) -> (h / 16, w / 16), without the rows and columns that fill no block."""
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    inside = values[: rows * _BLOCK, : columns * _BLOCK]
    means: Floats = inside.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    return means
