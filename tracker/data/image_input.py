"""Pictures as programs have them, converted to this package's images, or refused in one sentence."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.data.array_input import to_array
from tracker.errors import InputError

_OVERSHOOT = 1e-3
"""By which floats from 0 to 1 may leave that range, as interpolation does."""


class _HasArrayInterface(Protocol):
    """A picture of Pillow."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Picture = ArrayLike | _HasArrayInterface
"""A picture that `to_image` takes: an array of NumPy or OpenCV, a tensor of PyTorch, a picture of Pillow."""


def to_image(picture: Picture, name: str = "the picture") -> NDArray[np.uint8]:
    """Returns a picture as uint8 (H, W, 3) RGB, contiguous; the picture itself where it is one already.

    These are converted, since their meaning is certain: (H, W) and (H, W, 1) gray; (H, W, 4), of which the alpha is
    left out; (3, H, W), (1, H, W) and (4, H, W), channels first; floats from 0 to 1; other integers from 0 to 255, but
    for 16 bits; views with negative strides, such as `bgr[..., ::-1]`. Channels are RGB: whether they are BGR, as
    OpenCV reads them, cannot be seen.

    Args:
        picture: The picture.
        name: Names it in the error.

    Raises:
        InputError: It is no picture, or its values may mean several things.

    Example:
        >>> to_image(np.ones((3, 48, 64), np.float32)).shape, to_image(np.ones((3, 48, 64), np.float32)).max()
        ((48, 64, 3), np.uint8(255))
    """
    if type(picture) is np.ndarray and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return _check_size(np.ascontiguousarray(picture), name)
    if getattr(picture, "mode", "RGB") not in ("RGB", "L", "RGBA") and hasattr(picture, "convert"):
        picture = picture.convert("RGB")  # of Pillow: palettes, CMYK and so on
    values = to_array(picture, name)
    return _check_size(np.ascontiguousarray(_to_uint8(_channels_last(values, name), name)), name)


def to_images(pictures: Iterable[Picture]) -> list[NDArray[np.uint8]]:
    """Returns several pictures as `to_image` does.

    Raises:
        InputError: One of them is no picture; or they are a single picture, which is not in a list.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim < 4:
        raise InputError(f"these are one array of shape {pictures.shape}: give a list of pictures")
    if not isinstance(pictures, Iterable):
        raise InputError(f"give a list of pictures, not {type(pictures).__name__}")
    return [to_image(picture, f"picture {number}") for number, picture in enumerate(pictures)]


def _check_size(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if not image.size:
        raise InputError(f"{name} has no pixels: its shape is {image.shape}")
    return image


def _channels_last(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Returns the values as (H, W, 3)."""
    shape = values.shape
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.ndim == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    elif values.ndim == 4:
        raise InputError(f"{name} has shape {shape}, which is a batch: give its pictures one by one")
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise InputError(f"{name} must have shape (height, width, 3), and has {shape}")
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[:, :, :3]


def _to_uint8(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8 or not values.size:
        return np.asarray(values, np.uint8)
    if values.dtype.kind not in "iuf" or values.dtype in (np.uint16, np.int16):
        raise InputError(f"{name} must hold bytes from 0 to 255 or floats from 0 to 1, and holds {values.dtype}")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} holds numbers that are not finite")
    largest = 1 if values.dtype.kind == "f" else 255
    tolerance = _OVERSHOOT if values.dtype.kind == "f" else 0
    if low < -tolerance or high > largest + tolerance:
        raise InputError(
            f"{name} holds {values.dtype} from {low:g} to {high:g}: give bytes from 0 to 255, or floats from 0 to 1"
        )
    if values.dtype.kind == "f":
        return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
    return np.asarray(values, np.uint8)
