"""Reading: what comes out of a source, when, and what is said where nothing can."""

import gc
import http.server
import itertools
import logging
import math
import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from paths import CLIPS
from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.types import Frame
from tracker.video import Source, open_source
from tracker.video.live import LiveSource
from tracker.video.timestamps import Timestamps
from video_clips import NTSC, number_of, numbered, quadrants, write_clip, write_image, write_tone

NO_B_FRAMES = {"bf": "0"}


def opened(spec: object, **config: object) -> Source:
    return open_source(spec, SourceConfig.model_validate(config))  # type: ignore[arg-type]


def read(spec: object, **config: object) -> tuple[list[Frame], Source]:
    with opened(spec, **config) as source:
        return list(source), source


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


# Time


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_ntsc_times_are_those_of_the_container(tmp_path: Path, suffix: str) -> None:
    frames, source = read(write_clip(tmp_path / f"a.{suffix}", 40, NTSC))
    exact = [number * 1001 / 30000 for number in range(40)]
    tolerance = 6e-4 if suffix == "mkv" else 1e-9  # Matroska counts milliseconds
    np.testing.assert_allclose([frame.time for frame in frames], exact, atol=tolerance)
    assert numbers(frames) == [frame.index for frame in frames] == list(range(40))
    assert float(source.frame_rate) == pytest.approx(30000 / 1001, rel=1e-3)
    assert frames[-1].time + float(source.last_duration) == pytest.approx(40 * 1001 / 30000, abs=2 * tolerance)
    assert not source.truncated and source.corrupt_packets == 0


def test_variable_rate_stays_variable(tmp_path: Path) -> None:
    pts = [0, 1, 5, 6, 7, 20, 21, 22, 30, 31, 33, 60]
    path = write_clip(tmp_path / "v.mp4", pts=pts, options=NO_B_FRAMES)
    frames, source = read(path)
    assert [frame.time for frame in frames] == [p / 10 for p in pts]
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(p, 10) for p in pts]
    assert source.expected_frames == 12


def test_time_starts_at_the_first_frame_and_pts_does_not(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):
        frames, source = read(write_clip(tmp_path / f"late.{suffix}", pts=range(37, 49)))
        assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(12)])
        assert frames[0].pts * source.time_base == pytest.approx(3.7)
        assert frames[-1].time + float(source.last_duration) == pytest.approx(1.2)
        assert not source.truncated


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_reordered_frames_keeps_all_of_them(tmp_path: Path, codec: str) -> None:
    frames, _ = read(write_clip(tmp_path / "a.avi", 30, codec=codec, options={"bf": "2"}))
    assert numbers(frames) == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(30)])


def test_gif_has_its_own_times(tmp_path: Path) -> None:
    frames, source = read(write_clip(tmp_path / "a.gif", 5, codec="gif", pix_fmt="rgb8"))
    assert source.time_base == Fraction(1, 100)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert numbers(frames) == list(range(5))


def test_timestamps_only_go_forward() -> None:
    stamps = Timestamps(Fraction(1, 10))
    given = [5, 6, 6, 4, None, 9, 100, 0, 1, 1, None, 3]
    placed = [stamps.place(pts, 1) for pts in given]
    # A repeated and a late one are dropped, a missing one is filled, a jump back of 10 s starts the clock anew.
    assert placed == [5, 6, None, None, 7, 9, 100, 101, 102, None, 103, 104]
    assert (stamps.dropped, stamps.filled, stamps.restarts) == (3, 2, 1)


