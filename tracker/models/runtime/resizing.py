"""Images of networks on the CPU without PyTorch, and their resizing: the same pixels for all backends."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class PlanarImage(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """An image (3, H, W), RGB, as networks take it; a class of its own, to be told from pictures in other orders."""


def to_planar(images: Sequence[NDArray[np.uint8]]) -> list[PlanarImage]:
    """Converts images (H, W, 3) to (3, H, W), without a copy.

    Example:
        >>> to_planar([np.zeros((20, 30, 3), np.uint8)])[0].shape
        (3, 20, 30)
    """
    return [image.transpose(2, 0, 1).view(PlanarImage) for image in images]


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes (H, W, 3) to (height, width, 3) bilinearly; where it is reduced, all pixels count (antialiasing).

    Raises:
        ValueError: There are no pixels.

    Example:
        >>> resize_image(np.zeros((20, 30, 3), np.uint8), 10, 15).shape
        (10, 15, 3)
    """
    if image.shape[:2] == (height, width):
        return image
    if not image.size:
        raise ValueError("there are no pixels to resize")
    source = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(source.resize((width, height), Image.Resampling.BILINEAR))
