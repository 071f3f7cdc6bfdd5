"""Timestamps of the yielded frames: those of the container, made strictly increasing."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tracker.video.timestamps import MonotonicTimestamps
from video_clips import NTSC, frame_numbers, read_frames, write_clip

NO_B_FRAMES = {"bf": "0"}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_ntsc_times_equal_those_of_the_container(tmp_path: Path, suffix: str) -> None:
    frames, source = read_frames(write_clip(tmp_path / f"a.{suffix}", 40, NTSC))
    exact = [number * 1001 / 30000 for number in range(40)]
    tolerance = 6e-4 if suffix == "mkv" else 1e-9  # Matroska counts milliseconds
    np.testing.assert_allclose([frame.time for frame in frames], exact, atol=tolerance)
    assert frame_numbers(frames) == [frame.index for frame in frames] == list(range(40))
    assert float(source.frame_rate) == pytest.approx(30000 / 1001, rel=1e-3)
    assert frames[-1].time + float(source.last_duration) == pytest.approx(40 * 1001 / 30000, abs=2 * tolerance)
    assert not source.truncated and source.corrupt_packets == 0


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 1, 5, 6, 7, 20, 21, 22, 30, 31, 33, 60]
    path = write_clip(tmp_path / "v.mp4", pts=pts, options=NO_B_FRAMES)
    frames, source = read_frames(path)
    assert [frame.time for frame in frames] == [p / 10 for p in pts]
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(p, 10) for p in pts]
    assert source.expected_frames == 12


def test_time_starts_at_the_first_frame_and_pts_does_not(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):
        frames, source = read_frames(write_clip(tmp_path / f"late.{suffix}", pts=range(37, 49)))
        assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(12)])
        assert frames[0].pts * source.time_base == pytest.approx(3.7)
        assert frames[-1].time + float(source.last_duration) == pytest.approx(1.2)
        assert not source.truncated


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_keeps_all_frames(tmp_path: Path, codec: str) -> None:
    frames, _ = read_frames(write_clip(tmp_path / "a.avi", 30, codec=codec, options={"bf": "2"}))
    assert frame_numbers(frames) == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(30)])


def test_gif_frame_times(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.gif", 5, codec="gif", pix_fmt="rgb8"))
    assert source.time_base == Fraction(1, 100)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert frame_numbers(frames) == list(range(5))


def test_timestamps_are_strictly_increasing() -> None:
    timestamps = MonotonicTimestamps(Fraction(1, 10))
    stated = [5, 6, 6, 4, None, 9, 100, 0, 1, 1, None, 3]
    corrected = [timestamps.correct(pts, 1) for pts in stated]
    # A repeated and a late one are dropped, a missing one is filled, a jump back of 10 s is a discontinuity.
    assert corrected == [5, 6, None, None, 7, 9, 100, 101, 102, None, 103, 104]
    assert (timestamps.dropped, timestamps.filled, timestamps.discontinuities) == (3, 2, 1)


def test_timestamps_continue_across_joined_recordings(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts", 30).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    frames, _ = read_frames(tmp_path / "joined.ts")
    times = np.array([frame.time for frame in frames])
    assert len(frames) >= 58 and (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx((len(frames) - 1) / 10, abs=0.3)
