"""A second look at given boxes: the detector's own RoI head, on feature maps that are there already.

Where the detector found nothing, a tracker still has a box that it predicted. The head that judges the proposals can
judge that box too: whether its class is there, and where the object's edges are. And of a box that was found, the maps
also tell what the object in it looks like (see `regions`).

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
from tracker.models.detection.roi_embeddings import embed_regions
from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections


@dataclass(frozen=True, eq=False, slots=True)
class CachedFeatures:
    """What the RoI head was given for one picture.

    Attributes:
        maps: Feature maps by name, (1, C, h, w) each, on the network's device.
        size: Height and width of the picture in the network's own pixels.
    """

    maps: dict[str, Tensor]
    size: tuple[int, int]


NOTHING = CachedFeatures({}, (0, 0))


def find_roi_heads(model: nn.Module, name: str) -> RoIHeads:
    """The part of a network that judges proposals.

    Args:
        model: The network.
        name: What people call it.

    Raises:
        InputError: It has none, as RetinaNet, FCOS and SSD have none.
    """
    for part in model.modules():
        if isinstance(part, RoIHeads):
            return part
    raise InputError(
        f"{name} has no RoI head to rescore predicted boxes or to take embeddings from: set rescore to 0 and "
        "appearance.embedding_source to network, or choose builtin or a Faster R-CNN"
    )


def cache_features_hook(heads: nn.Module, given: tuple[Any, ...], output: Any) -> None:
    """A forward hook for RoI heads: puts a `CachedFeatures` under "kept" into what they say of each picture."""
    maps, _, sizes = given[:3]
    for n, found in enumerate(output[0]):
        found["kept"] = CachedFeatures({name: tensor[n : n + 1] for name, tensor in maps.items()}, sizes[n])


T = TypeVar("T")


class Runner(Protocol):
    """Calls a function where networks are to be computed."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


class Rescorer:
    """Judges and embeds boxes of one picture, whose feature maps it holds; on a GPU those of the whole batch.

    The rows of one call are computed together; in another company a row comes out the same but for rounding.
    """

    def __init__(
        self,
        heads: RoIHeads,
        kept: CachedFeatures,
        size: tuple[int, int],
        run: Runner,
    ) -> None:
        """Takes what the detector kept of a picture.

        Args:
            heads: The network's RoI heads.
            kept: What they were given for the picture.
            size: Height and width of the picture, pixels.
            run: Calls a function where networks are to be computed.
        """
        self.heads = heads
        self.kept = kept
        self.size = size
        self._run = run

    def __call__(self, boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
        """Says how likely each box shows its class, and where the object's edges are.

        Args:
            boxes: float32 (M, 4) xyxy, pixels of the picture.
            labels: int64 (M,), indices into the detector's categories.

        Returns:
            M rows in the same order with the same labels. The score is the softmax probability of the label for the
            part of the box inside the picture; the box is the one that the head makes of it, clipped to the picture.
            A row gets score 0 and keeps its box where that has no area in the picture, before or after, and where the
            network has no such label.

        Raises:
            TypeError, ValueError: An array has another dtype or shape.
            RuntimeError: The detector was closed.
        """
        given = Detections(boxes, np.zeros(len(boxes), np.float32), labels)
        height, width = self.size
        inside = clip(boxes, width, height)
        solid = area(inside) > 0
        return self._run(lambda: self._judge(given, inside, solid)) if solid.any() else given

    def embed(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Says what boxes of the picture look like to the detector.

        Args:
            boxes: float32 (M, 4) xyxy, pixels of the picture, inside it.

        Returns:
            float32 (M, D), see `embed_regions`.

        Raises:
            RuntimeError: The detector was closed.
        """
        return self._run(lambda: self._embed(boxes))

    @torch.inference_mode()
    def _embed(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        regions = self._scaled(boxes)
        return embed_regions(self.heads.box_roi_pool, self.kept.maps, regions, self.kept.size).cpu().numpy()

    @torch.inference_mode()
    def _judge(self, given: Detections, inside: NDArray[np.float32], solid: NDArray[np.bool_]) -> Detections:
        """Replaces the `solid` rows of `given` that the network knows a class for."""
        rows = np.flatnonzero(solid)
        probabilities, regressed = self._heads_on(self._scaled(inside[rows]))
        known = (given.labels[rows] >= 0) & (given.labels[rows] < probabilities.shape[1] - 1)
        rows, columns = rows[known], given.labels[rows[known]] + 1  # the background is column 0
        found = clip(regressed[known, columns] / self._factor, self.size[1], self.size[0])
        seen = area(found) > 0
        boxes, scores = given.boxes.copy(), given.scores.copy()
        boxes[rows[seen]] = found[seen]
        scores[rows[seen]] = probabilities[known, columns][seen]
        return Detections(boxes, scores, given.labels)

    def _heads_on(self, proposals: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(M, 4) xyxy in the network's pixels -> probabilities (M, C) and boxes (M, C, 4) of all its classes."""
        pooled = self.heads.box_roi_pool(self.kept.maps, [proposals], [self.kept.size])
        logits, offsets = self.heads.box_predictor(self.heads.box_head(pooled))
        boxes = self.heads.box_coder.decode(offsets, [proposals])
        return logits.softmax(1).cpu().numpy(), boxes.cpu().numpy()

    @property
    def _factor(self) -> NDArray[np.float32]:
        """(4,): the network's pixels in one of the picture's."""
        return np.array([self.kept.size[1] / self.size[1], self.kept.size[0] / self.size[0]] * 2, np.float32)

    def _scaled(self, boxes: NDArray[np.float32]) -> Tensor:
        """(M, 4) xyxy in the picture's pixels -> in the network's, beside its maps."""
        device = next(iter(self.kept.maps.values())).device
        return torch.from_numpy(boxes * self._factor).to(device)
