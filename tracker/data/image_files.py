"""Image files: the pixels, the same for training and for tracking; their pages; and the size without decoding them."""

import re
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, UnidentifiedImageError

from tracker.data.image_decoding import (
    UNREADABLE,
    Values,
    count_opencv_pages,
    decode,
    decode_with_opencv,
    explain_unreadable,
    is_animation,
    open_image,
    page_numbers,
    upright_size,
)
from tracker.data.pixel_values import SAMPLES, ValueRange, combine, range_of, to_8_bits
from tracker.errors import InputError

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".avif", ".jp2", ".j2k", ".heic", ".heif",
)  # fmt: skip
_NUMBER = re.compile("([0-9]+)")
_PAGED_SUFFIXES = (".png", ".apng", ".webp", ".tif", ".tiff", ".avif", ".gif")

T = TypeVar("T")
Image = NDArray[np.uint8]
Sample = tuple[Path, int, int, int]  # a file, a page of it, and the file's size and time of change


def natural_sort_key(path: Path) -> list[str | int]:
    """Returns alternating strings and numbers, by which img2 is sorted before img10."""
    return [int(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(str(path)))]


@dataclass(frozen=True, eq=False, slots=True)
class ImagePage:
    """A page of a TIFF or an image of an animation; most files have one.

    Attributes:
        duration: Seconds for which it is shown; None where the file does not state it.
        count: Number of pages of the file.
        read: Returns what `read_image` would for a file of this page alone, and raises as it does. To be called before
            the next page is asked for.
    """

    duration: Fraction | None
    count: int
    read: Callable[[], Image]


def read_image(path: Path) -> Image:
    """Reads an image as RGB, upright as its EXIF orientation says.

    Of a TIFF with several pages, or an animation, the first one is read. Transparency is dropped: a pixel has the color
    that is stored for it. More than 8 bits are scaled to 8, by a range that the images of a folder share:

    - 16 bits: the full range of 8, 12, 14 or 16 bits becomes 0 to 255, the smallest that most images of the folder
      fit into. An image that exceeds it has the range that it needs.
    - Floating-point values: 0 to 1, or else 0 to 255, becomes 0 to 255, in the same way. Where most images have other
      values, the least and the greatest of them become 0 and 255. NaN and infinity become 0.

    "Most" is said of up to `SAMPLES` images of the folder, evenly taken by name, that have the same suffix, type and
    number of channels.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: The file is missing, is not an image, or is damaged.

    Example:
        >>> import tempfile, PIL.Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PIL.Image.fromarray(np.full((2, 3), 65535, np.uint16)).save(f"{folder}/gray16.png")
        ...     image = read_image(Path(folder, "gray16.png"))
        >>> image.shape, image.max().item()
        ((2, 3, 3), 255)
    """
    with explain_unreadable(path):
        try:
            with open_image(path) as image:
                pages = page_numbers(image)
                values = decode(image, path)
        except UnidentifiedImageError:
            pages = list(range(count_opencv_pages(path)))
            values = decode_with_opencv(path)
    return _scale(values, path, pages)


def read_pages(path: Path) -> Generator[ImagePage]:
    """Yields the pages of an image file one by one; a file that cannot be opened has one, whose `read` raises."""
    if path.suffix.lower() not in _PAGED_SUFFIXES:
        yield ImagePage(None, 1, partial(read_image, path))
        return
    try:
        with open_image(path) as image:
            pages = page_numbers(image)
            for page in pages:
                yield _page(image, path, pages, page)
    except UNREADABLE:
        pages = list(range(count_opencv_pages(path)))
        for page in pages:
            read = partial(_read_with_opencv, path, page, pages) if page else partial(read_image, path)
            yield ImagePage(None, len(pages), read)


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height of the upright image, pixels, without decoding it.

    Raises:
        InputError: The file is missing or is not an image.
    """
    with explain_unreadable(path):
        try:
            with open_image(path) as image:
                return upright_size(image)
        except UnidentifiedImageError:
            height, width = decode_with_opencv(path).shape[:2]
            return width, height


def list_images(folder: Path) -> list[Path]:
    """Lists the image files of a folder and of those below it, sorted by name."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def _page(image: ImageFile.ImageFile, path: Path, pages: list[int], page: int) -> ImagePage:
    """Returns a page of an open image; an image of an animation is decoded, since its duration is known only then."""
    try:
        if page != image.tell():
            image.seek(page)
        if not is_animation(image):
            return ImagePage(None, len(pages), partial(_read_open, image, path, pages))
        values = decode(image, path)
        return ImagePage(_duration(image), len(pages), lambda: _scale(values, path, pages))
    except UNREADABLE as error:
        return ImagePage(None, len(pages), partial(_raise, path, error))


