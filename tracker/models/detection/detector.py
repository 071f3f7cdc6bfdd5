"""Detectors that run on images: on any device, with the same results at any batch size and number of threads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.data.image_input import Picture, to_images
from tracker.models.detection.rescoring import CachedFeatures, Rescorer, RoIHead
from tracker.models.detection.tiles import Tiling, from_tile
from tracker.models.model_file import ModelInfo
from tracker.models.runtime.device import AnyDevice, inference_executor
from tracker.structures.boxes import Rectangle, area, clip
from tracker.structures.types import Detections

T = TypeVar("T")
Tiles = Sequence[Sequence[Rectangle] | None]
Uploaded = Any
"""An image on a detector's device: (3, H, W) uint8 RGB, a NumPy array or a tensor of PyTorch."""


class Detector(ABC):
    """A detection network with its preprocessing and postprocessing; `load_detector` makes one, see its example.

    On the CPU each image is computed alone, by one thread on one core (see `inference_executor`), and several such
    threads work on a batch at the same time. So neither batch size nor thread count changes the arithmetic.

    Attributes:
        info: The description of the network; `info.categories[label]` names a label.
        device: The device of the network.
        backend: The backend of the network: torch, openvino or onnxruntime.
        size: Longest and shortest side to which larger images are reduced, pixels; (0, 0) where the network resizes.
        class_scores: float32 (C,), score threshold of each class; empty for that of the network alone.
    """

    def __init__(
        self,
        info: ModelInfo,
        device: AnyDevice,
        threads: int = 0,
        class_ids: Sequence[int] = (),
        backend: str = "torch",
        size: tuple[int, int] | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        """Takes what all networks have.

        Args:
            info: The description of the network.
            device: The device to run on.
            threads: CPU threads, 0 for the number of cores.
            class_ids: Labels of the classes to detect; empty for all.
            backend: The library that computes the network.
            size: Longest and shortest side to which larger images are reduced, pixels; (0, 0) leaves them as they are.
                The default is that of the description.
            tiling: The parts of each image in which it detects as well; None for none.
        """
        self.class_scores = np.zeros(0, np.float32)
        self.size = info.size if size is None else size
        self.info = info
        self.class_ids = np.array(class_ids or range(len(info.categories)), np.int64)
        self.device = device
        self.backend = backend
        self.tiling = tiling
        self._executor = inference_executor(device, threads, "detect")
        self._resources = ExitStack()
        self._resources.callback(self._executor.shutdown)

    def close(self) -> None:
        """Ends the worker threads, and restores the network."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Uploaded]:
        """Converts images (H, W, 3) RGB to uint8 arrays (3, H, W) on the device."""

    @abstractmethod
    def enable_feature_cache(self) -> None:
        """Prepares for `detect_with_features`, which does it too; call it after loading to get an error early.

        Raises:
            InputError: The network has no RoI head.
        """

    @abstractmethod
    def _roi_head(self) -> RoIHead:
        """Returns the head of the network, whose features are cached from now on."""

    @abstractmethod
    def _infer(self, images: Sequence[Uploaded]) -> list[tuple[Detections, CachedFeatures]]:
        """Returns the detections of the requested classes in each image, and its features if they are cached."""

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Detects the objects in images.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes, or what `to_image` converts to it.

        Raises:
            InputError: One of them is no picture.

        Returns:
            The detections of each image, sorted by descending score, boxes in pixels of the image; `data["masks"]` if
            the network predicts masks.
        """
        return self.detect_tensors(self.upload(to_images(images)))

    def detect_tensors(self, images: Sequence[Uploaded], tiles: Tiles = ()) -> list[Detections]:
        """Detects the objects in images that `upload` returned; otherwise like `detect`.

        Args:
            images: uint8 (3, H, W) RGB each.
            tiles: With tiling, the tiles of each image, None for all of its grid; empty for None everywhere.
        """
        return [detections for detections, _ in self._detect(images, tiles)]

    def detect_with_features(
        self, images: Sequence[Uploaded], tiles: Tiles = ()
    ) -> tuple[list[Detections], list[Rescorer]]:
        """Detects like `detect_tensors`, and also returns a Rescorer for each image, which rescores and embeds boxes.

        A Rescorer works until the detector is closed. Release it soon: it holds the feature maps of its image (0.9 MB
        with the built-in detector, some 90 MB with a ResNet-50), and on a GPU those of the whole batch.

        Raises:
            InputError: The network has no RoI head.
        """
        head = self._roi_head()
        pairs = self._detect(images, tiles)
        rescorers = [
            Rescorer(head, features, (image.shape[1], image.shape[2]), self._run_in_worker)
            for (_, features), image in zip(pairs, images, strict=True)
        ]
        return [detections for detections, _ in pairs], rescorers

    def rectangles(self, height: int, width: int) -> list[Rectangle]:
        """Returns the tiles in which an image of this size is detected too; none without tiles."""
        return self.tiling.rectangles(height, width, self.size[0]) if self.tiling else []

    def _detect(self, images: Sequence[Uploaded], tiles: Tiles = ()) -> list[tuple[Detections, CachedFeatures]]:
        if self.tiling is None:
            return self._detect_whole(images)
        grids: list[Sequence[Rectangle]] = [
            self.rectangles(image.shape[1], image.shape[2]) if given is None else given
            for image, given in zip(images, tiles or [None] * len(images), strict=True)
        ]
        crops = [
            crop
            for image, grid in zip(images, grids, strict=True)
            for crop in (image, *(image[:, y1:y2, x1:x2] for x1, y1, x2, y2 in grid))
        ]
        remaining = iter(self._detect_whole(crops))
        results = []
        for image, grid in zip(images, grids, strict=True):
            whole, features = next(remaining)
            parts = [from_tile(next(remaining)[0], tile, image.shape[1], image.shape[2]) for tile in grid]
            results.append((self.tiling.merge([whole, *parts]) if grid else whole, features))
        return results

    def _detect_whole(self, images: Sequence[Uploaded]) -> list[tuple[Detections, CachedFeatures]]:
        if self.device.type == "cpu":
            return list(self._executor.map(lambda image: self._infer([image])[0], images))
        return self._infer(images)

    def _run_in_worker(self, function: Callable[[], T]) -> T:
        """Calls a function like the network: on the CPU in a worker thread, which uses one core."""
        return self._executor.submit(function).result() if self.device.type == "cpu" else function()

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width to which an image is resized for the network."""
        return (height, width) if self.size == (0, 0) else resized_shape(height, width, *self.size)

    def _to_image(self, detections: Detections, resized: tuple[int, int], original: tuple[int, int]) -> Detections:
        """Converts detections in the network's pixels to an image's, without empty boxes and other classes.

        Args:
            detections: Boxes in pixels of the resized image.
            resized: Height and width of that.
            original: Height and width of the image.
        """
        scale = np.array([original[1] / resized[1], original[0] / resized[0]] * 2, np.float32)
        boxes = clip(detections.boxes * scale, original[1], original[0])
        scaled = Detections(boxes, detections.scores, detections.labels, detections.data)
        keep = (area(boxes) > 0) & np.isin(detections.labels, self.class_ids)
        if len(self.class_scores):
            keep &= detections.scores >= self.class_scores[detections.labels]
        return scaled[keep]


def resized_shape(height: int, width: int, longest: int, shortest: int) -> tuple[int, int]:
    """Returns height and width of an image reduced to fit `longest` x `shortest`, portrait or landscape.

    Example:
        >>> resized_shape(720, 1280, 640, 640), resized_shape(240, 320, 640, 640)
        ((360, 640), (240, 320))
    """
    factor = min(1, longest / max(height, width), shortest / min(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
