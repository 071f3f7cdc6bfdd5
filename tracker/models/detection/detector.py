"""Detectors that run on images: on any device, with the same results at any batch size and number of threads."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.transforms.v2 import functional as F

from tracker.data.image_input import Picture, to_images
from tracker.models.detection.rescoring import EMPTY, CachedFeatures, Rescorer, cache_features_hook, find_roi_heads
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import inference_executor, upload
from tracker.structures.boxes import Rectangle, area, clip
from tracker.structures.types import Detections

T = TypeVar("T")
Tiles = Sequence[Sequence[Rectangle] | None]


class Detector:
    """A detection network with its preprocessing and postprocessing; `load_detector` makes one, see its example.

    On the CPU each image is computed alone, by one thread on one core (see `inference_executor`), and several such
    threads work on a batch at the same time. So neither batch size nor thread count changes the arithmetic.

    Attributes:
        info: The description of the network; `info.categories[label]` names a label.
        device: The device of the network.
        backend: The backend of the network: torch, openvino or onnxruntime.
        size: Longest and shortest side to which larger images are reduced, pixels; (0, 0) where the network resizes.
    """

    def __init__(
        self,
        model: nn.Module,
        info: ModelInfo,
        device: torch.device,
        threads: int = 0,
        class_ids: Sequence[int] = (),
        masks: bool = True,
        backend: str = "torch",
        size: tuple[int, int] | None = None,
    ) -> None:
        """Takes a network in torchvision's detection form: a list of (3, H, W) from 0 to 255 in, dicts out.

        Args:
            model: The network; it is set to evaluation mode.
            info: Its description.
            device: The device to run on.
            threads: CPU threads, 0 for the number of cores.
            class_ids: Labels of the classes to detect; empty for all.
            masks: Predict masks too, if the network has a mask head.
            backend: The backend of the network's parts, see `compile_detector`.
            size: Longest and shortest side to which larger images are reduced, pixels; (0, 0) leaves them as they are.
                The default is that of the description.
        """
        self.size = info.size if size is None else size
        self.info = info
        self.class_ids = np.array(class_ids or range(len(info.categories)), np.int64)
        self.device = device
        self.backend = backend
        self.model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._executor = inference_executor(device, threads, "detect")
        self._resources = ExitStack()
        self._resources.callback(self._executor.shutdown)
        for module in self.model.modules():
            if isinstance(module, RoIHeads) and module.has_mask():
                self._set_mask_output(module, masks)

    def close(self) -> None:
        """Ends the worker threads and removes the hooks from the network."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Converts images (H, W, 3) RGB to uint8 tensors (3, H, W) on the device."""
        return upload(images, self.device)

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

    def detect_tensors(self, images: Sequence[Tensor], tiles: Tiles = ()) -> list[Detections]:
        """Detects the objects in images that `upload` returned; otherwise like `detect`.

        Args:
            images: uint8 (3, H, W) RGB each.
            tiles: For a `TiledDetector`: the tiles of each image, None for all of its grid; empty for None everywhere.
        """
        return [detections for detections, _ in self._detect(images, tiles)]

    def detect_with_features(
        self, images: Sequence[Tensor], tiles: Tiles = ()
    ) -> tuple[list[Detections], list[Rescorer]]:
        """Detects like `detect_tensors`, and also returns a Rescorer for each image, which rescores and embeds boxes.

        A Rescorer works until the detector is closed. Release it soon: it holds the feature maps of its image (0.9 MB
        with the built-in detector, some 90 MB with a ResNet-50), and on a GPU those of the whole batch.

        Raises:
            InputError: The network has no RoI head.
        """
        roi_heads = self._caching_roi_heads
        pairs = self._detect(images, tiles)
        rescorers = [
            Rescorer(roi_heads, features, (image.shape[1], image.shape[2]), self._run_in_worker)
            for (_, features), image in zip(pairs, images, strict=True)
        ]
        return [detections for detections, _ in pairs], rescorers

    def rectangles(self, height: int, width: int) -> list[Rectangle]:
        """Returns the tiles in which an image of this size is detected too; none without tiles."""
        return []

    def enable_feature_cache(self) -> None:
        """Prepares for `detect_with_features`, which does it too; call it after loading to get an error early.

        Raises:
            InputError: The network has no RoI head.
        """
        _ = self._caching_roi_heads

    @cached_property
    def _caching_roi_heads(self) -> RoIHeads:
        """The network's RoI heads, with a hook that adds their inputs to their outputs until the detector is closed."""
        roi_heads = find_roi_heads(self.model, self.info.architecture)
        self._resources.callback(roi_heads.register_forward_hook(cache_features_hook).remove)
        return roi_heads

    def _set_mask_output(self, roi_heads: RoIHeads, masks: bool) -> None:
        """Makes RoI heads output mask probabilities on the grid of each box, or no masks, until `close`."""
        if masks:
            self._resources.callback(roi_heads.register_forward_hook(keep_mask_probs_hook).remove)
        else:
            self._resources.callback(setattr, roi_heads, "mask_roi_pool", roi_heads.mask_roi_pool)
            roi_heads.mask_roi_pool = None

    def _detect(self, images: Sequence[Tensor], tiles: Tiles = ()) -> list[tuple[Detections, CachedFeatures]]:
        if self.device.type == "cpu":
            return list(self._executor.map(lambda image: self._infer([image])[0], images))
        return self._infer(images)

    def _run_in_worker(self, function: Callable[[], T]) -> T:
        """Calls a function like the network: on the CPU in a worker thread, which uses one core."""
        return self._executor.submit(function).result() if self.device.type == "cpu" else function()

    @torch.inference_mode()
    def _infer(self, images: Sequence[Tensor]) -> list[tuple[Detections, CachedFeatures]]:
        """Returns the detections of the requested classes in each image, and its features if they are cached."""
        inputs = [self._preprocess(image) for image in images]
        outputs = self.model(inputs)
        tables = _to_numpy(outputs)
        results = []
        for table, output, resized, image in zip(tables, outputs, inputs, images, strict=True):
            detections = _to_detections(table, output, resized.shape, image.shape)
            selected = detections[np.isin(detections.labels, self.class_ids)]
            results.append((selected, output.get("cached_features", EMPTY)))
        return results

    def _preprocess(self, image: Tensor) -> Tensor:
        if self.size != (0, 0):
            height, width = resized_shape(image.shape[1], image.shape[2], *self.size)
            image = F.resize(image, [height, width], antialias=True)
        return image.to(torch.float32, memory_format=torch.contiguous_format)