def test_joined_recordings_go_on(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts", 30).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    frames, _ = read(tmp_path / "joined.ts")
    times = np.array([frame.time for frame in frames])
    assert len(frames) >= 58 and (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx((len(frames) - 1) / 10, abs=0.3)


# Choice of frames


def test_start_end_and_every_choose_frames_by_their_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, NTSC)
    frames, source = read(path, start=5 * 1001 / 30000, end=0.9, every=4)
    assert numbers(frames) == [frame.index for frame in frames] == [5, 9, 13, 17, 21, 25]
    assert [frame.time for frame in frames] == pytest.approx([n * 1001 / 30000 for n in (5, 9, 13, 17, 21, 25)])
    assert source.expected_frames == len(frames)
    assert source.last_duration == 2 * 1001 / Fraction(30000)  # 0.9 s is inside the 27th interval


def test_decimal_start_meets_the_frame_of_that_moment(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 12, 10)
    assert numbers(read(path, start=0.3, end=0.7)[0]) == [3, 4, 5, 6]
    # What a table with six decimals says of a frame finds this frame again.
    ntsc = write_clip(tmp_path / "b.mp4", 12, NTSC)
    for number in range(12):
        assert numbers(read(ntsc, start=round(number * 1001 / 30000, 6))[0])[0] == number


def test_last_duration_reaches_the_end_over_skipped_frames(tmp_path: Path) -> None:
    frames, source = read(write_clip(tmp_path / "a.mp4", 12, 10), every=5)
    assert numbers(frames) == [0, 5, 10]
    assert source.last_duration == Fraction(2, 10)


# Pixels


def corners(image: np.ndarray) -> list[str]:
    """Colours of the four quarters, row by row."""
    height, width, _ = image.shape
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    points = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [names[tuple(int(value > 100) for value in image[point])] for point in points]


@pytest.mark.parametrize(
    ("turn", "expected"),
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
def test_frames_are_upright(tmp_path: Path, turn: dict[str, int], expected: list[str]) -> None:
    path = write_clip(tmp_path / "a.mp4", 3, draw=quadrants, **turn)  # type: ignore[arg-type]
    frames, source = read(path)
    assert corners(frames[0].image) == expected
    size = (48, 64) if turn.get("rotation") in (90, 270) else (64, 48)
    assert (source.width, source.height) == size == frames[0].image.shape[1::-1]
    assert all(frame.image.flags.c_contiguous for frame in frames)


def test_matrix_of_a_phone_held_upright(tmp_path: Path) -> None:
    """The bytes that phones write into `tkhd` for a clockwise quarter turn, not PyAV's idea of them."""
    data = bytearray(write_clip(tmp_path / "a.mp4", 3, draw=quadrants).read_bytes())
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = data.index(identity, data.index(b"tkhd"))
    data[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "phone.mp4").write_bytes(data)
    frames, source = read(tmp_path / "phone.mp4")
    assert corners(frames[0].image) == ["blue", "red", "white", "green"]
    assert (source.width, source.height) == (48, 64)


def yuv_to_rgb(yuv: tuple[int, int, int], bits: int, full: bool, kr: float, kb: float) -> np.ndarray:
    """Source: ITU-R BT.601 / BT.709 / BT.2020: luma coefficients kr and kb, and the quantisation of both ranges."""
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
    ("pix_fmt", "bits", "across", "down"),
    [("yuv420p", 8, 2, 2), ("yuv422p", 8, 2, 1), ("yuv420p10le", 10, 2, 2), ("yuv422p10le", 10, 2, 1)],
)
def test_colours_follow_matrix_range_and_depth(
    tmp_path: Path, pix_fmt: str, bits: int, across: int, down: int, space: int, kr: float, kb: float, full: bool
) -> None:
    width, height = 32, 24
    yuv = tuple(value << (bits - 8) for value in (120, 100, 170))
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, value, x, y in zip(frame.planes, yuv, (1, across, across), (1, down, down), strict=True):
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
    frames, _ = read(path)
    expected = yuv_to_rgb(yuv, bits, full, kr, kb)  # type: ignore[arg-type]
    assert np.abs(frames[0].image - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [("mjpeg", "yuvj420p", "avi"), ("ffv1", "gray", "mkv"), ("libx264", "yuv444p", "mp4"), ("png", "rgb24", "mov")],
)
def test_full_range_and_grey_pictures_keep_their_levels(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    frames, _ = read(write_clip(tmp_path / f"a.{suffix}", 6, codec=codec, pix_fmt=pix_fmt))
    assert numbers(frames) == list(range(6))
    assert abs(int(np.median(frames[0].image)) - 30) <= 3


def test_odd_size(tmp_path: Path) -> None:
    frames, source = read(write_clip(tmp_path / "a.mkv", 3, size=(63, 47), codec="ffv1", pix_fmt="yuv444p"))
    assert frames[2].image.shape == (47, 63, 3) and (source.width, source.height) == (63, 47)
    assert numbers(frames) == [0, 1, 2]


def test_frames_do_not_depend_on_threads_even_where_damaged(tmp_path: Path) -> None:
    path = damaged_clip(tmp_path)
    results = []
    for threads in (1, 2, 5, 0):
        with open_source(path, SourceConfig(), threads) as source:
            results.append([(frame.pts, frame.image.tobytes()) for frame in source])
    assert results[0] == results[1] == results[2] == results[3]


def test_size_that_changes_becomes_that_of_the_first_frame(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "s.ts", 12, size=(64, 48), options={"g": "1"} | NO_B_FRAMES).read_bytes()
    large = write_clip(tmp_path / "l.ts", 12, size=(128, 96), options={"g": "1"} | NO_B_FRAMES).read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    frames, _ = read(tmp_path / "both.ts")
    assert len(frames) > 20 and {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert number_of(frames[-1].image) == 11


# Damage


def noise(number: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def damaged_clip(folder: Path) -> Path:
    data = bytearray(
        write_clip(folder / "whole.mkv", 60, size=(160, 120), draw=noise, options={"g": "20"}).read_bytes()
    )
    for place in np.random.default_rng(0).integers(len(data) // 4, 3 * len(data) // 4, 40):
        data[place] ^= 0xFF
    (folder / "damaged.mkv").write_bytes(data)
    return folder / "damaged.mkv"


def test_flipped_bytes_cost_only_some_frames(tmp_path: Path) -> None:
    frames, _ = read(damaged_clip(tmp_path))
    times = [frame.time for frame in frames]
    assert len(frames) > 40 and times == sorted(set(times)) and times[-1] == pytest.approx(5.9)


def test_undecodable_packets_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "a.mov", 20, codec="png", pix_fmt="rgb24", draw=noise)
    data = path.read_bytes()
    signature = b"\x89PNG\r\n\x1a\n"
    places = [i for i in range(len(data)) if data.startswith(signature, i)]
    assert len(places) == 20
    for i in (4, 11):
        data = data[: places[i]] + b"not a picture at all" + data[places[i] + 20 :]
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        frames, source = read(path)
    assert source.corrupt_packets == 2
    expected = [i for i in range(20) if i not in (4, 11)]
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in expected])
    assert "2 damaged packets were skipped" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "gif"])
