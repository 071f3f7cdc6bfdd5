"""Selection of frames by time, and closing of a source."""

from fractions import Fraction
from pathlib import Path

import pytest

from tracker.errors import InputError
from video_clips import NTSC, frame_numbers, noise, open_uri, read_frames, read_number, write_clip


@pytest.mark.smoke
def test_start_end_and_every_select_frames_by_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, NTSC)
    frames, source = read_frames(path, start=5 * 1001 / 30000, end=0.9, every=4)
    assert frame_numbers(frames) == [frame.index for frame in frames] == [5, 9, 13, 17, 21, 25]
    assert [frame.time for frame in frames] == pytest.approx([n * 1001 / 30000 for n in (5, 9, 13, 17, 21, 25)])
    assert source.expected_frames == len(frames)
    assert source.last_duration == 2 * 1001 / Fraction(30000)  # 0.9 s is inside the 27th interval


def test_decimal_start_selects_the_frame_of_that_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 12, 10)
    assert frame_numbers(read_frames(path, start=0.3, end=0.7)[0]) == [3, 4, 5, 6]
    # The time of a frame in a table, with six decimals, selects this frame.
    ntsc = write_clip(tmp_path / "b.mp4", 12, NTSC)
    for number in range(12):
        assert frame_numbers(read_frames(ntsc, start=round(number * 1001 / 30000, 6))[0])[0] == number


def test_last_duration_reaches_the_end_over_skipped_frames(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.mp4", 12, 10), every=5)
    assert frame_numbers(frames) == [0, 5, 10]
    assert source.last_duration == Fraction(2, 10)


def test_time_range_between_two_frames_is_an_error(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20)
    with (
        pytest.raises(InputError, match=r"has no frame from 0\.51 s to 0\.52 s"),
        open_uri(tmp_path / "a.mp4", start=0.51, end=0.52) as source,
    ):
        list(source)


def test_start_beyond_the_last_frame_of_a_truncated_file(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mkv", 60, draw=noise).read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    with open_uri(tmp_path / "a.mkv", start=5.5) as source, pytest.raises(InputError, match="beyond the end"):
        list(source)


def test_single_pass_and_closing(tmp_path: Path) -> None:
    source = open_uri(write_clip(tmp_path / "a.mp4", 12))
    assert read_number(next(iter(source)).image) == 0
    source.close()
    source.close()
    assert list(source) == []
