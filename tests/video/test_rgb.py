"""Conversion to upright RGB: rotation, color matrix, range, bit depth and size."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from video_clips import frame_numbers, quadrants, read_frames, read_number, write_clip

NO_B_FRAMES = {"bf": "0"}


def corner_colors(image: np.ndarray) -> list[str]:
    """Returns the colors of the four quarters, row by row."""
    height, width, _ = image.shape
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    points = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [names[tuple(int(value > 100) for value in image[point])] for point in points]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({}, ["red", "green", "blue", "white"]),
        ({"rotation": 90}, ["green", "white", "red", "blue"]),  # counter-clockwise
        ({"rotation": 180}, ["white", "blue", "green", "red"]),
        ({"rotation": 270}, ["blue", "red", "white", "green"]),
        ({"hflip": True}, ["green", "red", "white", "blue"]),
        ({"vflip": True}, ["blue", "white", "red", "green"]),
        ({"rotation": 90, "hflip": True}, ["white", "green", "blue", "red"]),
    ],
)
def test_frames_are_upright(tmp_path: Path, transform: dict[str, int], expected: list[str]) -> None:
    path = write_clip(tmp_path / "a.mp4", 3, draw=quadrants, **transform)  # type: ignore[arg-type]
    frames, source = read_frames(path)
    assert corner_colors(frames[0].image) == expected
    size = (48, 64) if transform.get("rotation") in (90, 270) else (64, 48)
    assert (source.width, source.height) == size == frames[0].image.shape[1::-1]
    assert all(frame.image.flags.c_contiguous for frame in frames)


def test_display_matrix_of_a_phone_held_upright(tmp_path: Path) -> None:
    """Uses the bytes that phones write into `tkhd` for a clockwise quarter turn, not those that PyAV writes."""
    data = bytearray(write_clip(tmp_path / "a.mp4", 3, draw=quadrants).read_bytes())
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    offset = data.index(identity, data.index(b"tkhd"))
    data[offset : offset + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "phone.mp4").write_bytes(data)
    frames, source = read_frames(tmp_path / "phone.mp4")
    assert corner_colors(frames[0].image) == ["blue", "red", "white", "green"]
    assert (source.width, source.height) == (48, 64)


def yuv_to_rgb(yuv: tuple[int, int, int], bits: int, full: bool, kr: float, kb: float) -> np.ndarray:
    """Source: ITU-R BT.601 / BT.709 / BT.2020: luma coefficients kr and kb, and the quantization of both ranges."""
    unit = 1 << (bits - 8)
    low, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    top = (1 << bits) - 1 if full else 0
    y = (yuv[0] - low * unit) / (top or luma * unit)
    u, v = ((c - 128 * unit) / (top or chroma * unit) for c in yuv[1:])
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.array([red, green, blue]) * 255, 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("space", "kr", "kb"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (9, 0.2627, 0.0593)])
@pytest.mark.parametrize(
    ("pix_fmt", "bits", "step_x", "step_y"),
    [("yuv420p", 8, 2, 2), ("yuv422p", 8, 2, 1), ("yuv420p10le", 10, 2, 2), ("yuv422p10le", 10, 2, 1)],
)
def test_colors_follow_matrix_range_and_depth(
    tmp_path: Path, pix_fmt: str, bits: int, step_x: int, step_y: int, space: int, kr: float, kb: float, full: bool
) -> None:
    width, height = 32, 24
    yuv = tuple(value << (bits - 8) for value in (120, 100, 170))
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, value, x, y in zip(frame.planes, yuv, (1, step_x, step_x), (1, step_y, step_y), strict=True):
        line = np.zeros(plane.line_size * (height // y) // (bits + 7 >> 3), np.uint16 if bits > 8 else np.uint8)
        line[:] = value
        assert plane.width == width // x
        plane.update(line.tobytes())
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        frame.colorspace = stream.codec_context.colorspace = space
        frame.color_range = stream.codec_context.color_range = 2 if full else 1
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _ = read_frames(path)
    expected = yuv_to_rgb(yuv, bits, full, kr, kb)  # type: ignore[arg-type]
    assert np.abs(frames[0].image - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [("mjpeg", "yuvj420p", "avi"), ("ffv1", "gray", "mkv"), ("libx264", "yuv444p", "mp4"), ("png", "rgb24", "mov")],
)
def test_full_range_and_gray_frames_keep_their_levels(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    frames, _ = read_frames(write_clip(tmp_path / f"a.{suffix}", 6, codec=codec, pix_fmt=pix_fmt))
    assert frame_numbers(frames) == list(range(6))
    assert abs(int(np.median(frames[0].image)) - 30) <= 3


def test_odd_size(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.mkv", 3, size=(63, 47), codec="ffv1", pix_fmt="yuv444p"))
    assert frames[2].image.shape == (47, 63, 3) and (source.width, source.height) == (63, 47)
    assert frame_numbers(frames) == [0, 1, 2]


def test_frames_are_scaled_to_the_size_of_the_first_one(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "s.ts", 12, size=(64, 48), options={"g": "1"} | NO_B_FRAMES).read_bytes()
    large = write_clip(tmp_path / "l.ts", 12, size=(128, 96), options={"g": "1"} | NO_B_FRAMES).read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    frames, _ = read_frames(tmp_path / "both.ts")
    assert len(frames) > 20 and {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert read_number(frames[-1].image) == 11