def test_truncated_file_is_read_to_its_end(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    codec, pix_fmt = ("gif", "rgb8") if suffix == "gif" else ("libx264", "yuv420p")
    whole = write_clip(
        tmp_path / f"whole.{suffix}",
        60,
        draw=noise,
        codec=codec,
        pix_fmt=pix_fmt,
        container_options={"movflags": "faststart"} if suffix == "mp4" else {},
    )
    assert not read(whole)[1].truncated
    (tmp_path / f"cut.{suffix}").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with caplog.at_level(logging.WARNING):
        frames, source = read(tmp_path / f"cut.{suffix}")
    assert 25 < len(frames) < 45
    assert source.last_duration < 0.2
    if suffix != "gif":  # which does not state its length
        assert source.truncated and "was cut off" in caplog.text


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv"):
        frames, source = read(write_clip(tmp_path / f"a.{suffix}", 10, audio=3.0))
        assert len(frames) == 10 and not source.truncated
        assert frames[-1].time + float(source.last_duration) == pytest.approx(1.0)


def test_stream_that_appears_late_ends_nothing_early(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.flv", 60)
    data = bytearray(path.read_bytes())
    place = 13  # after the header: tags of type, size, 7 more bytes, the data, 4 more bytes
    for _ in range(40):
        place += 15 + int.from_bytes(data[place + 1 : place + 4])
    assert data[place] == 9
    data[place] = 8  # a video tag turns into one of sound
    path.write_bytes(data)
    frames, _ = read(path)
    assert len(frames) > 50 and frames[-1].time == pytest.approx(5.9)


# Pictures


def test_folder_of_pictures_in_natural_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11, 100):
        write_image(tmp_path / f"img{number}.png", numbered(number))
    (tmp_path / "notes.txt").write_text("no picture")
    frames, source = read(tmp_path, fps=29.97)
    assert numbers(frames) == [0, 1, 2, 10, 11, 100]
    assert source.frame_rate == Fraction(2997, 100)
    assert [frame.time for frame in frames] == [float(i / Fraction("29.97")) for i in range(6)]
    assert source.expected_frames == 6 and source.media_path is None and source.name == tmp_path.name
    assert numbers(read(str(tmp_path / "img1*.png"))[0]) == [1, 10, 11, 100]
    assert numbers(read(tmp_path / "img10.png")[0]) == [10]


def test_unreadable_pictures_leave_a_gap(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"{number}.jpg", noise(number, 64, 48))
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "2.jpg").write_text("not a picture")
    whole = (tmp_path / "4.jpg").read_bytes()
    (tmp_path / "4.jpg").write_bytes(whole[: len(whole) // 2])
    frames, source = read(tmp_path, fps=10)
    assert [frame.index for frame in frames] == [1, 3, 5] and source.corrupt_packets == 3
    assert [frame.time for frame in frames] == [0.1, 0.3, 0.5]


def test_picture_of_another_size_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", numbered(1))
    write_image(tmp_path / "2.png", numbered(2, 32, 32))
    with opened(tmp_path) as source, pytest.raises(InputError, match=r"2\.png is 32x32 while .* are 64x48"):
        list(source)


# Bad input


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "notes.txt").write_text("this is no video\n" * 100)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44100), 0.5)
    clip = write_clip(tmp_path / "clip.mp4", 12, 10)
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    data = bytearray(write_clip(tmp_path / "png.avi", 3, codec="png", pix_fmt="rgb24").read_bytes())
    (tmp_path / "hollow.avi").write_bytes(data.replace(b"\x89PNG\r\n\x1a\n", b"not it!!"))
    cases: list[tuple[object, dict[str, float], str]] = [
        (tmp_path / "missing.mp4", {}, "there is no file or folder .*missing.mp4"),
        (tmp_path / "empty", {}, "the folder .* holds no pictures"),
        (f"{tmp_path}/*.jpg", {}, "matches no pictures"),
        (tmp_path / "text.mp4", {}, "is not a video"),
        (tmp_path / "notes.txt", {}, "no video in it"),
        (tmp_path / "zero.mp4", {}, "is empty"),
        (tmp_path / "sound.m4a", {}, "no video in it"),
        (headless, {}, "is not a video"),
        (tmp_path / "hollow.avi", {}, "no picture of .* can be decoded"),
        (clip, {"start": 5}, "the start, 5 s, is beyond the end .* at 1.200 s"),
        (clip, {"start": 1, "end": 0.5}, "the end, 0.5 s, is not after the start, 1 s"),
        (97, {}, "camera 97"),
        ("97", {}, "camera 97"),
        ("/dev/video97", {}, "camera /dev/video97"),
        ("gopher://host/a.mp4", {}, "gopher://"),
        ("http://127.0.0.1:9/a.mp4", {}, "Connection refused"),
    ]
    for spec, config, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            opened(spec, **config)
        assert "\n" not in str(caught.value), spec


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 3)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        opened(path)


