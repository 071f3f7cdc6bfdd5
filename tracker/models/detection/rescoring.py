"""Rescoring of given boxes by the detector's own RoI head, on feature maps that were computed already.

Where the detector missed an object, a tracker still has the box that it predicted. The head that classifies proposals
can classify that box too, and regress it to the object's edges. For boxes of detections the feature maps also give
appearance embeddings (see `roi_embeddings`).

Source: Bergmann et al. 2019, Tracking without bells and whistles, arXiv 1903.05625, section 2.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections


@dataclass(frozen=True, eq=False, slots=True)
class CachedFeatures:
    """The inputs of the RoI heads for one image.

    Attributes:
        feature_maps: Feature maps by name, (1, C, h, w) each, on the network's device: arrays or tensors.
        image_size: Height and width of the image in the network's pixels, after resizing.
    """

    feature_maps: Mapping[str, Any]
    image_size: tuple[int, int]


EMPTY = CachedFeatures({}, (0, 0))
NEUTRAL_DISTANCE = 0.18
"""Cosine distance of two regions that is no evidence for or against the same identity.

For the built-in detector, the features of a person's track and a later region are equally likely to be of the same
person and of different ones at 0.142 after half a second, at 0.160 after 3 s and at 0.182 after 7 s (ground-truth boxes
of PETS09-S2L1, 10 frames per second). A value too large does less harm than one too small. For other detectors the
value is unknown; `track eval embedder SEQUENCE --gap 5,30 --weights DETECTOR` measures it ("max distance") on a
sequence with ground truth, for `--neutral-cosine-distance`. All distances are smaller between objects that fill much of
the image."""


class RoIHead(Protocol):
    """The head of a network, which scores and embeds boxes on the feature maps of an image."""

    def score(
        self, features: CachedFeatures, boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns scores (M, C) and boxes (M, C, 4) for each class of boxes (M, 4) xyxy in the network's pixels."""

    def embed(self, features: CachedFeatures, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns embeddings (M, D) of boxes (M, 4) xyxy in the network's pixels, see `embed_rois`."""


T = TypeVar("T")


class Runner(Protocol):
    """A callable that calls a function in the thread in which networks run, and returns its result."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


class Rescorer:
    """Rescores and embeds boxes of one image, whose feature maps it holds; on a GPU those of the whole batch.

    The boxes of one call are computed together; among other boxes a box gets the same result up to rounding.
    """

    def __init__(self, head: RoIHead, features: CachedFeatures, image_size: tuple[int, int], run: Runner) -> None:
        """Takes the cached features of an image.

        Args:
            head: The network's head.
            features: Its inputs for the image.
            image_size: Height and width of the image, pixels.
            run: Calls a function in the thread in which networks run.
        """
        self.head = head
        self.features = features
        self.image_size = image_size
        self._run = run

    def __call__(self, boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
        """Scores each box for its class and regresses it to the object's edges.

        Args:
            boxes: float32 (M, 4) xyxy, pixels of the image.
            labels: int64 (M,), indices into the detector's categories.

        Returns:
            M detections in the same order with the same labels. The score is that of the label for
            the part of the box inside the image; the box is the regressed box, clipped to the image. Where the box
            has no area in the image, before or after regression, and where the network has no such label, the score
            is 0 and the box is unchanged.

        Raises:
            TypeError, ValueError: An array has another dtype or shape.
            RuntimeError: The detector was closed.
        """
        unscored = Detections(boxes, np.zeros(len(boxes), np.float32), labels)
        height, width = self.image_size
        clipped = clip(boxes, width, height)
        valid = area(clipped) > 0
        return self._run(lambda: self._rescore(unscored, clipped, valid)) if valid.any() else unscored

    def embed(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns embeddings of boxes of the image from the detector's feature maps.

        Args:
            boxes: float32 (M, 4) xyxy, pixels of the image, inside it.

        Returns:
            float32 (M, D), see `embed_rois`.

        Raises:
            RuntimeError: The detector was closed.
        """
        return self._run(lambda: self.head.embed(self.features, boxes * self._scale))

    def _rescore(self, unscored: Detections, clipped: NDArray[np.float32], valid: NDArray[np.bool_]) -> Detections:
        """Replaces the valid boxes of `unscored` whose label the network has, and their scores."""
        indices = np.flatnonzero(valid)
        probabilities, regressed = self.head.score(self.features, clipped[indices] * self._scale)
        known = (unscored.labels[indices] >= 0) & (unscored.labels[indices] < probabilities.shape[1])
        indices, columns = indices[known], unscored.labels[indices[known]]
        rescored = clip(regressed[known, columns] / self._scale, self.image_size[1], self.image_size[0])
        has_area = area(rescored) > 0
        boxes, scores = unscored.boxes.copy(), unscored.scores.copy()
        boxes[indices[has_area]] = rescored[has_area]
        scores[indices[has_area]] = probabilities[known, columns][has_area]
        return Detections(boxes, scores, unscored.labels)

    @property
    def _scale(self) -> NDArray[np.float32]:
        """The network's pixels per pixel of the image, (4,) for x, y, x, y."""
        (height, width), resized = self.image_size, self.features.image_size
        return np.array([resized[1] / width, resized[0] / height] * 2, np.float32)
