"""Pictures in, detections out, on any device, with the same answer at any batch size and number of threads."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.transforms.v2 import functional as F

from tracker.models.detection.rescoring import NOTHING, CachedFeatures, Rescorer, cache_features_hook, find_roi_heads
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import picture_workers, upload
from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections, MaskedDetections

T = TypeVar("T")


class Detector:
    """A detection network and the way that pictures are prepared for it.

    On the CPU each picture is computed alone, by one thread on one core (see `picture_workers`), and several such
    threads work on a batch side by side. So neither batch size nor thread count changes the arithmetic.

    Attributes:
        info: What the network was trained for; `info.categories[label]` names a label.
        device: Where it runs.
        backend: What computes it: torch, openvino or onnxruntime.
    """

    def __init__(
        self,
        model: nn.Module,
        info: ModelInfo,
        device: torch.device,
        threads: int = 0,
        keep: Sequence[int] = (),
        masks: bool = True,
        backend: str = "torch",
    ) -> None:
        """Takes a network in torchvision's detection form: list of (3, H, W) from 0 to 255 in, dicts out.

        Args:
            model: The network; it is put into evaluation mode.
            info: What it was trained for.
            device: Where it shall run.
            threads: CPU threads, 0 for as many as there are cores.
            keep: Labels to keep; none keeps all.
            masks: Compute masks too, where the network has them.
            backend: What computes the network's parts, see `compile_parts`.
        """
        self.info = info
        self.keep = np.array(keep or range(len(info.categories)), np.int64)
        self.device = device
        self.backend = backend
        self.model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._workers = picture_workers(device, threads, "detect")
        self._resources = ExitStack()
        self._resources.callback(self._workers.shutdown)
        for heads in self.model.modules():
            if isinstance(heads, RoIHeads) and heads.has_mask():
                self._choose_masks(heads, masks)

    def close(self) -> None:
        """Ends the worker threads."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures (H, W, 3) RGB -> uint8 tensors (3, H, W) on the device."""
        return upload(images, self.device)

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Finds the objects in pictures.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.

        Returns:
            One Detections a picture: boxes in its pixels, best first; MaskedDetections from a network with masks.
        """
        return self.detect_tensors(self.upload(images))

    def detect_tensors(self, images: Sequence[Tensor]) -> list[Detections]:
        """As `detect`, for pictures that `upload` has put on the device."""
        return [found for found, _ in self._detect(images)]

    def detect_with_features(self, images: Sequence[Tensor]) -> tuple[list[Detections], list[Rescorer]]:
        """As `detect_tensors`; with each picture's detections comes what can judge and embed boxes of it.

        A Rescorer works as long as the detector is open. Let it go soon: it holds its picture's feature maps (0.9 MB
        with the built-in detector, some 90 MB with a ResNet-50), and on a GPU those of the whole batch.

        Raises:
            InputError: As `enable_feature_cache`.
        """
        heads = self._watched_heads
        pairs = self._detect(images)
        rescorers = [
            Rescorer(heads, kept, (image.shape[1], image.shape[2]), self._on_one_core)
            for (_, kept), image in zip(pairs, images, strict=True)
        ]
        return [found for found, _ in pairs], rescorers

    def enable_feature_cache(self) -> None:
        """Makes ready for `detect_with_features`, which does it too; call it after loading to hear of a problem early.

        Raises:
            InputError: The network has no RoI head.
        """
        _ = self._watched_heads

    @cached_property
    def _watched_heads(self) -> RoIHeads:
        """The network's RoI heads; from now on, until the detector is closed, its outputs tell what they were given."""
        heads = find_roi_heads(self.model, self.info.architecture)
        self._resources.callback(heads.register_forward_hook(cache_features_hook).remove)
        return heads

    def _choose_masks(self, heads: RoIHeads, masks: bool) -> None:
        """Has RoI heads give masks, as cells of their boxes, or none, until the detector is closed."""
        if masks:
            self._resources.callback(heads.register_forward_hook(keep_mask_logits_hook).remove)
        else:
            self._resources.callback(setattr, heads, "mask_roi_pool", heads.mask_roi_pool)
            heads.mask_roi_pool = None

    def _detect(self, images: Sequence[Tensor]) -> list[tuple[Detections, CachedFeatures]]:
        if self.device.type == "cpu":
            return list(self._workers.map(lambda image: self._infer([image])[0], images))
        return self._infer(images)

    def _on_one_core(self, function: Callable[[], T]) -> T:
        """Calls a function as pictures are computed: on the CPU in a thread that has one core to itself."""
        return self._workers.submit(function).result() if self.device.type == "cpu" else function()

    @torch.inference_mode()
    def _infer(self, images: Sequence[Tensor]) -> list[tuple[Detections, CachedFeatures]]:
        """Detections of the wanted classes for each picture, and what the RoI heads were given, if they are watched."""
        prepared = [self._prepare(image) for image in images]
        outputs = self.model(prepared)
        rows = _fetched(outputs)
        found = [
            _detections(r, o, p.shape, i.shape) for r, o, p, i in zip(rows, outputs, prepared, images, strict=True)
        ]
        wanted = [detections[np.isin(detections.labels, self.keep)] for detections in found]
        return [(detections, o.get("kept", NOTHING)) for detections, o in zip(wanted, outputs, strict=True)]

    def _prepare(self, image: Tensor) -> Tensor:
        if self.info.size != (0, 0):
            height, width = resized(image.shape[1], image.shape[2], *self.info.size)
            image = F.resize(image, [height, width], antialias=True)
        return image.to(torch.float32, memory_format=torch.contiguous_format)


def resized(height: int, width: int, longest: int, shortest: int) -> tuple[int, int]:
    """Height and width of a picture that just fits `longest` x `shortest`, whichever way up."""
    factor = min(longest / max(height, width), shortest / min(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def keep_mask_logits_hook(heads: nn.Module, given: tuple[Any, ...], output: Any) -> None:
    """A forward hook for RoI heads: renames each picture's "masks" to "cells".

    Torchvision pastes what is called masks into the picture, which is 8 MB for each object in a picture of 1920x1080.
    """
    for found in output[0]:
        found["cells"] = found.pop("masks")


def _fetched(outputs: Sequence[dict[str, Tensor]]) -> list[NDArray[np.float32]]:
    """Boxes, scores and labels of all pictures, (N, 6) each, brought from the device at one go: each waits for it."""
    parts = [
        torch.cat([o["boxes"], o["scores"][:, None], o["labels"][:, None].to(o["boxes"].dtype)], 1) for o in outputs
    ]
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return np.split(torch.cat(parts).cpu().numpy(), ends)


def _detections(
    rows: NDArray[np.float32], output: dict[str, Tensor], prepared: torch.Size, original: torch.Size
) -> Detections:
    factor = np.array([original[2] / prepared[2], original[1] / prepared[1]] * 2, np.float32)
    boxes = clip(rows[:, :4] * factor, original[2], original[1])
    scores, labels = np.ascontiguousarray(rows[:, 4]), rows[:, 5].astype(np.int64) - 1
    found = Detections(boxes, scores, labels)
    if "cells" in output:
        cells = (output["cells"][:, 0].float() * 255).round().to(torch.uint8)
        found = MaskedDetections(boxes, scores, labels, cells.cpu().numpy())
    return found[area(boxes) > 0]
