"""Camera motion: estimated between two frames, and compensated in the states of the tracks.

To the Kalman filter, detections that jump because the camera turned look like objects that accelerate. Here the motion
of the static scene is estimated between two frames, so that the tracks can be transformed into the pixels of the new
one before they are predicted. Source: BoT-SORT, arXiv 2206.14651, section 3.2, for flow; StrongSORT,
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

_MAX_SIDE = 320
"""Longest side of the images that are compared, pixels. The corners of a 1280 x 720 image are then right to 0.6 px
with flow, 0.16 in the median, and to 0.4 and 0.09 with ECC; detections are not that exact. 640 takes twice as long."""

_MAX_CORNERS = 200
"""Most corners that flow tracks."""
_QUALITY = 0.001
"""Least quality of a corner relative to the strongest. With 0.01, one colorful object has all corners of a misty
image."""
_MIN_DISTANCE = 8
"""Least distance between two corners, resized pixels, so that they do not all lie on one tree."""
_WINDOW = 15
"""Side of the window around a corner that flow matches, resized pixels; 21 is slower and less exact."""
_MAX_LEVEL = 3
"""Number of times that flow halves the image: it measures motion of up to a quarter of the longer side."""
_RANSAC_THRESHOLD = 1.0
"""Largest distance of a corner from its position under the motion, for an inlier, resized pixels."""

_LEVELS = (4, 2, 1)
"""Factors by which ECC downscales the images in turn, since it converges only from nearby: it measures motion of up to
a sixteenth of the longer side, often twice that."""
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
"""ECC ends after so many steps, or with a step that gains less; with 1e-3 it stops short of wide pans."""
_BLUR = 3
"""Side of the Gaussian kernel by which ECC smooths the images, resized pixels."""

_BLOCK = 16
"""Side of the blocks in which two images are compared, resized pixels."""
_MIN_TEXTURE = 4.0
"""Least standard deviation of a block that is compared, gray levels."""
_MIN_COMPARED = 0.1
"""Least fraction of the blocks that must be comparable; fewer say nothing about the rest of the image."""
_MIN_CORRELATION = 0.6
"""Least mean correlation of the blocks under the motion. Correct motions of real images reach 0.97, and 0.7 where near
and far move differently; the best found between 700 pairs of unrelated images is 0.24 with flow, 0.5 with ECC."""
_MAX_REMAINDER = 0.9
"""Largest ratio of 1 - correlation under the motion to 1 - correlation without it. Noise thus does not move a static
camera, and pans from 0.5 px of 1280 are still measured."""
_LOSS = 0.1
"""Loss of correlation from which the motion makes a block worse."""
_MAX_WORSE = 0.1
"""Largest fraction of blocks that may become worse. A camera that turns or zooms makes none worse; when it drives past
one near tree, the motion of the tree makes 0.3 of the others worse."""


class CameraMotion:
    """An estimator of the camera's motion since the frame before.

    In small gray copies of the two images, flow finds the similarity transform that most corners follow, and ECC the
    affine map under which the images correlate best. Then the images are compared block by block, with that motion and
    without it. The motion is accepted only if the images agree with it, clearly better than without it, and nearly
    nowhere worse: a wrong motion moves all tracks away from their objects, which is worse than none. A scene cut,
    noise, an image without texture, boxes that cover it, or one near object that passes thus give no motion.

    A 1280 x 720 image takes 6 ms of one core with flow and 9 ms with ECC. Both are exact to a fraction of a pixel
    if all moving objects are inside of the boxes. Flow also tolerates other moving objects, and measures wider pans.
    The result depends on the images alone, not on OpenCV's threads or random numbers.

    Source: corners, Shi and Tomasi 1994; flow, Bouguet 2001; ECC, Evangelidis and Psarakis 2008, PAMI 30 (10).
    """

    def __init__(self, method: Literal["none", "tracks", "flow", "ecc"]) -> None:
        """Takes the estimator; "none" and "tracks" read no image and return `IDENTITY`."""
        self._method = method
        self._previous: _ResizedImage | None = None

    def update(self, image: Pixels, boxes: NDArray[np.float32]) -> Floats:
        """Estimates the motion from the frame before to this one.

        Args:
            image: uint8 (H, W, 3), RGB.
            boxes: float32 (N, 4), xyxy pixels, of moving objects, which are left out: the detections.

        Returns:
            float64 (2, 3), an affine map from the pixels of the frame before to those of this one. The origin of both
            is the image's top left corner, as for boxes. `IDENTITY` for the first frame, after a change of the size,
            and where no motion is accepted.
        """
        if self._method in ("none", "tracks"):
            return IDENTITY
        previous, current = self._previous, _ResizedImage.from_image(image, boxes)
        self._previous = current
        if previous is None or previous.size != current.size:
            return IDENTITY
        motion = _flow(previous, current) if self._method == "flow" else _ecc(previous, current)
        return motion if _is_plausible(previous, current, motion) else IDENTITY


@dataclass(frozen=True, eq=False, slots=True)
class _ResizedImage:
    """A small gray copy of an image."""

    gray: Pixels  # uint8 (h, w), no side longer than `_MAX_SIDE`
    static: Pixels  # uint8 (h, w), 0 in the boxes of moving objects, 255 elsewhere
    size: tuple[int, int]  # width and height of the full image, pixels

    @classmethod
    def from_image(cls, image: Pixels, boxes: NDArray[np.float32]) -> Self:
        height, width = image.shape[:2]
        factor = min(1.0, _MAX_SIDE / max(width, height))
        small = max(1, round(width * factor)), max(1, round(height * factor))
        color = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        gray = np.asarray(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), np.uint8)
        static = np.full_like(gray, 255)
        inside = clip(boxes, width, height) * np.tile(np.divide(small, (width, height)), 2)
        for left, top, right, bottom in np.c_[np.floor(inside[:, :2]), np.ceil(inside[:, 2:])].astype(int):
            static[top:bottom, left:right] = 0
        return cls(gray, static, (width, height))

    def downscale(self, factor: int) -> Self:
        """Returns the image with sides shorter by `factor`; the boxes keep every pixel that they touch."""
        size = tuple(max(1, side // factor) for side in self.gray.shape[::-1])
        gray, static = (cv2.resize(array, size, interpolation=cv2.INTER_AREA) for array in (self.gray, self.static))
        return type(self)(np.asarray(gray, np.uint8), np.where(static < 255, 0, static).astype(np.uint8), self.size)

    def to_full(self) -> Floats:
        """Returns the map, (3, 3), from indices of the resized pixels, at their centers, to the full image."""
        x, y = np.divide(self.size, self.gray.shape[::-1])
        return np.array([[x, 0, x / 2], [0, y, y / 2], [0, 0, 1]])


def _conjugate(motion: Floats, change: Floats) -> Floats:
    """Returns a motion (2, 3) in other coordinates, to which `change`, (3, 3), maps those of the motion."""
    square = np.vstack([motion, [0, 0, 1]])
    return np.asarray((change @ square @ np.linalg.inv(change))[:2], np.float64)


def _flow(previous: _ResizedImage, current: _ResizedImage) -> Floats:
    """Returns the similarity that most corners follow, float64 (2, 3) in full pixels; `IDENTITY` if there is none."""
    corners = cv2.goodFeaturesToTrack(previous.gray, _MAX_CORNERS, _QUALITY, _MIN_DISTANCE, mask=previous.static)
    if corners is None or not len(corners):
        return IDENTITY
    shifted, status, _ = cv2.calcOpticalFlowPyrLK(
        previous.gray, current.gray, corners, np.empty_like(corners), winSize=(_WINDOW, _WINDOW), maxLevel=_MAX_LEVEL
    )
    matched = status[:, 0] == 1
    if matched.sum() < 3:  # two points determine a similarity, a third can contradict it
        return IDENTITY
    # RANSAC draws from a generator of its own, always with the same seed.
    motion, _ = cv2.estimateAffinePartial2D(corners[matched], shifted[matched], ransacReprojThreshold=_RANSAC_THRESHOLD)
    return IDENTITY if motion is None else _conjugate(motion, previous.to_full())


def _ecc(previous: _ResizedImage, current: _ResizedImage) -> Floats:
    """Returns the affine map of highest correlation, float64 (2, 3) in full pixels; `IDENTITY` if there is none."""
    motion, kernel = IDENTITY, np.ones((_BLUR + 2, _BLUR + 2), np.uint8)
    for factor in _LEVELS:
        old, new = previous.downscale(factor), current.downscale(factor)
        start = _conjugate(motion, np.linalg.inv(old.to_full())).astype(np.float32)
        static = cv2.warpAffine(old.static, start, new.static.shape[::-1], flags=cv2.INTER_NEAREST)
        # Eroded as far as blur and gradient reach.
        static = cv2.erode(np.minimum(static, new.static), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        try:
            _, warp = cv2.findTransformECC(old.gray, new.gray, start, cv2.MOTION_AFFINE, _CRITERIA, static, _BLUR)
        except cv2.error:  # it did not converge, or nothing is left to compare
            return IDENTITY
        motion = _conjugate(np.asarray(warp, np.float64), old.to_full())
    return motion


def _is_plausible(previous: _ResizedImage, current: _ResizedImage, motion: Floats) -> bool:
    """Returns True if the images agree under the motion, clearly better than without it, and nearly nowhere worse."""
    if motion is IDENTITY or not np.isfinite(motion).all():
        return False
    (aligned, valid), (unaligned, valid_unaligned) = (_correlation(previous, current, m) for m in (motion, IDENTITY))
    compared = valid & valid_unaligned
    if not compared.any() or compared.mean() < _MIN_COMPARED:
        return False
    aligned, unaligned = aligned[compared], unaligned[compared]
    correlation, worse = aligned.mean(), aligned < unaligned - _LOSS
    clearly_better = 1 - correlation < _MAX_REMAINDER * (1 - unaligned.mean())
    return bool(correlation >= _MIN_CORRELATION and clearly_better and worse.mean() <= _MAX_WORSE)


def _correlation(previous: _ResizedImage, current: _ResizedImage, motion: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Computes the correlation of the blocks of two images, the second warped back by the motion between them.

    Returns it from -1 to 1, float64 (h / 16, w / 16), and True where it is valid: for blocks with texture that lie
    inside of the second image and outside of all boxes.
    """
    small, size = _conjugate(motion, np.linalg.inv(previous.to_full())), previous.gray.shape[::-1]
    images, flags = (current.gray.astype(np.float64), current.static), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped, static = (cv2.warpAffine(image, small, size, flags=flags) for image in images)
    a, b = previous.gray - 128.0, warped - 128.0
    mean_a, mean_b = _block_means(a), _block_means(b)
    variance_a, variance_b = _block_means(a * a) - mean_a**2, _block_means(b * b) - mean_b**2
    covariance = _block_means(a * b) - mean_a * mean_b
    inside = _block_means(np.minimum(previous.static, static) / 255.0) == 1
    correlation = covariance / np.sqrt(np.maximum(variance_a, 1) * np.maximum(variance_b, 1))
    return correlation, inside & (variance_a > _MIN_TEXTURE**2)


def _block_means(values: Floats) -> Floats:
    """Returns the means of blocks, (h, w) -> (h / 16, w / 16), without the rows and columns that fill no block."""
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    inside = values[: rows * _BLOCK, : columns * _BLOCK]
    means: Floats = inside.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    return means
