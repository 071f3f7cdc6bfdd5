"""A source that reads a folder or glob of images, an animation, or a single image."""

import glob
from collections.abc import Generator, Sequence
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.data.image_files import IMAGE_SUFFIXES, ImagePage, natural_sort_key, read_pages
from tracker.errors import InputError
from tracker.video.source import CorruptFrame, LazyFrame, Source

ANIMATION_UNIT = Fraction(1, 10**6)
"""Seconds of a unit of an animation's times, to which they are rounded; all formats but PNG state milliseconds."""


def list_folder_images(folder: Path) -> list[Path]:
    """Returns the images of a folder, at least one, in natural order, without those of its subfolders."""
    return _sort_images(folder.iterdir(), f"the folder {folder} has")


def list_matching_images(pattern: str) -> list[Path]:
    """Returns the images that match a glob, at least one, in natural order."""
    return _sort_images(map(Path, glob.iglob(pattern, recursive=True)), f"{pattern} matches")


def _sort_images(paths: "Generator[Path] | map[Path]", message: str) -> list[Path]:
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not images:
        raise InputError(f"{message} no images: the known suffixes are {' '.join(sorted(IMAGE_SUFFIXES))}")
    return sorted(images, key=natural_sort_key)


class ImageSequence(Source):
    """Reads images as frames at `config.fps`, and an animation at the times that it states.

    The pages of a TIFF are frames, and so are the images of an animation; among other files, each of its images is
    shown as long as any other. An image that cannot be decoded is skipped; no frame gets its index and its time.

    Args:
        paths: Paths of the images in order, at least one.
        uri: See `Source`.
        name: See `Source`.
        config: The part to read, and the frame rate.
        quiet: True for images that were read before: nothing is logged again.

    Raises:
        InputError: No image can be decoded.
    """

    def __init__(self, paths: Sequence[Path], uri: str, name: str, config: SourceConfig, quiet: bool = False) -> None:
        super().__init__(uri, name, config, quiet)
        self._paths = self.files = paths
        image, page = self._read_first()
        self.height, self.width, _ = image.shape
        self.frame_rate = Fraction(config.fps).limit_denominator(1001000)
        self.time_base = 1 / self.frame_rate
        self._has_times = len(paths) == 1 and page.duration is not None
        if self._has_times and page.duration is not None:
            self.frame_rate, self.time_base = 1 / page.duration, ANIMATION_UNIT
        count = len(paths) * page.count
        self.expected_frames = self._estimate_frames(count, count / self.frame_rate)

    def _read_first(self) -> tuple[NDArray[np.uint8], ImagePage]:
        reasons = []
        for path in self._paths:
            with closing(read_pages(path)) as pages:
                for page in pages:
                    try:
                        return page.read(), page
                    except InputError as error:  # counted when the frames are read
                        reasons.append(str(error).removeprefix(f"cannot read the image {path}: "))
        first = f"; the first of {len(self._paths)}" if len(self._paths) > 1 else ""
        raise InputError(f"no image of {self.uri} can be decoded{first}: {reasons[0]}")

    def _lazy_frames(self) -> Generator[LazyFrame]:
        usual = 1 / self.frame_rate
        index, time = 0, Fraction(0)
        for path in self._paths:
            with closing(read_pages(path)) as pages:
                for page in pages:
                    duration = page.duration if self._has_times and page.duration else usual
                    yield LazyFrame(index, round(time / self.time_base), duration, partial(_read, page))
                    index, time = index + 1, time + duration


def _read(page: ImagePage) -> NDArray[np.uint8]:
    try:
        return page.read()
    except InputError as error:
        raise CorruptFrame(str(error)) from error