def test_start_beyond_the_last_frame_of_a_cut_file(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", 60, draw=noise).read_bytes()
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) // 2])
    with opened(tmp_path / "a.mkv", start=5.5) as source, pytest.raises(InputError, match="beyond the end"):
        list(source)


def test_names_with_special_characters(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    for name in ("a:b 100%d [1].mp4", "über*.mp4"):
        path = Path(shutil.copy(clip, tmp_path / name))
        frames, source = read(path)
        assert len(frames) == 3 and source.media_path == path
        assert not set(source.name) & set(' :%*[]/"')


def test_single_pass_and_closing(tmp_path: Path) -> None:
    source = opened(write_clip(tmp_path / "a.mp4", 12))
    assert number_of(next(iter(source)).image) == 0
    source.close()
    source.close()
    assert list(source) == []


# Live


class MotionJpeg(http.server.BaseHTTPRequestHandler):
    """A camera: `frames` numbered pictures at `rate`, then silence, or the end."""

    frames, rate, hang = 60, 50.0, False
    released = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        begin = time.monotonic()
        for number in range(self.frames):
            time.sleep(max(0.0, begin + number / self.rate - time.monotonic()))
            picture = jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + picture + b"\r\n")
            except OSError:  # the reader has left
                return
        if self.hang:
            self.released.wait(20)

    def log_message(self, *args: object) -> None:
        pass


def jpeg(number: int) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        MotionJpeg.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def no_reader_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("read ")]


def test_stream_has_the_time_of_the_clock_and_ends_after_a_stall(caplog: pytest.LogCaptureFixture) -> None:
    handler = type("Stalling", (MotionJpeg,), {"hang": True, "frames": 90, "released": MotionJpeg.released})
    MotionJpeg.released.clear()
    with served(handler) as address, caplog.at_level(logging.WARNING):
        source = opened(f"{address}/camera", timeout=1)
        assert source.live and source.expected_frames == 0 and source.media_path is None
        assert (source.width, source.height, source.name) == (64, 48, "127.0.0.1")
        with source:
            frames = [(frame, time.monotonic()) for frame in source]
            stalled = time.monotonic() - frames[-1][1]
    times = np.array([frame.time for frame, _ in frames])
    clock = np.array([moment for _, moment in frames]) - frames[0][1]
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert np.abs(times - clock).max() < 0.2
    assert number_of(frames[-1][0].image) == 89 and 0.5 < stalled < 3
    assert "no frame for 1 s" in caplog.text or "broke off" in caplog.text
    assert no_reader_left()


def test_slow_consumer_sees_the_present() -> None:
    handler = type("Camera", (MotionJpeg,), {"frames": 120})
    with served(handler) as address, opened(f"{address}/camera", timeout=1) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.2)
    gaps = np.diff([frame.index for frame in frames])
    assert gaps[:-1].max() >= 5  # 0.2 s at 50 frames per second
    shown = np.array([number_of(frame.image) - number_of(frames[0].image) for frame in frames])
    assert (shown == [frame.index for frame in frames]).all()


