"""Bare streams of frames, which have no container and no times: .h264, .hevc, .m2v, .mjpeg."""

from fractions import Fraction
from pathlib import Path

import pytest

from video_clips import NTSC, frame_numbers, numbered_image, read_frames, write_clip, write_image

HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none"}}


@pytest.mark.parametrize(
    ("suffix", "rate", "settings"),
    [
        ("h264", 10, {}),
        ("h264", Fraction(24000, 1001), {}),
        ("h264", Fraction(25, 2), {"options": {"bf": "0"}}),
        ("hevc", 10, HEVC),
        ("hevc", NTSC, HEVC),
        ("m2v", Fraction(24000, 1001), {"codec": "mpeg2video"}),
        ("m1v", 24, {"codec": "mpeg1video"}),
    ],
)
def test_rate_of_the_stream_itself(
    tmp_path: Path, suffix: str, rate: Fraction, settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    frames, source = read_frames(write_clip(tmp_path / f"raw.{suffix}", 20, rate, **settings))  # type: ignore[arg-type]
    assert source.frame_rate == rate and frame_numbers(frames) == list(range(20))
    assert [frame.pts * source.time_base for frame in frames] == [number / Fraction(rate) for number in range(20)]
    assert source.last_duration == 1 / Fraction(rate) and not source.truncated and not caplog.text


@pytest.mark.parametrize(("given", "rate"), [("30000/1001", NTSC), (12.5, Fraction(25, 2)), (29.97, Fraction("29.97"))])
def test_given_rate_is_exact_and_goes_before_the_stream_s_own(tmp_path: Path, given: object, rate: Fraction) -> None:
    frames, source = read_frames(write_clip(tmp_path / "raw.h264", 20, 10), fps=given)
    assert source.frame_rate == rate
    assert [frame.pts * source.time_base for frame in frames] == [number / rate for number in range(20)]
    write_image(tmp_path / "image_1.png", numbered_image(1))
    write_image(tmp_path / "image_2.png", numbered_image(2))
    images, source = read_frames(f"{tmp_path}/image_*.png", fps=given)
    assert source.frame_rate == rate and images[1].pts * source.time_base == 1 / rate


def test_stream_that_states_no_rate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "raw.mjpeg", 12, 10, codec="mjpeg", pix_fmt="yuvj420p")
    frames, source = read_frames(path)
    assert source.frame_rate == 30 and [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(12)])
    assert caplog.text.count("states no frame rate, and 30 frames per second are taken: give --fps") == 1
    caplog.clear()
    assert read_frames(path, fps=10)[1].frame_rate == 10 and not caplog.text


def test_given_rate_changes_no_video_that_has_times(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.mp4", 12, 10), fps=50)
    assert source.frame_rate == 10 and frames[-1].time == pytest.approx(1.1)


def test_start_end_and_every_of_a_bare_stream(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "raw.h264", 30, 10)
    frames, _ = read_frames(path, start=0.5, end=2, every=4)
    assert frame_numbers(frames) == [5, 9, 13, 17] and [frame.time for frame in frames] == [0.5, 0.9, 1.3, 1.7]
