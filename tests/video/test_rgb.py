"""Conversion to upright RGB: rotation, color matrix, range, bit depth and size."""

import os
import struct
import subprocess
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from paths import CASES, needs_cases
from tracker.structures.fit import Fit
from tracker.video.tone_mapping import tone_map
from video_clips import (
    frame_numbers,
    numbered_image,
    quadrants,
    read_frames,
    read_number,
    set_rotation,
    write_clip,
    write_image,
)

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
@pytest.mark.smoke
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
@pytest.mark.smoke
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
@pytest.mark.smoke
def test_full_range_and_gray_frames_keep_their_levels(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    frames, _ = read_frames(write_clip(tmp_path / f"a.{suffix}", 6, codec=codec, pix_fmt=pix_fmt))
    assert frame_numbers(frames) == list(range(6))
    assert abs(int(np.median(frames[0].image)) - 30) <= 3


@pytest.mark.smoke
def test_odd_size(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.mkv", 3, size=(63, 47), codec="ffv1", pix_fmt="yuv444p"))
    assert frames[2].image.shape == (47, 63, 3) and (source.width, source.height) == (63, 47)
    assert frame_numbers(frames) == [0, 1, 2]


def write_jpegs(path: Path, jpegs: list[bytes], size: tuple[int, int] = (64, 48)) -> Path:
    """Writes JPEG files as the frames of a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        container.start_encoding()
        for number, data in enumerate(jpegs):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.duration = stream, number, number, 1
            packet.time_base, packet.is_keyframe = Fraction(1, 10), True
            container.mux(packet)
    return path


@pytest.mark.smoke
@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_frames_with_exif_are_upright(tmp_path: Path, orientation: int) -> None:
    """FFmpeg hands on all of the EXIF data, of which PyAV does not know every type."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a maker"  # orientation and maker. Source: Exif 2.3, table 4
    file = BytesIO()
    Image.fromarray(quadrants()).save(file, "JPEG", exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    frames, source = read_frames(write_jpegs(tmp_path / "a.avi", [file.getvalue()] * 3))
    assert len(frames) == 3 and (source.height, source.width, 3) == upright.shape
    assert {tuple(corner_colors(frame.image)) for frame in frames} == {tuple(corner_colors(upright))}


def join_clips(path: Path, *sizes: tuple[int, int]) -> Path:
    """Writes 12 frames of each size as one transport stream."""
    for number, size in enumerate(sizes):
        write_clip(path.with_name(f"{number}.ts"), 12, size=size, options={"g": "1"} | NO_B_FRAMES)
    path.write_bytes(b"".join(path.with_name(f"{number}.ts").read_bytes() for number in range(len(sizes))))
    return path


@pytest.mark.smoke
def test_frames_of_another_size_are_fitted_into_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames, _ = read_frames(join_clips(tmp_path / "both.ts", (64, 48), (128, 96)))
    assert len(frames) > 20 and {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert read_number(frames[-1].image) == 11
    assert frames[0].fit is None and frames[-1].fit == Fit(128, 96, 0, 0, 64, 48)
    assert caplog.text.count("the size changes from 64x48 to 128x96") == 1


def test_another_aspect_ratio_is_kept(tmp_path: Path) -> None:
    frames, _ = read_frames(join_clips(tmp_path / "both.ts", (64, 48), (128, 48)))
    fit = frames[-1].fit
    assert fit == Fit(128, 48, left=0, top=12, scaled_width=64, scaled_height=24)
    assert not frames[-1].image[:11].any() and not frames[-1].image[37:].any()
    assert read_number(frames[-1].image[13:35]) == 11
    assert fit.to_picture(np.array([[0, 12, 64, 36]], np.float32)).tolist() == [[0, 0, 128, 48]]


def write_with_aspect(path: Path, size: tuple[int, int], aspect: Fraction, rotation: int = 0) -> Path:
    """Writes a clip whose pixels are wider or narrower than high."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options=NO_B_FRAMES)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            set_rotation(stream, rotation)
        for number in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_image(number, *size), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("rotation", "expected"), [(0, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_pixels_that_are_not_square(tmp_path: Path, suffix: str, rotation: int, expected: Fraction) -> None:
    if rotation and suffix == "ts":
        pytest.skip("MPEG-TS has no rotation")
    frames, source = read_frames(write_with_aspect(tmp_path / f"a.{suffix}", (48, 48), Fraction(4, 3), rotation))
    assert source.sample_aspect_ratio == expected and frames[0].image.shape == (48, 48, 3)


def test_a_change_of_size_and_of_the_shape_of_pixels(tmp_path: Path) -> None:
    """Broadcasters change between 1440 wide and 1920 square pixels; a player shows no difference."""
    narrow = write_with_aspect(tmp_path / "a.ts", (48, 48), Fraction(4, 3)).read_bytes()
    square = write_with_aspect(tmp_path / "b.ts", (64, 48), Fraction(1)).read_bytes()
    (tmp_path / "both.ts").write_bytes(narrow + square + narrow)
    frames, source = read_frames(tmp_path / "both.ts")
    assert (source.width, source.height, source.sample_aspect_ratio) == (48, 48, Fraction(4, 3))
    fits = [frame.fit for frame in frames if frame.fit is not None]
    assert len(fits) > 8 and set(fits) == {Fit(64, 48, left=0, top=0, scaled_width=48, scaled_height=48)}


def test_square_pixels_are_taken_where_none_are_stated(tmp_path: Path) -> None:
    assert read_frames(write_clip(tmp_path / "a.mp4", 3))[1].sample_aspect_ratio == 1
    write_image(tmp_path / "a.png", numbered_image(0))
    assert read_frames(tmp_path / "a.png")[1].sample_aspect_ratio == 1


def write_hdr(path: Path, signal: np.ndarray, transfer: int) -> Path:
    """Writes a frame of (H, W) gray HDR values from 0 to 1, in 10 bits and BT.2020."""
    height, width = signal.shape
    frame = av.VideoFrame(width, height, "yuv420p10le")
    levels = [np.rint(64 + 876 * signal), *[np.full((height // 2, width // 2), 512)] * 2]
    for plane, values in zip(frame.planes, levels, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        for target in (frame, stream.codec_context):
            target.colorspace, target.color_range, target.color_primaries, target.color_trc = 9, 1, 9, transfer
        for number in range(3):
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.smoke
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: int, name: str, caplog: pytest.LogCaptureFixture) -> None:
    signal = np.linspace(0, 1, 64)[None].repeat(48, 0)
    frames, _ = read_frames(write_hdr(tmp_path / "a.mkv", signal, transfer))
    expected = np.rint(tone_map(signal[:, :, None].repeat(3, 2), transfer) * 255)
    assert np.abs(frames[0].image - expected).max() <= 2
    assert len(frames) == 3 and caplog.text.count(f"it is HDR ({name})") == 1
    assert frames[0].image.flags.c_contiguous


def test_ten_bits_of_the_standard_range_are_not_tone_mapped(tmp_path: Path) -> None:
    signal = np.linspace(0, 1, 64)[None].repeat(48, 0)
    frames, _ = read_frames(write_hdr(tmp_path / "a.mkv", signal, 14))  # BT.2020, 10 bits
    assert np.abs(frames[0].image - np.rint(signal * 255)[:, :, None]).max() <= 3  # of swscale


@needs_cases
def test_reported_videos() -> None:
    plain, _ = read_frames(CASES / "video/base.mp4")
    hlg, _ = read_frames(CASES / "video/hlg.mp4")
    assert len(hlg) == 30 and np.abs(hlg[10].image.mean((0, 1)) - plain[10].image.mean((0, 1))).max() < 25
    grown, source = read_frames(CASES / "video/rampup.ts")
    assert (source.width, source.height, len(grown)) == (160, 90, 30)
    assert [frame.fit for frame in grown] == [None] * 10 + [Fit(480, 270, 0, 0, 160, 90)] * 20
    frames, source = read_frames(CASES / "video/sar.mp4")
    assert source.sample_aspect_ratio == Fraction(4, 3) and frames[0].image.shape == (270, 360, 3)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_reads_after_its_parent_has_read(tmp_path: Path) -> None:
    """The parent's source is freed in the child, where the threads that it had do not exist."""
    clip = write_clip(tmp_path / "clip.mp4", 5, size=(640, 480))
    program = f"""
import gc, os, sys
gc.disable()
from tracker import SourceConfig, open_source
def read():
    with open_source({str(clip)!r}, SourceConfig(), 2) as source:
        return len(list(source))
read()
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(read() != 5)
sys.exit(os.waitpid(child, 0)[1])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
