"""Rescoring of given boxes by the detector's own RoI head, on feature maps that were computed already.

Where the detector missed an object, a tracker still has the box that it predicted. The head that classifies proposals
can classify that box too, and regress it to the object's edges. For boxes of detections the feature maps also give
appearance embeddings (see `roi_embeddings`).

Source: Bergmann et al. 2019, Tracking without bells and whistles, arXiv 1903.05625, section 2.2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from tracker.errors import InputError
from tracker.models.detection.roi_embeddings import embed_rois
from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections


@dataclass(frozen=True, eq=False, slots=True)
class CachedFeatures:
    """The inputs of the RoI heads for one image.

    Attributes:
        feature_maps: Feature maps by name, (1, C, h, w) each, on the network's device.
        image_size: Height and width of the image in the network's pixels, after resizing.
    """

    feature_maps: dict[str, Tensor]
    image_size: tuple[int, int]


EMPTY = CachedFeatures({}, (0, 0))


def find_roi_heads(model: nn.Module, name: str) -> RoIHeads:
    """Returns the RoI heads of a network.

    Args:
        model: The network.
        name: Its name, for the message.

    Raises:
        InputError: The network has no RoI heads, like RetinaNet, FCOS and SSD.
    """
    for module in model.modules():
        if isinstance(module, RoIHeads):
            return module
    raise InputError(
        f"{name} has no RoI head to rescore predicted boxes or to take embeddings from: set rescore to 0 and "
        "appearance.embedding_source to network, or choose builtin or a Faster R-CNN"
    )


def cache_features_hook(roi_heads: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Adds "cached_features", a `CachedFeatures`, to each image's output; a forward hook for RoI heads."""
    feature_maps, _, image_sizes = inputs[:3]
    for n, detections in enumerate(output[0]):
        own_maps = {name: tensor[n : n + 1] for name, tensor in feature_maps.items()}
        detections["cached_features"] = CachedFeatures(own_maps, image_sizes[n])


T = TypeVar("T")


class Runner(Protocol):
    """A callable that calls a function in the thread in which networks run, and returns its result."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


class Rescorer:
    """Rescores and embeds boxes of one image, whose feature maps it holds; on a GPU those of the whole batch.

    The boxes of one call are computed together; among other boxes a box gets the same result up to rounding.
    """

    def __init__(self, roi_heads: RoIHeads, features: CachedFeatures, image_size: tuple[int, int], run: Runner) -> None:
        """Takes the cached features of an image.

        Args:
            roi_heads: The network's RoI heads.
            features: Their inputs for the image.
            image_size: Height and width of the image, pixels.
            run: Calls a function in the thread in which networks run.
        """
        self.roi_heads = roi_heads
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
        return self._run(lambda: self._embed(boxes))

    @torch.inference_mode()
    def _embed(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        features, rois = self.features, self._to_network(boxes)
        return embed_rois(self.roi_heads.box_roi_pool, features.feature_maps, rois, features.image_size).cpu().numpy()

    @torch.inference_mode()
    def _rescore(self, unscored: Detections, clipped: NDArray[np.float32], valid: NDArray[np.bool_]) -> Detections:
        """Replaces the valid boxes of `unscored` whose label the network has, and their scores."""
        indices = np.flatnonzero(valid)
        probabilities, regressed = self._run_box_head(self._to_network(clipped[indices]))
        known = (unscored.labels[indices] >= 0) & (unscored.labels[indices] < probabilities.shape[1])
        indices, columns = indices[known], unscored.labels[indices[known]]
        rescored = clip(regressed[known, columns] / self._scale, self.image_size[1], self.image_size[0])
        has_area = area(rescored) > 0
        boxes, scores = unscored.boxes.copy(), unscored.scores.copy()
        boxes[indices[has_area]] = rescored[has_area]
        scores[indices[has_area]] = probabilities[known, columns][has_area]
        return Detections(boxes, scores, unscored.labels)

    def _run_box_head(self, proposals: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns scores (M, C) and boxes (M, C, 4) for each class of proposals (M, 4) xyxy in the network's pixels."""
        pooled = self.roi_heads.box_roi_pool(self.features.feature_maps, [proposals], [self.features.image_size])
        logits, offsets = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        boxes = self.roi_heads.box_coder.decode(offsets, [proposals])[:, 1:]  # the background is number 0
        scores: Tensor = self.roi_heads.selector.class_scores(logits)
        return scores.cpu().numpy(), boxes.cpu().numpy()

    @property
    def _scale(self) -> NDArray[np.float32]:
        """The network's pixels per pixel of the image, (4,) for x, y, x, y."""
        (height, width), resized = self.image_size, self.features.image_size
        return np.array([resized[1] / width, resized[0] / height] * 2, np.float32)

    def _to_network(self, boxes: NDArray[np.float32]) -> Tensor:
        """Converts boxes (M, 4) xyxy from the image's pixels to the network's, on the feature maps' device."""
        device = next(iter(self.features.feature_maps.values())).device
        return torch.from_numpy(boxes * self._scale).to(device)