def resized_shape(height: int, width: int, longest: int, shortest: int) -> tuple[int, int]:
    """Returns height and width of an image reduced to fit `longest` x `shortest`, portrait or landscape.

    Example:
        >>> resized_shape(720, 1280, 640, 640), resized_shape(240, 320, 640, 640)
        ((360, 640), (240, 320))
    """
    factor = min(1, longest / max(height, width), shortest / min(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def keep_mask_probs_hook(roi_heads: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Renames "masks" to "mask_probs" in each image's output; a forward hook for RoI heads.

    Torchvision pastes "masks" into the image, which takes 8 MB for each object in an image of 1920x1080.
    """
    for detections in output[0]:
        detections["mask_probs"] = detections.pop("masks")


def _to_numpy(outputs: Sequence[dict[str, Tensor]]) -> list[NDArray[np.float32]]:
    """Returns boxes, scores and labels of each image, (N, 6), in one copy from the device: each copy waits for it."""
    tables = [
        torch.cat([o["boxes"], o["scores"][:, None], o["labels"][:, None].to(o["boxes"].dtype)], 1) for o in outputs
    ]
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return np.split(torch.cat(tables).cpu().numpy(), ends)


def _to_detections(
    table: NDArray[np.float32], output: dict[str, Tensor], resized: torch.Size, original: torch.Size
) -> Detections:
    scale = np.array([original[2] / resized[2], original[1] / resized[1]] * 2, np.float32)
    boxes = clip(table[:, :4] * scale, original[2], original[1])
    detections = Detections(boxes, np.ascontiguousarray(table[:, 4]), table[:, 5].astype(np.int64) - 1)
    if "mask_probs" in output:
        masks = (output["mask_probs"][:, 0].float() * 255).round().to(torch.uint8)
        detections = detections.with_data(masks=masks.cpu().numpy())
    return detections[area(boxes) > 0]
