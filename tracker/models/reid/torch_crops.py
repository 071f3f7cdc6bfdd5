"""Embedders and classifiers that PyTorch computes, on any device."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from tracker.models.model_file import ModelInfo
from tracker.models.reid.embedder import Classifier, Embedder, FloatArray, Uploaded, crop_corners, crop_image
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime.device import AnyDevice, upload


class TorchCrops:
    """The crops of boxes through a module of PyTorch: embeddings, or probabilities of a classifier."""

    def __init__(self, model: AppearanceNetwork, info: ModelInfo, device: AnyDevice) -> None:
        """Takes the network, which is set to evaluation mode."""
        self._device = torch.device(str(device))
        self._size = info.size
        self._classifies = info.task == "classification"
        self.model = model.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.num_outputs = len(info.categories) if self._classifies else model.dimension

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        return upload(images, self._device)

    @torch.inference_mode()
    def __call__(self, images: Sequence[Uploaded], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        counts = [len(rows) for rows in boxes]
        if not sum(counts):
            return [np.zeros((0, self.num_outputs), np.float32) for _ in boxes]
        crops = torch.cat([self._crop(image, rows) for image, rows in zip(images, boxes, strict=True)])
        prepared = crops.float().contiguous(memory_format=torch.channels_last)
        outputs = self.model.logits(prepared).softmax(1) if self._classifies else self.model(prepared)
        return np.split(outputs.cpu().numpy(), np.cumsum(counts)[:-1])

    def _crop(self, image: Uploaded, boxes: FloatArray) -> Tensor:
        """Cuts all pixels that each box touches out of an image and resizes them to uint8 (N, 3, *size)."""
        if self._device.type == "cpu":  # like all backends of the CPU
            return torch.from_numpy(crop_image(np.asarray(image), boxes, self._size)).permute(0, 3, 1, 2)
        crops = [
            F.resize(image[:, y1:y2, x1:x2], list(self._size), antialias=True) for x1, y1, x2, y2 in crop_corners(boxes)
        ]
        return torch.stack(crops) if crops else image.new_empty((0, 3, *self._size))


def torch_embedder(
    model: AppearanceNetwork, info: ModelInfo, device: AnyDevice, threads: int = 0, backend: str = "torch"
) -> Embedder:
    """Returns the embedder of a network; `backend` names that of its body."""
    return Embedder(TorchCrops(model, info, device), info, device, threads, backend)


def torch_classifier(
    model: AppearanceNetwork, info: ModelInfo, device: AnyDevice, threads: int = 0, backend: str = "torch"
) -> Classifier:
    """Returns the classifier of a network; `backend` names that of its body."""
    return Classifier(TorchCrops(model, info, device), info, device, threads, backend)
