"""Losses that a file lets one see: they are told, once, and undamaged files are not mentioned."""

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.video.damage import find_damage
from tracker.video.frame_times import GapCounter
from video_clips import frame_numbers, noise, open_uri, read_frames, write_clip

GIF = {"codec": "gif", "pix_fmt": "rgb8"}
VP8 = {"codec": "libvpx"}
FORMATS: dict[str, dict[str, object]] = {
    "a.mp4": {"audio": 3.0},
    "a.mov": {},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    "a.mkv": {"audio": 3.0},
    "a.webm": VP8,
    "a.ts": {},
    "a.avi": {},
    "a.flv": {},
    "a.ogv": VP8,
    "a.gif": GIF,
    "a.mpg": {"codec": "mpeg2video", "rate": 25},
    "a.asf": {"codec": "mpeg4"},
    "a.nut": {},
    "a.h264": {},
}


def write(path: Path, **settings: object) -> Path:
    return write_clip(path, 30, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_undamaged_files_are_not_mentioned(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    frames, source = read_frames(write(tmp_path / name, **FORMATS[name]))
    assert frame_numbers(frames) == list(range(30)) and not source.truncated
    assert not caplog.text


@pytest.mark.parametrize("first", [0, 37])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "ts"])
def test_videos_of_a_varying_rate_are_not_mentioned(
    tmp_path: Path, suffix: str, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    times = np.cumsum([first, *np.random.default_rng(0).integers(1, 6, 29)]).tolist()
    frames, _ = read_frames(write(tmp_path / f"a.{suffix}", pts=times, options={"bf": "0"}))
    assert [frame.time for frame in frames] == pytest.approx([(time - first) / 10 for time in times])
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "cut", "told"),
    [
        ("a.gif", lambda data: data[: len(data) // 2], "it ends before its last frame"),
        ("a.ts", lambda data: data[: len(data) // 2 // 188 * 188 + 100], "it ends in the middle of a packet"),
        ("a.ogv", lambda data: data[:-30], "its pages are damaged, and frames may be missing"),
        ("a.ogv", lambda data: data[: data.rindex(b"OggS")], "it ends before its last page"),
        ("a.ogv", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "its pages are damaged"),
        ("fragments.mp4", lambda data: data[:-200], "its fragments are damaged"),
        ("fragments.mp4", lambda data: b"?moof".join(data.rsplit(b"moof", 1)), "its fragments are damaged"),
        ("a.avi", lambda data: _remove_chunk(data, b"00dc", 20), "of the 30 frames that it states are missing"),
    ],
)
def test_missing_frames_are_told(
    tmp_path: Path, name: str, cut: Callable[[bytes], bytes], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / name, **FORMATS[name])
    path.write_bytes(cut(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        frames, _ = read_frames(path)
    assert len(frames) < 30
    assert told in caplog.text, caplog.text


def _remove_chunk(data: bytes, name: bytes, number: int) -> bytes:
    """Makes one chunk of an AVI one of an unknown stream."""
    start = -1
    for _ in range(number):
        start = data.index(name, start + 1)
    return data[:start] + b"09dc" + data[start + 4 :]


def test_last_frames_are_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Checks a file that is cut less than half a second before its end, which does not count as truncated."""
    path = write(tmp_path / "a.mkv", options={"bf": "0"})
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    path.write_bytes(path.read_bytes()[: places[27]])
    frames, source = read_frames(path)
    assert len(frames) == 27 and not source.truncated
    assert "its video ends 0.300 s before the end that it states" in caplog.text


def test_frames_that_cannot_be_decoded_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Checks a recording that begins without a key frame: FFmpeg leaves those frames out without an error."""
    path = write(tmp_path / "a.mkv", options={"g": "10", "bf": "0"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if number >= 7 and packet.size:
                packet.stream = stream
                target.mux(packet)
    frames, _ = read_frames(tmp_path / "cut.mkv")
    lost = 23 - len(frames)
    assert frame_numbers(frames)[-20:] == list(range(10, 30)) and lost
    assert f"{lost} of 23 frames could not be decoded and are left out" in caplog.text


def test_errors_that_the_decoder_conceals_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.avi", draw=noise, size=(160, 120), options={"g": "30"})
    data = bytearray(path.read_bytes())
    for offset in range(len(data) // 3, len(data) // 3 + 300):
        data[offset] ^= 0x55
    path.write_bytes(data)
    read_frames(path)
    assert "frames have errors, which the decoder concealed" in caplog.text


def test_gap_in_the_times_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [number for number in range(33) if number not in (10, 11, 20)]
    frames, _ = read_frames(write(tmp_path / "a.mkv", pts=times, options={"bf": "0"}))
    assert [frame.time for frame in frames] == pytest.approx([time / 10 for time in times])
    assert "its times have 2 gaps, the longest without a frame for 0.300 s after 0.900 s" in caplog.text


def test_losses_are_told_of_a_part_and_not_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [number for number in range(33) if number not in (10, 11, 20)]
    path = write(tmp_path / "a.mkv", pts=times, options={"bf": "0"})
    frames, source = read_frames(path, end=2)
    assert len(frames) == 18 and "its times have 2 gaps" in caplog.text
    with source.reopen() as again:
        list(again)
    assert caplog.text.count("a.mkv") == 1


def test_irregular_intervals_are_no_gaps() -> None:
    gaps = GapCounter(Fraction(1, 10), usual=1)
    for pts in (0, 1, 4, 5, 9, 12, 13, 20):
        gaps.add(pts, 0)
    assert gaps.report(0) == []
    stated = GapCounter(Fraction(1, 10), usual=1)
    for pts, duration in ((0, 1), (1, 1), (2, 1), (3, 30), (33, 1), (34, 1), (35, 1), (36, 1)):
        stated.add(pts, duration)  # the frame at 3 is to be shown for that long
    assert stated.report(0) == []


def test_only_known_formats_are_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    assert find_damage(path, "mov,mp4,m4a,3gp,3g2,mj2") == ""
    (tmp_path / "short.gif").write_bytes(b"GIF89a")
    assert find_damage(tmp_path / "short.gif", "gif") == "it ends before its last frame"


def test_frames_that_are_still_in_the_decoder_are_not_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.mp4", options={"bf": "3"})
    with open_uri(path) as source:
        for frame in source:
            if frame.index == 10:
                break
    assert len(read_frames(path, end=1)[0]) == 10 and not caplog.text
