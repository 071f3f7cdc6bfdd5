"""Decoding of one page of an image file with all of its bits, upright, by Pillow, or by OpenCV where Pillow cannot.

This is the one place that knows what Pillow and OpenCV raise for damaged files, and which pixels each of them loses.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from tracker.errors import InputError

Values = NDArray[Any]
"""Upright pixels as they are stored: uint8 (H, W, 3) RGB; or of another type, (H, W) gray or (H, W, 3) RGB."""

# The first line holds the errors that Pillow means for damaged files, the second those in which its parsing of damaged
# headers ends. Its warnings are raised where Python is told so.
UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError,
    TypeError, RuntimeError, LookupError, ArithmeticError, MemoryError, struct.error, zlib.error, Warning,
)  # fmt: skip

_ORIENTATION = 0x0112  # Source: Exif 2.3, table 4
_TIFF_SIZE = (256, 257)  # tags of the width and the height as stored. Source: TIFF 6.0, section 4
_TIFF_SUBFILE_TYPE = 254
_TIFF_NO_PAGE = 1 | 4  # bits of that tag: a smaller copy of another page, and a mask. Source: TIFF 6.0, section 8
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
# What stands at the start of formats that some builds of Pillow lack; the features are Pillow's names of them.
_OPTIONAL_FORMATS = {"avif": (4, (b"ftypavif", b"ftypavis")), "jpg_2000": (0, (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"))}
_ANIMATED_FORMATS = ("PNG", "WEBP", "AVIF", "GIF")
_JPEG_FORMATS = ("JPEG", "MPO")
_JPEG_END = b"\xff\xd9"
_HEIF_SUFFIXES = (".heic", ".heif")


@contextmanager
def explain_unreadable(path: Path) -> Iterator[None]:
    """Turns what decoding an image can raise into an InputError that names the file and the reason."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"cannot read the image {path}: {_reason(error, path)}") from None


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Opens an image at its first page, without decoding it.

    Raises:
        UNREADABLE: It is missing, damaged or of a format that Pillow does not know.
    """
    if path.suffix.lower() in _HEIF_SUFFIXES:
        _register_heif()
    # Not by its name: Pillow would map an uncompressed TIFF into memory, and with rows of a wrong length if turned.
    with path.open("rb") as file, Image.open(file) as image:
        if image.format == "TIFF" and _is_no_page(image):
            image.seek(page_numbers(image)[0])
        yield image


def page_numbers(image: ImageFile.ImageFile) -> list[int]:
    """Returns the numbers of the pages of a TIFF, or of the images of an animation, at least one.

    Small copies and masks are not among a TIFF's pages, nor is a PNG's image for programs that show no animation. The
    second image of a JPEG, from which a phone computes depth or brightness, is none either.
    """
    if image.format == "TIFF":
        current = image.tell()
        numbers = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            if not _is_no_page(image):
                numbers.append(number)
        image.seek(current)
        return numbers or [0]
    if image.format in _ANIMATED_FORMATS:
        return list(range(int(bool(image.info.get("default_image"))), getattr(image, "n_frames", 1))) or [0]
    return [0]


def is_animation(image: ImageFile.ImageFile) -> bool:
    """Returns True for a file whose images have durations, in place of pages."""
    return image.format in _ANIMATED_FORMATS and getattr(image, "n_frames", 1) > 1


def upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Returns width and height of an open image when it is upright, pixels, without decoding it."""
    width, height = image.size
    if image.format == "TIFF":  # not `size`, which is that of the upright image in some versions of Pillow
        width, height = (int(image.tag_v2[tag]) for tag in _TIFF_SIZE)  # type: ignore[attr-defined]
    return (height, width) if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8) else (width, height)


def decode(image: ImageFile.ImageFile, path: Path) -> Values:
    """Decodes the page of an open image at which it stands; `path` is that of the file.

    Raises:
        UNREADABLE: The image is damaged.
    """
    loses_bits, page = _loses_bits(image), image.tell()
    loaded = _load(image, path)
    if loses_bits:
        values = _opencv_values(path, page)
        return values if image.format == "TIFF" else _turn_upright(values, image)  # OpenCV turns a TIFF itself
    if loaded.mode[0] in "IF":  # I;16, I and F: more than 8 bits
        values = np.asarray(loaded)
        if loaded.mode != "F" and image.format in ("PNG", "PPM"):  # of 16 bits, which some versions of Pillow widen
            values = values.astype(np.uint16)
        return _turn_upright(values.astype(values.dtype.newbyteorder("="), copy=False), image)
    return _turn_upright(np.array(loaded if loaded.mode == "RGB" else loaded.convert("RGB")), image)


