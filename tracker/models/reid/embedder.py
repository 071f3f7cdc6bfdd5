"""Embedders and classifiers that run on crops of images: on any device, with the same results at any batch size."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.data.detection_input import to_boxes
from tracker.data.image_input import Picture, to_images
from tracker.errors import InputError
from tracker.models.model_file import ModelInfo
from tracker.models.runtime.device import AnyDevice, inference_executor
from tracker.models.runtime.resizing import PlanarImage, resize_image
from tracker.structures.boxes import clip

FloatArray = NDArray[np.float32]
Uploaded = Any
"""An image on a network's device: (3, H, W) uint8 RGB, a NumPy array or a tensor of PyTorch."""


class CropFunction(Protocol):
    """What computes a network on the crops of boxes: `TorchCrops` or `GraphCrops`.

    Attributes:
        num_outputs: The length of the network's output for a crop.
    """

    num_outputs: int

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Uploaded]:
        """Converts images (H, W, 3) RGB to uint8 arrays (3, H, W) on the device."""

    def __call__(self, images: Sequence[Uploaded], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        """Returns (N, num_outputs) of the boxes (N, 4) in each image, computed together."""


class CropNetwork:
    """An appearance network with its preprocessing: it cuts boxes out of images and resizes the crops.

    On the CPU the crops of each image are computed together, by one thread on one core, and several such threads work
    on several images at the same time. So neither the number of images in a call nor the number of threads changes
    the arithmetic.

    Attributes:
        function: Computes the network.
        info: The description of the network.
        device: The device of the network.
        backend: The backend of its body: torch, openvino or onnxruntime.
    """

    def __init__(
        self, function: CropFunction, info: ModelInfo, device: AnyDevice, threads: int = 0, backend: str = "torch"
    ) -> None:
        self.function = function
        self.info = info
        self.device = device
        self.backend = backend
        self._executor = inference_executor(device, threads, "crops")

    def close(self) -> None:
        """Ends the worker threads."""
        self._executor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Uploaded]:
        """Converts images (H, W, 3) RGB to uint8 arrays (3, H, W) on the device."""
        return self.function.upload(images)

    def predict(self, images: Sequence[Uploaded], boxes: Sequence[FloatArray]) -> list[FloatArray]:
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
            return list(self._executor.map(lambda image, rows: self.function([image], [rows])[0], images, boxes))
        return self.function(images, boxes)


def check_crops(
    network: CropNetwork, images: Sequence[Uploaded] | Sequence[Picture], boxes: Sequence[ArrayLike]
) -> tuple[list[Uploaded], list[FloatArray]]:
    """Returns the arguments of `CropNetwork.predict` from what a program gives.

    Raises:
        InputError: They cannot be used.
    """
    uploaded = list(images) if all(map(_is_uploaded, images)) else network.upload(to_images(images))
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


def _is_uploaded(image: Any) -> bool:
    """Returns True for what an `upload` returned: a tensor can exist only where PyTorch was imported."""
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(image, torch.Tensor) and image.dtype == torch.uint8
    return bool((is_tensor or isinstance(image, PlanarImage)) and image.ndim == 3 and len(image) == 3)


class Embedder(CropNetwork):
    """A network that maps crops to unit vectors; it distinguishes identities of the classes `info.categories`.

    `load_embedder` makes one; see its example.
    """

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self.function.num_outputs

    def embed(self, images: Sequence[Uploaded] | Sequence[Picture], boxes: Sequence[ArrayLike]) -> list[FloatArray]:
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

    def classify(self, images: Sequence[Uploaded], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        """Classifies the crops of boxes; arguments and errors are those of `predict`.

        Returns:
            float32 (N, C) for each image: class probabilities, rows with sum 1.
        """
        return self.predict(images, boxes)


def crop_corners(boxes: FloatArray) -> list[tuple[int, int, int, int]]:
    """Returns x1 y1 x2 y2 of all pixels that each box (N, 4) touches.

    Example:
        >>> crop_corners(np.array([[0.5, 1, 2.1, 4]], np.float32))
        [(0, 1, 3, 4)]
    """
    top_left = np.floor(boxes[:, :2]).astype(int)
    bottom_right = np.maximum(np.ceil(boxes[:, 2:]).astype(int), top_left + 1)
    return [(x1, y1, x2, y2) for (x1, y1), (x2, y2) in zip(top_left.tolist(), bottom_right.tolist(), strict=True)]


def crop_image(image: NDArray[np.uint8], boxes: FloatArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cuts the pixels that boxes (N, 4) touch out of an image (3, H, W) and resizes them to (N, *size, 3)."""
    pixels = image.transpose(1, 2, 0)
    crops = [resize_image(pixels[y1:y2, x1:x2], *size) for x1, y1, x2, y2 in crop_corners(boxes)]
    return np.stack(crops) if crops else np.zeros((0, *size, 3), np.uint8)
