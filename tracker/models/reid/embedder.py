"""Embedders and classifiers that run on crops of images: on any device, with the same results at any batch size."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from tracker.data.detection_input import to_boxes
from tracker.data.image_input import Picture, to_images
from tracker.errors import InputError
from tracker.models.model_file import ModelInfo
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import inference_executor, upload
from tracker.structures.boxes import clip

FloatArray = NDArray[np.float32]


class CropNetwork:
    """An appearance network with its preprocessing: it cuts boxes out of images and resizes the crops.

    On the CPU the crops of each image are computed together, by one thread on one core, and several such threads work
    on several images at the same time. So neither the number of images in a call nor the number of threads changes
    the arithmetic.

    Attributes:
        info: The description of the network.
        device: The device of the network.
        backend: The backend of its body: torch, openvino or onnxruntime.
    """

    def __init__(
        self, model: AppearanceNetwork, info: ModelInfo, device: torch.device, threads: int = 0, backend: str = "torch"
    ) -> None:
        self.info = info
        self.device = device
        self.backend = backend
        self.model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._executor = inference_executor(device, threads, "crops")

    def close(self) -> None:
        """Ends the worker threads."""
        self._executor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Converts images (H, W, 3) RGB to uint8 tensors (3, H, W) on the device."""
        return upload(images, self.device)

    def forward(self, crops: Tensor) -> Tensor:
        """Maps float32 (B, 3, *size) RGB from 0 to 255 to (B, num_outputs)."""
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        """The length of the network's output for a crop."""
        raise NotImplementedError

    def predict(self, images: Sequence[Tensor], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        """Runs the network on the crops of boxes.

        Args:
            images: uint8 (3, H, W) RGB each, on the network's device, of any sizes.
            boxes: float32 (N, 4) xyxy each, pixels, of positive area, inside the image.

        Returns:
            float32 (N, num_outputs) for each image.

        Raises:
            ValueError: The numbers of images and of box arrays differ.
        """
        if len(images) != len(boxes):
            raise ValueError(f"got {len(images)} images but {len(boxes)} arrays of boxes")
        if self.device.type == "cpu":
            return list(self._executor.map(self._predict_image, images, boxes))
        crops = [self._crop(image, image_boxes) for image, image_boxes in zip(images, boxes, strict=True)]
        counts = [len(image_boxes) for image_boxes in boxes]
        return np.split(self._predict_crops(torch.cat(crops)), np.cumsum(counts)[:-1]) if crops else []

    def _predict_image(self, image: Tensor, boxes: FloatArray) -> FloatArray:
        return self._predict_crops(self._crop(image, boxes))

    def _crop(self, image: Tensor, boxes: FloatArray) -> Tensor:
        """Cuts all pixels that each box touches out of an image and resizes them to uint8 (N, 3, *size)."""
        size = list(self.info.size)
        top_left = np.floor(boxes[:, :2]).astype(int)
        bottom_right = np.maximum(np.ceil(boxes[:, 2:]).astype(int), top_left + 1)
        crops = [
            F.resize(image[:, y1:y2, x1:x2], size, antialias=True)
            for (x1, y1), (x2, y2) in zip(top_left.tolist(), bottom_right.tolist(), strict=True)
        ]
        return torch.stack(crops) if crops else image.new_empty((0, 3, *size))

    @torch.inference_mode()
    def _predict_crops(self, crops: Tensor) -> FloatArray:
        if len(crops) == 0:
            return np.zeros((0, self.num_outputs), np.float32)
        prepared = crops.float().contiguous(memory_format=torch.channels_last)
        return self.forward(prepared).cpu().numpy()


def check_crops(
    network: CropNetwork, images: Sequence[Tensor] | Sequence[Picture], boxes: Sequence[ArrayLike]
) -> tuple[list[Tensor], list[FloatArray]]:
    """Returns the arguments of `CropNetwork.predict` from what a program gives.

    Raises:
        InputError: They cannot be used.
    """
    uploaded = [image for image in images if isinstance(image, Tensor) and image.dtype == torch.uint8]
    if len(uploaded) < len(images) or any(image.ndim != 3 or len(image) != 3 for image in uploaded):
        uploaded = network.upload(to_images(images))
    if len(uploaded) != len(boxes):
        raise InputError(f"the number of images is {len(uploaded)}, and that of arrays of boxes {len(boxes)}")
    inside = []
    for number, (image, rows) in enumerate(zip(uploaded, boxes, strict=True)):
        height, width = image.shape[1:]
        own = to_boxes(rows, fractions_allowed=True)
        clipped = np.asarray(clip(own, width, height), np.float32)
        outside = (own[:, 0] >= width) | (own[:, 1] >= height) | (own[:, 2] < 0) | (own[:, 3] < 0)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise InputError(f"box {row} of image {number} lies outside of it: the image is {width}x{height} pixels")
        inside.append(clipped)
    return uploaded, inside


class Embedder(CropNetwork):
    """A network that maps crops to unit vectors; it distinguishes identities of the classes `info.categories`.

    `load_embedder` makes one; see its example.
    """

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self.model.dimension  # type: ignore[no-any-return]

    num_outputs = dimension

    def forward(self, crops: Tensor) -> Tensor:
        return self.model(crops)  # type: ignore[no-any-return]

    def embed(self, images: Sequence[Tensor] | Sequence[Picture], boxes: Sequence[ArrayLike]) -> list[FloatArray]:
        """Embeds the crops of boxes.

        Args:
            images: Pictures, see `to_image`; or what `upload` returned of them, which is not checked again.
            boxes: (N, 4) x1 y1 x2 y2 for each image, pixels; the part of a box inside the image is embedded.

        Returns:
            float32 (N, D) with rows of length 1 for each image; the cosine distance of two rows is 1 - their product.

        Raises:
            InputError: An image or boxes cannot be used, or a box lies outside of its image.
        """
        return self.predict(*check_crops(self, images, boxes))


class Classifier(CropNetwork):
    """A network that maps crops to probabilities of the classes `info.categories`; `load_classifier` makes one."""

    @property
    def num_outputs(self) -> int:
        return len(self.info.categories)

    def forward(self, crops: Tensor) -> Tensor:
        return self.model.logits(crops).softmax(1)  # type: ignore[no-any-return]

    def classify(self, images: Sequence[Tensor], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        """Classifies the crops of boxes; arguments and errors are those of `predict`.

        Returns:
            float32 (N, C) for each image: class probabilities, rows with sum 1.
        """
        return self.predict(images, boxes)