def decode_with_opencv(path: Path, page: int = 0) -> Values:
    """Decodes a page of an image with OpenCV, if Pillow does not know the format; a TIFF comes upright.

    OpenCV fills the damaged parts of some formats without an error, and is no second opinion on them.

    Raises:
        UNREADABLE: Neither knows the format, or the image is damaged.
    """
    if not _is_for_opencv(path):
        raise UnidentifiedImageError
    return _opencv_values(path, page)


def _opencv_values(path: Path, page: int) -> Values:
    import cv2

    values = None
    with suppress(cv2.error):
        if page:
            _, pages = cv2.imreadmulti(str(path), start=page, count=1, flags=cv2.IMREAD_UNCHANGED)
            values = pages[0] if pages else None
        else:
            values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnidentifiedImageError
    if values.ndim == 2:
        return _gray_to_rgb(values) if values.dtype == np.uint8 else np.asarray(values)
    return np.ascontiguousarray(values[:, :, 2::-1])


def count_opencv_pages(path: Path) -> int:
    """Returns the number of pages of a TIFF that Pillow does not read; 1 for any other file."""
    import cv2

    with suppress(OSError, cv2.error):
        if _is_for_opencv(path):
            return max(1, cv2.imcount(str(path)))
    return 1


def _is_for_opencv(path: Path) -> bool:
    """Returns True for a TIFF, of which Pillow knows not all pixel types, and for formats that it was built without."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] in _TIFF_MAGIC:
        return True
    return any(
        head[offset:].startswith(starts) and name not in features.get_supported()
        for name, (offset, starts) in _OPTIONAL_FORMATS.items()
    )


def _load(image: ImageFile.ImageFile, path: Path) -> Image.Image:
    """Decodes with Pillow; raises where the file is damaged."""
    try:
        image.load()
    except OSError:
        if image.format not in _JPEG_FORMATS:
            raise
        unended = _load_jpeg_without_end(path)
        if unended is None:
            raise
        return unended
    return image


def _load_jpeg_without_end(path: Path) -> Image.Image | None:
    """Decodes a JPEG that lacks nothing but its end marker, as some cameras write it; None for any other.

    The pixels are complete if they do not depend on what follows the data.
    """
    data = path.read_bytes().rstrip(b"\xff")
    decoded = []
    for filling in (b"", b"\x55" * 64):
        with suppress(*UNREADABLE), Image.open(BytesIO(data + filling + _JPEG_END)) as image:
            image.load()
            decoded.append(image.copy())
    return decoded[0] if len(decoded) == 2 and decoded[0].tobytes() == decoded[1].tobytes() else None


def _loses_bits(image: ImageFile.ImageFile) -> bool:
    """Returns True for color of 16 bits a channel, of which Pillow decodes the upper 8; known before it is loaded."""
    is_color = image.mode in ("RGB", "RGBA", "RGBX", "LA") and image.format in ("PNG", "TIFF")
    return is_color and not is_animation(image) and any(";16" in str(tile[3]) for tile in image.tile)


def _turn_upright(values: Values, image: ImageFile.ImageFile) -> Values:
    """Returns a copy as the EXIF orientation of a decoded image says; Pillow turns a TIFF itself, and removes it."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    vertical, horizontal = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(values[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def _is_no_page(image: ImageFile.ImageFile) -> bool:
    return bool(image.tag_v2.get(_TIFF_SUBFILE_TYPE, 0) & _TIFF_NO_PAGE)  # type: ignore[attr-defined]


def _gray_to_rgb(gray: Values) -> Values:
    return np.stack([gray] * 3, axis=2)


def _register_heif() -> None:
    """Teaches Pillow to read HEIF where a package for it is installed."""
    for name in ("pillow_heif", "pi_heif"):
        with suppress(ImportError):
            __import__(name).register_heif_opener()
            return


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        if path.suffix.lower() in _HEIF_SUFFIXES:
            return "HEIC needs the package pi-heif (pip install pi-heif); or convert it to JPEG"
        if path.suffix.lower() == ".avif" and "avif" not in features.get_supported():
            return "AVIF needs Pillow 11.3 or newer (pip install -U pillow); or convert it to JPEG"
        return "it is not an image, or of an unknown format"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return f"it states more than {limit} million pixels, Pillow's limit for files that would fill the memory"
    if isinstance(error, MemoryError):
        return "it does not fit into the memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
