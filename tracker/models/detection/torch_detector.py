"""Detectors that PyTorch computes, on any device; parts of the network may run on another backend."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.transforms.v2 import functional as F

from tracker.errors import InputError
from tracker.models.detection.detector import Detector
from tracker.models.detection.rescoring import EMPTY, CachedFeatures
from tracker.models.detection.roi_embeddings import embed_rois
from tracker.models.detection.tiles import Tiling
from tracker.models.model_file import ModelInfo
from tracker.models.runtime.device import AnyDevice, upload
from tracker.models.runtime.resizing import resize_image
from tracker.structures.types import Detections


class TorchDetector(Detector):
    """A detector whose network is a module of PyTorch."""

    def __init__(
        self,
        model: nn.Module,
        info: ModelInfo,
        device: AnyDevice,
        threads: int = 0,
        class_ids: Sequence[int] = (),
        masks: bool = True,
        backend: str = "torch",
        size: tuple[int, int] | None = None,
        tiling: Tiling | None = None,
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
            size: See `Detector`.
            tiling: See `Detector`.
        """
        super().__init__(info, device, threads, class_ids, backend, size, tiling)
        self._torch_device = torch.device(str(device))
        self.model = model.eval().to(self._torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self.model.modules():
            if isinstance(module, RoIHeads) and module.has_mask():
                self._set_mask_output(module, masks)

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        return upload(images, self._torch_device)

    def enable_feature_cache(self) -> None:
        _ = self._caching_roi_heads

    def _roi_head(self) -> "TorchRoIHead":
        return TorchRoIHead(self._caching_roi_heads)

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

    @torch.inference_mode()
    def _infer(self, images: Sequence[Tensor]) -> list[tuple[Detections, CachedFeatures]]:
        inputs = [self._preprocess(image) for image in images]
        outputs = self.model(inputs)
        tables = _to_numpy(outputs)
        results = []
        for table, output, resized, image in zip(tables, outputs, inputs, images, strict=True):
            shapes = (resized.shape[1], resized.shape[2]), (image.shape[1], image.shape[2])
            detections = self._to_image(_to_detections(table, output), *shapes)
            results.append((detections, output.get("cached_features", EMPTY)))
        return results

    def _preprocess(self, image: Tensor) -> Tensor:
        height, width = self._resized_shape(image.shape[1], image.shape[2])
        if (height, width) != image.shape[1:]:
            if self.device.type == "cpu":  # like all backends of the CPU
                resized = resize_image(image.permute(1, 2, 0).numpy(), height, width)
                image = torch.tensor(resized).permute(2, 0, 1)
            else:
                image = F.resize(image, [height, width], antialias=True)
        return image.to(torch.float32, memory_format=torch.contiguous_format)


class TorchRoIHead:
    """Torchvision's RoI heads as the head of a `Rescorer`."""

    def __init__(self, roi_heads: RoIHeads) -> None:
        self.roi_heads = roi_heads

    @torch.inference_mode()
    def score(
        self, features: CachedFeatures, boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        proposals = _to_device(boxes, features)
        pooled = self.roi_heads.box_roi_pool(features.feature_maps, [proposals], [features.image_size])
        logits, offsets = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        regressed = self.roi_heads.box_coder.decode(offsets, [proposals])[:, 1:]  # the background is number 0
        scores: Tensor = self.roi_heads.selector.class_scores(logits)
        return scores.cpu().numpy(), regressed.cpu().numpy()

    @torch.inference_mode()
    def embed(self, features: CachedFeatures, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        rois, pool = _to_device(boxes, features), self.roi_heads.box_roi_pool
        return embed_rois(pool, features.feature_maps, rois, features.image_size).cpu().numpy()


def _to_device(boxes: NDArray[np.float32], features: CachedFeatures) -> Tensor:
    device = next(iter(features.feature_maps.values())).device
    return torch.from_numpy(boxes).to(device)


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


def keep_mask_probs_hook(roi_heads: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Renames "masks" to "mask_probs" in each image's output; a forward hook for RoI heads.

    Torchvision pastes "masks" into the image, which takes 8 MB for each object in an image of 1920x1080.
    """
    for detections in output[0]:
        detections["mask_probs"] = detections.pop("masks")


def _to_numpy(outputs: Sequence[Mapping[str, Tensor]]) -> list[NDArray[np.float32]]:
    """Returns boxes, scores and labels of each image, (N, 6), in one copy from the device: each copy waits for it."""
    tables = [
        torch.cat([o["boxes"], o["scores"][:, None], o["labels"][:, None].to(o["boxes"].dtype)], 1) for o in outputs
    ]
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return np.split(torch.cat(tables).cpu().numpy(), ends)


def _to_detections(table: NDArray[np.float32], output: Mapping[str, Tensor]) -> Detections:
    boxes, scores = np.ascontiguousarray(table[:, :4]), np.ascontiguousarray(table[:, 4])
    detections = Detections(boxes, scores, table[:, 5].astype(np.int64) - 1)
    if "mask_probs" not in output:
        return detections
    masks = (output["mask_probs"][:, 0].float() * 255).round().to(torch.uint8)
    return detections.with_data(masks=masks.cpu().numpy())
