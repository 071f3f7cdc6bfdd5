"""Small videos written with PyAV, for tests. Every image encodes its number, which can be read from any result."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.structures.types import Frame
from tracker.video import Source, open_source

NTSC = Fraction(30000, 1001)

Image = NDArray[np.uint8]


def numbered_image(number: int, width: int = 64, height: int = 48) -> Image:
    """Returns uint8 (height, width, 3): the eight bits of `number` as dark and bright columns, lowest bit left."""
    bits = np.array([number >> bit & 1 for bit in range(8)])
    row = np.where(bits[np.arange(width) * 8 // width] == 1, 220, 30).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def read_number(image: Image) -> int:
    """Returns the number that `numbered_image` drew, also after lossy compression."""
    width = image.shape[1]
    columns = np.arange(width) * 8 // width
    means = [image[:, columns == bit].mean() for bit in range(8)]
    return sum((mean > 125) << bit for bit, mean in enumerate(means))


def quadrants(number: int = 0, width: int = 64, height: int = 48) -> Image:
    """Returns an image whose four quarters differ: red, green / blue, white. It shows rotations and flips."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 200, 0, 0
    image[: height // 2, width // 2 :] = 0, 200, 0
    image[height // 2 :, : width // 2] = 0, 0, 200
    image[height // 2 :, width // 2 :] = 200, 200, 200
    return image


def noise(number: int, width: int, height: int) -> Image:
    """Returns a random image, the same for each number."""
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def open_uri(uri: object, **settings: object) -> Source:
    """Opens a source with settings of `SourceConfig`."""
    return open_source(uri, SourceConfig.model_validate(settings))  # type: ignore[arg-type]


def read_frames(uri: object, **settings: object) -> tuple[list[Frame], Source]:
    """Returns all frames of a source, and the closed source."""
    with open_uri(uri, **settings) as source:
        return list(source), source


def frame_numbers(frames: list[Frame]) -> list[int]:
    """Returns the numbers that are drawn into frames."""
    return [read_number(frame.image) for frame in frames]


def write_clip(
    path: Path,
    frames: int = 12,
    rate: Fraction | int = 10,
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    size: tuple[int, int] = (64, 48),
    draw: Callable[[int, int, int], Image] = numbered_image,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    hflip: bool = False,
    vflip: bool = False,
    audio: float = 0.0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes a video, in the container of its suffix, and returns its path.

    Args:
        path: Path of the file.
        frames: Number of frames, numbered from 0.
        rate: Frames per second.
        pts: A timestamp for each frame, for a variable rate or a late start; 0, 1, 2 ... without.
        time_base: Seconds for one unit of `pts`; 1 / rate without.
        size: Width and height, pixels.
        draw: Returns the RGB image of a number, a width and a height.
        codec: Encoder.
        pix_fmt: Pixel format, such as yuv422p, yuv420p10le or gray.
        options: Of the encoder.
        rotation: Rotation of the display matrix, degrees counter-clockwise.
        hflip: Horizontal flip of the display matrix.
        vflip: Vertical flip of the display matrix.
        audio: Seconds of a 440 Hz tone beside the video (AAC).
        container_options: Of the container, such as {"movflags": "faststart"}.
    """
    unit = time_base or Fraction(1) / rate
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = unit
        if rotation or hflip or vflip:
            set_rotation(stream, rotation, hflip, vflip)
        tone = container.add_stream("aac", rate=44100) if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts = number if pts is None else pts[number]
            frame.time_base = unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            write_tone(container, tone, audio)
    return path


def set_rotation(stream: av.VideoStream, rotation: int, hflip: bool = False, vflip: bool = False) -> None:
    """Sets the display matrix of a stream to be written; skips the test where PyAV cannot."""
    if not hasattr(stream, "set_display_rotation") or int(av.__version__.split(".")[0]) < 18:
        pytest.skip("this version of PyAV writes no display matrix")
    stream.set_display_rotation(rotation, hflip=hflip, vflip=vflip)


def write_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    """Encodes a 440 Hz tone into a stereo stream of 44,100 Hz."""
    samples = np.sin(2 * np.pi * 440 * np.arange(int(seconds * 44100)) / 44100).astype(np.float32)
    for start in range(0, len(samples), 1024):
        block = samples[start : start + 1024]
        frame = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        frame.pts = start
        frame.time_base = Fraction(1, 44100)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_image(path: Path, image: Image) -> Path:
    """Writes an RGB image, as .png or .jpg by its suffix, and returns its path."""
    av.VideoFrame.from_ndarray(image, format="rgb24").save(str(path))
    return path