def test_leaving_a_stream_early_leaves_no_thread() -> None:
    with served(MotionJpeg) as address:
        with opened(f"{address}/camera", timeout=2, end=0.2) as source:
            frames = list(source)
        assert 0 < len(frames) < 40 and frames[-1].time < 0.2
        assert no_reader_left()


def test_a_bug_in_the_reader_thread_reaches_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: LiveSource, packet: object) -> list[av.VideoFrame]:
        raise KeyError("a bug")

    monkeypatch.setattr(LiveSource, "_decode_packet", fail)
    with served(MotionJpeg) as address, pytest.raises(KeyError, match="a bug"):
        opened(f"{address}/camera", timeout=2)
    assert no_reader_left()


def test_camera_without_waiting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """FFmpeg's own test source stands in for a camera's driver."""
    open_container = av.open

    def fake(target: str, *args: object, **kwargs: object) -> object:
        assert target.endswith("3") and kwargs["format"] in ("v4l2", "avfoundation")
        options = kwargs["options"]
        return open_container("testsrc=size=64x48:rate=50:duration=1,realtime", format="lavfi", options=options)

    monkeypatch.setattr(av, "open", fake)
    with caplog.at_level(logging.WARNING), opened(3, timeout=2) as source:
        assert source.live and source.name == "camera3"
        frames = list(source)
    assert frames[-1].time == pytest.approx(frames[-1].index / 50, abs=0.2)
    assert "the stream ended" in caplog.text and no_reader_left()


def test_a_driver_that_never_returns_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    open_container = av.open

    def fake(target: str, *args: object, **kwargs: object) -> object:
        return open_container("testsrc=size=64x48:rate=50:duration=1", format="lavfi")

    def stalling(container: av.container.InputContainer) -> Iterator[av.Packet]:
        yield from itertools.islice(container.demux(), 3)
        release.wait(30)

    monkeypatch.setattr(av, "open", fake)
    monkeypatch.setattr("tracker.video.live.packets", stalling)
    monkeypatch.setattr("tracker.video.live.GRACE", 0.1)
    try:
        with caplog.at_level(logging.WARNING), opened(3, timeout=0.3) as source:
            assert 1 <= len(list(source)) <= 3
        assert "no frame for 0.3 s" in caplog.text
        assert "does not answer" in caplog.text
    finally:
        release.set()
    deadline = time.monotonic() + 5
    while not no_reader_left() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_frames_are_let_go_without_waiting_for_the_garbage_collection(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 60)
    gc.collect()
    gc.disable()
    try:
        with opened(tmp_path / "a.mp4") as source:
            for _ in source:
                alive = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
                assert alive < 10
    finally:
        gc.enable()


def test_a_window_between_two_frames_is_said_to_be_empty(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20)
    with (
        pytest.raises(InputError, match=r"has no frame from 0\.51 s to 0\.52 s"),
        opened(tmp_path / "a.mp4", start=0.51, end=0.52) as source,
    ):
        list(source)


def test_address_of_a_file_is_read_as_a_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20, container_options={"movflags": "faststart"})

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with served(Files) as address:
        frames, source = read(f"{address}/a.mp4", timeout=5)
        assert numbers(frames) == list(range(20)) and not source.live and source.media_path is None
        assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(20)])
        with pytest.raises(InputError, match="404"):
            opened(f"{address}/b.mp4")


def test_silent_host_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"did not answer within 0\.5 s") as caught:
            opened(f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/live", timeout=0.5)
        assert time.monotonic() - begin < 3
        assert "secret" not in str(caught.value)


# Real files


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")
@pytest.mark.parametrize("name", ["highway_38f.mp4", "people.gif", "worker_zone.gif"])
def test_real_clips_as_plain_pyav_reads_them(name: str) -> None:
    with av.open(str(CLIPS / name)) as container:
        reference = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        length = container.streams.video[0].duration
    frames, source = read(CLIPS / name)
    assert [frame.pts for frame in frames] == [pts for pts, _ in reference]
    assert all(np.array_equal(frame.image, image) for frame, (_, image) in zip(frames, reference, strict=True))
    assert (frames[-1].pts - frames[0].pts) * source.time_base + source.last_duration == length * source.time_base
    # FFmpeg guesses the rate of a GIF from its first frames.
    assert source.expected_frames == pytest.approx(len(frames), rel=0.12) and not source.truncated
    assert math.isclose(frames[-1].time, frames[-1].pts * source.time_base)
