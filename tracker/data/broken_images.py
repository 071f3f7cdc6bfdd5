"""Finds broken image files before a training or an evaluation starts, at the cost that each has."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tracker.data.image_files import image_size, read_image
from tracker.errors import InputError

MOST_DECODED = 1 / 8
"""Largest number of images that are decoded beforehand, relative to those that a training itself decodes."""
_HEAD, _TAIL = 32, 4096  # bytes that are read of a file


def check_image(path: Path) -> tuple[int, int]:
    """Returns width and height of an upright image, pixels, after a check of its header and of its end.

    It is decoded only where its end is not what its format says, as in a file that was copied in part.

    Raises:
        InputError: The file is missing, is not an image, or is cut off.
    """
    size = image_size(path)
    if _may_be_cut(path):
        read_image(path)
    return size


def check_images(paths: Sequence[Path], num_reads: int) -> None:
    """Checks all images of a training: decodes them if that is little beside the training, else as `check_image` does.

    Args:
        paths: The images.
        num_reads: Number of images that the training decodes.

    Raises:
        InputError: An image is broken; says which, and how many more there are.
    """
    files = list(dict.fromkeys(paths))
    check: Callable[[Path], object] = read_image if len(files) <= MOST_DECODED * num_reads else check_image
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        errors = [error for error in pool.map(lambda path: _error_of(check, path), files) if error]
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C too
    if errors:
        more = f"; {len(errors) - 1} more images are broken" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}: mend or remove it{more}")


def _error_of(check: Callable[[Path], object], path: Path) -> str:
    try:
        check(path)
    except InputError as error:
        return str(error)
    return ""


def _may_be_cut(path: Path) -> bool:
    """Checks whether the end of a file is missing, as far as the format says where it is; True where it does not."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _TAIL))
            tail = file.read()
    except OSError as error:
        raise InputError(f"cannot read the image {path}: {error.strerror or error}") from None
    if head.startswith(b"\xff\xd8"):  # JPEG: end of image. Other data may follow it, and then it is decoded
        return b"\xff\xd9" not in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" not in tail
    if head.startswith(b"RIFF"):  # WebP: a length of all that follows it
        return int.from_bytes(head[4:8], "little") + 8 > length
    if head.startswith(b"BM"):  # BMP: the length of the file
        return int.from_bytes(head[2:6], "little") > length
    return True
