"""Image files: the pixels, the same for training and for tracking, and the size without decoding them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from tracker.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for bad files
_ORIENTATION = 0x0112  # Source: Exif 2.3, table 4
_TRANSPOSED = (5, 6, 7, 8)
_TIFF_SIZE = (256, 257)  # tags of the width and the height as stored. Source: TIFF 6.0, section 4
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_NOMINAL_MAXIMA = (1, 255, 65535)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image as RGB, upright as its EXIF orientation says.

    Pillow decodes it; OpenCV decodes what Pillow does not, or not with all bits: 16-bit color and some TIFFs. Of an
    animation the first image is read. Transparency is dropped: a pixel has the color that is stored for it.

    - 16 bits: 65535 becomes 255.
    - Floating-point and 32-bit values: the smallest of 1, 255 and 65535 that no value exceeds becomes 255. Where values
      are negative or above 65535, the image's minimum becomes 0 and its maximum 255. NaN and infinity count as 0.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: The file is missing, is not an image, or is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.full((2, 3), 65535, np.uint16)).save(f"{folder}/gray16.png")
        ...     image = read_image(Path(folder, "gray16.png"))
        >>> image.shape, image.max().item()
        ((2, 3, 3), 255)
    """
    try:
        return _decode(path)
    except _UNREADABLE as error:
        raise InputError(f"cannot read the image {path}: {_reason(error)}") from None


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height of the upright image, pixels, without decoding it.

    Raises:
        InputError: The file is missing or is not an image.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            width, height = image.size
            if image.format == "TIFF":  # not `size`, which is that of the upright image in some versions of Pillow
                width, height = (int(image.tag_v2[tag]) for tag in _TIFF_SIZE)  # type: ignore[attr-defined]
            return (height, width) if image.getexif().get(_ORIENTATION) in _TRANSPOSED else (width, height)
    except UnidentifiedImageError:
        height, width, _ = read_image(path).shape
        return width, height
    except _UNREADABLE as error:
        raise InputError(f"cannot read the image {path}: {_reason(error)}") from None


def list_images(folder: Path) -> list[Path]:
    """Lists the image files of a folder and of those below it, sorted by name."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def _decode(path: Path) -> NDArray[np.uint8]:
    try:
        # Not by its name: Pillow would map an uncompressed TIFF into memory, and with rows of a wrong length if turned.
        with path.open("rb") as file, Image.open(file) as image:
            loses_bits = _loses_bits(image)
            image.load()  # raises where the file is damaged; OpenCV would not
            if loses_bits:
                pixels = Image.fromarray(_decode_with_opencv(path))
                if image.format != "TIFF":  # of which OpenCV makes an upright image
                    pixels.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
                return np.array(ImageOps.exif_transpose(pixels))
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode[0] in "IF":  # I;16, I and F: more than 8 bits
                is_16_bit = image.mode != "F" and image.format in ("PNG", "PPM")
                return _to_rgb(_to_8_bits(np.asarray(image), 65535 if is_16_bit else 0))
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # a copy that can be written to
    except UnidentifiedImageError:
        with path.open("rb") as file:
            if file.read(4) not in _TIFF_MAGIC:
                raise
        return _decode_with_opencv(path)


def _loses_bits(image: ImageFile.ImageFile) -> bool:
    """Returns True for color of 16 bits a channel, of which Pillow decodes the upper 8; known before it is loaded."""
    is_color = image.mode in ("RGB", "RGBA", "RGBX", "LA") and image.format in ("PNG", "TIFF")
    return is_color and any(";16" in str(tile[3]) for tile in image.tile)


def _decode_with_opencv(path: Path) -> NDArray[np.uint8]:
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UnidentifiedImageError
    return np.ascontiguousarray(_to_rgb(_to_8_bits(pixels))[:, :, ::-1])


def _to_8_bits(values: NDArray[Any], maximum: int = 0) -> NDArray[np.uint8]:
    """Scales values as `read_image` says; `maximum` becomes 255, and is 0 where the format does not say it."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return np.asarray((values.astype(np.uint32) + 128) // 257, np.uint8)  # value * 255 / 65535, rounded
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and (maximum or high <= _NOMINAL_MAXIMA[-1]):
        low, high = 0.0, float(maximum or next(nominal for nominal in _NOMINAL_MAXIMA if high <= nominal))
    return np.rint((finite - low) * (255 / ((high - low) or 1))).astype(np.uint8)


def _to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeats gray values, (H, W), for each channel, and drops a fourth one."""
    return np.stack([pixels] * 3, axis=2) if pixels.ndim == 2 else pixels[:, :, :3]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image, or of an unknown format"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
