"""A source that reads a folder or glob of images, or a single image."""

import glob
import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.data.image_files import IMAGE_SUFFIXES, read_image
from tracker.errors import InputError
from tracker.video.source import CorruptFrame, LazyFrame, Source, start_error


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
    return sorted(images, key=_natural_sort_key)


def _natural_sort_key(path: Path) -> list[str | int]:
    """Returns alternating strings and numbers, by which img2 is sorted before img10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", str(path)))]


class ImageSequence(Source):
    """Reads images of one size as frames at `config.fps`.

    An image that cannot be decoded is skipped; no frame gets its index and its time.

    Args:
        paths: Paths of the images in order, at least one.

    Raises:
        InputError: No image can be decoded, or `config.start` is beyond the last one.
    """

    def __init__(self, paths: Sequence[Path], uri: str, name: str, config: SourceConfig) -> None:
        super().__init__(uri, name, config)
        self._paths = paths
        self.frame_rate = Fraction(config.fps).limit_denominator(1001000)
        self.time_base = 1 / self.frame_rate
        duration = len(paths) / self.frame_rate
        if config.start >= duration:
            raise start_error(uri, config.start, duration)
        self.expected_frames = self._estimate_frames(len(paths), duration)
        self.height, self.width, _ = self._read_first().shape

    def _read_first(self) -> NDArray[np.uint8]:
        for path in self._paths:
            with suppress(CorruptFrame):  # counted when the frames are read
                return self._read(path)
        raise InputError(f"no image of {self.uri} can be decoded: all {len(self._paths)} are corrupt")

    def _lazy_frames(self) -> Generator[LazyFrame]:
        for index, path in enumerate(self._paths):
            yield LazyFrame(index, index, self.time_base, partial(self._read_checked, path))

    def _read_checked(self, path: Path) -> NDArray[np.uint8]:
        image = self._read(path)
        if image.shape != (self.height, self.width, 3):
            size, expected = f"{image.shape[1]}x{image.shape[0]}", f"{self.width}x{self.height}"
            raise InputError(f"{path} is {size} while the images before it are {expected}: give images of one size")
        return image

    def _read(self, path: Path) -> NDArray[np.uint8]:
        try:
            return read_image(path)
        except InputError as error:
            raise CorruptFrame(str(error)) from error
