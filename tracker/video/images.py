"""A folder or glob of pictures, or a single one."""

import glob
import io
import re
from collections.abc import Generator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video.rgb import RGBConverter
from tracker.video.source import CorruptFrame, Picture, Source, beyond_end

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; not those of its subfolders.

    Raises:
        InputError: There are none.
    """
    return _naturally_sorted(folder.iterdir(), f"the folder {folder} holds")


def matching_pictures(pattern: str) -> list[Path]:
    """The pictures that match a glob, in natural order.

    Raises:
        InputError: There are none.
    """
    return _naturally_sorted(map(Path, glob.iglob(pattern, recursive=True)), f"{pattern} matches")


def _naturally_sorted(paths: "Generator[Path] | map[Path]", where: str) -> list[Path]:
    pictures = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not pictures:
        raise InputError(f"{where} no pictures: the suffixes known are {' '.join(sorted(IMAGE_SUFFIXES))}")
    return sorted(pictures, key=_natural_key)


def _natural_key(path: Path) -> list[str | int]:
    """img2 before img10: strings and numbers take turns, so that like is compared with like."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", str(path)))]


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether the end marker is missing; FFmpeg would fill the rest with grey and not say so.

    The segments before the scan are stepped over: a thumbnail in them has an end marker of its own.
    Source: ITU-T T.81, B.1.
    """
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        filled = data[place + 1 : place + 2] == b"\xff"
        place += 1 if filled else 2 + int.from_bytes(data[place + 2 : place + 4])
    return b"\xff\xd9" not in data[place:]


class ImageSequence(Source):
    """Pictures of one size, shown at `config.fps`.

    A picture that cannot be decoded is skipped; its index and its moment stay empty.

    Args:
        paths: At least one, in order.

    Raises:
        InputError: No picture can be decoded, or `config.start` is beyond the last one.
    """

    def __init__(self, paths: Sequence[Path], spec: str, name: str, config: SourceConfig) -> None:
        super().__init__(spec, name, config)
        self._paths = paths
        self.frame_rate = Fraction(config.fps).limit_denominator(1001000)
        self.time_base = 1 / self.frame_rate
        duration = len(paths) / self.frame_rate
        if config.start >= duration:
            raise beyond_end(spec, config.start, duration)
        self.expected_frames = self._estimate(len(paths), duration)
        self.height, self.width, _ = self._first_readable().shape

    def _first_readable(self) -> NDArray[np.uint8]:
        for path in self._paths:
            try:
                return self._read(path)
            except CorruptFrame:  # counted when its turn comes
                continue
        raise InputError(f"no picture of {self.spec} can be decoded: all {len(self._paths)} are damaged")

    def _pictures(self) -> Generator[Picture]:
        for index, path in enumerate(self._paths):
            yield Picture(index, index, self.time_base, partial(self._sized, path))

    def _sized(self, path: Path) -> NDArray[np.uint8]:
        image = self._read(path)
        if image.shape != (self.height, self.width, 3):
            raise InputError(
                f"{path} is {image.shape[1]}x{image.shape[0]} while the pictures before it are "
                f"{self.width}x{self.height}: give pictures of one size"
            )
        return image

    def _read(self, path: Path) -> NDArray[np.uint8]:
        try:
            data = path.read_bytes()
            # Not by its name, in which FFmpeg would take a % for a pattern.
            with av.open(io.BytesIO(data), "r") as container:
                picture = next(container.decode(video=0), None)
        except (OSError, av.FFmpegError, IndexError) as error:
            raise CorruptFrame(f"{path}: {error}") from error
        if picture is None or (data.startswith(b"\xff\xd8") and _is_cut_jpeg(data)):
            raise CorruptFrame(f"{path} is incomplete")
        return RGBConverter(threads=1)(picture)
