"""Networks on crops of pictures: on any device, with the same answer at any batch size and number of threads."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from tracker.models.model_file import ModelInfo
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import picture_workers, upload

Rows = NDArray[np.float32]


class CropNetwork:
    """An appearance network and the way that crops are prepared for it.

    On the CPU the crops of each picture are computed together, by one thread that uses one core, and several such
    threads work on several pictures side by side. So neither the number of pictures handed over at once nor that
    of threads changes the arithmetic.

    Attributes:
        info: What the network was trained for.
        device: Where it runs.
        backend: What computes its body: torch, openvino or onnxruntime.
    """

    def __init__(
        self,
        model: AppearanceNetwork,
        info: ModelInfo,
        device: torch.device,
        threads: int = 0,
        backend: str = "torch",
    ) -> None:
        self.info = info
        self.device = device
        self.backend = backend
        self.model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._workers = picture_workers(device, threads, "crops")

    def close(self) -> None:
        """Ends the worker threads."""
        self._workers.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures (H, W, 3) RGB -> uint8 tensors (3, H, W) on the device."""
        return upload(images, self.device)

    def judged(self, crops: Tensor) -> Tensor:
        """float32 (B, 3, *size) RGB from 0 to 255 -> (B, columns)."""
        raise NotImplementedError

    @property
    def columns(self) -> int:
        """Numbers that the network says of a crop."""
        raise NotImplementedError

    def run(self, images: Sequence[Tensor], boxes: Sequence[Rows]) -> list[Rows]:
        """What the network says of the crops that boxes cut out of pictures.

        Args:
            images: uint8 (3, H, W) RGB each, on the network's device, of any sizes.
            boxes: float32 (N, 4) xyxy each, pixels, of positive area, inside the picture.

        Returns:
            float32 (N, columns) for each picture.

        Raises:
            ValueError: The numbers of pictures and of box arrays differ.
        """
        if len(images) != len(boxes):
            raise ValueError(f"{len(images)} pictures do not match the boxes of {len(boxes)}")
        if self.device.type == "cpu":
            return list(self._workers.map(self._infer, images, boxes))
        crops = [self._crops(image, rows) for image, rows in zip(images, boxes, strict=True)]
        counts = [len(rows) for rows in boxes]
        return np.split(self._forward(torch.cat(crops)), np.cumsum(counts)[:-1]) if crops else []

    def _infer(self, image: Tensor, boxes: Rows) -> Rows:
        return self._forward(self._crops(image, boxes))

    def _crops(self, image: Tensor, boxes: Rows) -> Tensor:
        """uint8 (N, 3, *size): the pixels that each box touches."""
        size = list(self.info.size)
        low = np.floor(boxes[:, :2]).astype(int)
        high = np.maximum(np.ceil(boxes[:, 2:]).astype(int), low + 1)
        crops = [
            F.resize(image[:, y1:y2, x1:x2], size, antialias=True)
            for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True)
        ]
        return torch.stack(crops) if crops else image.new_empty((0, 3, *size))

    @torch.inference_mode()
    def _forward(self, crops: Tensor) -> Rows:
        if len(crops) == 0:
            return np.zeros((0, self.columns), np.float32)
        prepared = crops.float().contiguous(memory_format=torch.channels_last)
        return self.judged(prepared).cpu().numpy()


class Embedder(CropNetwork):
    """Crops of pictures in, unit vectors out; `info.categories` are the classes whose individuals it tells apart."""

    @property
    def dimension(self) -> int:
        """Numbers in an embedding."""
        return self.model.dimension  # type: ignore[no-any-return]

    columns = dimension

    def judged(self, crops: Tensor) -> Tensor:
        return self.model(crops)  # type: ignore[no-any-return]

    def embed(self, images: Sequence[Tensor], boxes: Sequence[Rows]) -> list[Rows]:
        """Embeds what boxes of pictures show; arguments and errors as those of `run`.

        Returns:
            float32 (N, D) with rows of length 1 for each picture; the cosine distance of two is 1 - their product.
        """
        return self.run(images, boxes)


class Classifier(CropNetwork):
    """Crops of pictures in, probabilities of `info.categories` out."""

    @property
    def columns(self) -> int:
        return len(self.info.categories)

    def judged(self, crops: Tensor) -> Tensor:
        return self.model.logits(crops).softmax(1)  # type: ignore[no-any-return]

    def classify(self, images: Sequence[Tensor], boxes: Sequence[Rows]) -> list[Rows]:
        """Says of what class is what boxes of pictures show; arguments and errors as those of `run`.

        Returns:
            float32 (N, C) for each picture, with rows of sum 1.
        """
        return self.run(images, boxes)