def _read_open(image: ImageFile.ImageFile, path: Path, pages: list[int]) -> Image:
    with explain_unreadable(path):
        values = decode(image, path)
    return _scale(values, path, pages)


def _read_with_opencv(path: Path, page: int, pages: list[int]) -> Image:
    with explain_unreadable(path):
        values = decode_with_opencv(path, page)
    return _scale(values, path, pages)


def _raise(path: Path, error: Exception) -> Image:
    with explain_unreadable(path):
        raise error
    raise AssertionError


def _duration(image: ImageFile.ImageFile) -> Fraction | None:
    milliseconds = image.info.get("duration")
    # PNG states a fraction of whole numbers of 16 bits, which Pillow divides.
    return Fraction(milliseconds / 1000).limit_denominator(65535) if milliseconds else None


def _scale(values: Values, path: Path, pages: list[int]) -> Image:
    """Returns values of any type as RGB of 8 bits; see `read_image`."""
    if values.dtype != np.uint8:
        samples = _samples(path, pages)
        ranges = _sample_ranges(samples, values.dtype.str, values.ndim)
        values = to_8_bits(values, combine(range_of(values), ranges))
    return values if values.ndim == 3 else np.stack([values] * 3, axis=2)


def _samples(path: Path, pages: list[int]) -> tuple[Sample, ...]:
    """Returns the pages of a file, or the first pages of the files beside it, from which a range of values is taken."""
    with suppress(OSError):
        if len(pages) > 1:
            chosen = [(path, page) for page in _evenly(pages)]
        else:
            folder = path.parent
            chosen = [(file, 0) for file in _files_beside(folder, path.suffix.lower(), folder.stat().st_mtime_ns)]
        stats = [file.stat() for file, _ in chosen]
        return tuple((*one, stat.st_size, stat.st_mtime_ns) for one, stat in zip(chosen, stats, strict=True))
    return ()


@lru_cache(maxsize=64)
def _files_beside(folder: Path, suffix: str, changed: int) -> tuple[Path, ...]:
    """Returns some files of a folder, by the time at which it changed, so that it is listed once."""
    files = (path for path in folder.iterdir() if path.suffix.lower() == suffix and not path.name.startswith("."))
    return tuple(_evenly(sorted(files)))


def _evenly(items: list[T]) -> list[T]:
    count = min(len(items), SAMPLES)
    return [items[number * (len(items) - 1) // max(1, count - 1)] for number in range(count)]


@lru_cache(maxsize=256)
def _sample_ranges(samples: tuple[Sample, ...], dtype: str, dimensions: int) -> tuple[ValueRange, ...]:
    """Returns the ranges of values of those samples that have a type and a number of dimensions."""
    ranges = []
    for path, page, *_ in samples:
        with suppress(InputError), explain_unreadable(path):
            values = _decode_page(path, page)
            if values.dtype.str == dtype and values.ndim == dimensions:
                ranges.append(range_of(values))
    return tuple(ranges)


def _decode_page(path: Path, page: int) -> Values:
    try:
        with open_image(path) as image:
            if page:
                image.seek(page)
            return decode(image, path)
    except UnidentifiedImageError:
        return decode_with_opencv(path, page)
