"""Picture files: their pixels, and their size without decoding them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tracker.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for bad files
_ORIENTATION = 0x0112  # Source: Exif 2.3, table 4
_SIDEWAYS = (5, 6, 7, 8)


def read_image(path: Path) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) RGB, upright as its EXIF says: what a person saw who labelled it.

    Raises:
        InputError: The file is missing, is no picture, or is damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except _UNREADABLE as error:
        raise InputError(f"cannot read the picture {path}: {_reason(error)}") from None


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, pixels, out of the file's head.

    Raises:
        InputError: The file is missing or is no picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (width, height)
    except _UNREADABLE as error:
        raise InputError(f"cannot read the picture {path}: {_reason(error)}") from None


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder and of those below it, in order of their names."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
