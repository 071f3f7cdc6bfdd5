"""Timestamps of the yielded frames: those of the container, made strictly increasing."""

import itertools
import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.video.timestamps import MonotonicTimestamps
from ts_clips import TICKS, restamp, stated_pts
from video_clips import NTSC, frame_numbers, read_frames, write_clip

NO_B_FRAMES = {"bf": "0"}
STEP = 9000
"""Ticks of a tenth of a second."""
FAR = st.integers(-(10**12), 10**12)


def correct_all(
    stated: Sequence[int | None], unit: int = TICKS, duration: int = STEP, wrap: int = 0, stated_duration: int = 0
) -> tuple[list[int | None], MonotonicTimestamps]:
    """Returns the corrected timestamps, for which no more of the later ones were looked at than were asked for."""
    timestamps = MonotonicTimestamps(Fraction(1, unit), wrap, stated_duration)
    corrected = []
    for number, pts in enumerate(stated):
        later = stated[number + 1 : number + 1 + timestamps.look_ahead(pts, duration)]
        corrected.append(timestamps.correct(pts, duration, [other for other in later if other is not None]))
    return corrected, timestamps


def regular(count: int, start: int = 0) -> list[int]:
    return [start + STEP * number for number in range(count)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.smoke
def test_ntsc_times_equal_those_of_the_container(tmp_path: Path, suffix: str) -> None:
    frames, source = read_frames(write_clip(tmp_path / f"a.{suffix}", 40, NTSC))
    exact = [number * 1001 / 30000 for number in range(40)]
    tolerance = 6e-4 if suffix == "mkv" else 1e-9  # Matroska counts milliseconds
    np.testing.assert_allclose([frame.time for frame in frames], exact, atol=tolerance)
    assert frame_numbers(frames) == [frame.index for frame in frames] == list(range(40))
    assert float(source.frame_rate) == pytest.approx(30000 / 1001, rel=1e-3)
    assert frames[-1].time + float(source.last_duration) == pytest.approx(40 * 1001 / 30000, abs=2 * tolerance)
    assert not source.truncated and source.corrupt_packets == 0


@pytest.mark.smoke
def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 1, 5, 6, 7, 20, 21, 22, 30, 31, 33, 60]
    path = write_clip(tmp_path / "v.mp4", pts=pts, options=NO_B_FRAMES)
    frames, source = read_frames(path)
    assert [frame.time for frame in frames] == [p / 10 for p in pts]
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(p, 10) for p in pts]
    assert source.expected_frames == 12


@pytest.mark.smoke
@pytest.mark.parametrize("suffix", ["mp4", "h264"])
def test_rates_and_units_are_exact_fractions(tmp_path: Path, suffix: str) -> None:
    # PyAV 19 has rational numbers of its own, whose products are rounded and whose text is another
    _, source = read_frames(write_clip(tmp_path / f"a.{suffix}", 4))
    assert {type(source.frame_rate), type(source.time_base), type(source.sample_aspect_ratio)} == {Fraction}


def test_time_starts_at_the_first_frame_and_pts_does_not(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):
        frames, source = read_frames(write_clip(tmp_path / f"late.{suffix}", pts=range(37, 49)))
        assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(12)])
        assert frames[0].pts * source.time_base == pytest.approx(3.7)
        assert frames[-1].time + float(source.last_duration) == pytest.approx(1.2)
        assert not source.truncated


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.smoke
def test_avi_with_b_frames_keeps_all_frames(tmp_path: Path, codec: str) -> None:
    frames, _ = read_frames(write_clip(tmp_path / "a.avi", 30, codec=codec, options={"bf": "2"}))
    assert frame_numbers(frames) == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(30)])


@pytest.mark.smoke
def test_gif_frame_times(tmp_path: Path) -> None:
    frames, source = read_frames(write_clip(tmp_path / "a.gif", 5, codec="gif", pix_fmt="rgb8"))
    assert source.time_base == Fraction(1, 100)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert frame_numbers(frames) == list(range(5))


@given(st.lists(st.one_of(st.none(), FAR, st.integers(0, 30 * STEP)), min_size=1, max_size=40))
def test_timestamps_increase_whatever_is_stated(stated: list[int | None]) -> None:
    corrected, timestamps = correct_all(stated)
    kept = [pts for pts in corrected if pts is not None]
    assert all(first < second for first, second in itertools.pairwise(kept))
    assert len(kept) + timestamps.dropped == len(stated)


@given(FAR, st.lists(st.one_of(st.integers(1, 20 * STEP), st.integers(1, 10**12))), *[st.integers(1, 9 * STEP)] * 2)
def test_true_gaps_of_any_length_stay(start: int, steps: list[int], first: int, last: int) -> None:
    stated = np.cumsum([start, first, *steps, last], dtype=object).tolist()
    corrected, timestamps = correct_all(stated)
    assert corrected == stated and timestamps.restamped == timestamps.restarts == 0


@given(st.integers(5, 40), st.integers(0), st.one_of(FAR, st.integers(-20 * STEP, 80 * STEP)))
def test_one_wrong_timestamp_changes_no_other(count: int, place: int, wrong: int) -> None:
    place %= count
    stated = regular(count)
    stated[place] = wrong
    corrected, timestamps = correct_all(stated)
    assert None not in corrected and timestamps.restarts == 0
    mended = corrected.pop(place)
    expected = regular(count)
    del expected[place]
    assert corrected == expected
    assert (place - 1) * STEP < mended or place == 0
    assert mended < (place + 1) * STEP or place == count - 1


@given(st.integers(8, 30), st.integers(5, 30), st.integers(0, 10**10))
def test_time_continues_after_a_restart_of_the_clock(first: int, second: int, back: int) -> None:
    corrected, timestamps = correct_all(regular(first) + regular(second, -back))
    assert corrected == regular(first + second)
    assert timestamps.restarts == 1 and timestamps.offsets == [first * STEP + back]


@pytest.mark.parametrize("outliers", [2, 3, 6])
def test_several_wrong_timestamps_in_a_row(outliers: int) -> None:
    stated = regular(40)
    stated[10 : 10 + outliers] = regular(outliers, 1000 * TICKS)
    corrected, timestamps = correct_all(stated)
    assert corrected == regular(40) and timestamps.restamped == outliers


def test_wrong_timestamps_beside_gaps_and_restarts() -> None:
    stated = regular(20) + regular(20, 5 * 3600 * TICKS) + regular(20, -TICKS)
    expected = regular(20) + regular(20, 5 * 3600 * TICKS) + regular(20, 5 * 3600 * TICKS + 20 * STEP)
    for place, shift in itertools.product((3, 19, 20, 25, 39, 40, 55), (777, -777, 7 * 3600)):
        damaged = list(stated)
        damaged[place] += shift * TICKS
        corrected, timestamps = correct_all(damaged)
        assert timestamps.restarts == 1
        assert corrected[:place] + corrected[place + 1 :] == expected[:place] + expected[place + 1 :]


def test_slides_of_a_show_stay_where_they_are() -> None:
    slides = [0, 600, 1200, 1800, 2400, 3000]
    assert correct_all(slides, unit=1, duration=600)[0] == slides
    assert correct_all([0, 600, 90000, 1800, 2400], unit=1, duration=600)[0] == [0, 600, 1200, 1800, 2400]


def test_long_gap_at_an_end_counts_if_the_header_states_it() -> None:
    late = [*regular(29), 1000 * TICKS]
    assert correct_all(late)[0] == regular(30)
    assert correct_all(late, stated_duration=1001 * TICKS)[0] == late
    early = [0, *regular(29, 1000 * TICKS)]
    assert correct_all(early)[0] == regular(30, 1000 * TICKS - STEP)
    assert correct_all(early, stated_duration=1003 * TICKS)[0] == early


def test_repeated_and_missing_timestamps_get_one_of_their_own() -> None:
    assert correct_all([0, 10, 10, 20, 30], 100, 10)[0] == [0, 10, 15, 20, 30]
    assert correct_all([None, 10, None, 30, 40, None], 100, 10)[0] == [0, 10, 20, 30, 40, 50]
    # Where there is no room between the neighbors, one has to go.
    corrected, timestamps = correct_all([0, 1, 1, 2, 3], 10, 1)
    assert corrected == [0, 1, None, 2, 3] and timestamps.dropped == 1


def test_exchanged_timestamps_are_sorted() -> None:
    assert correct_all([0, 2, 1, 4, 3, 6, 5, 7], 10, 1)[0] == list(range(8))


def test_counter_that_returns_to_zero_twice() -> None:
    """Checks a recording of more than 26.5 hours, of which FFmpeg corrects the first return only."""
    wrap = 2**33
    stated = [*regular(10, wrap - 5 * STEP), *regular(10, 5 * STEP)]
    corrected, timestamps = correct_all(stated, wrap=wrap)
    assert corrected == regular(20, wrap - 5 * STEP)
    assert timestamps.restarts == 0 and timestamps.offsets == [wrap]


def test_recording_that_ffmpeg_takes_for_a_return_to_zero() -> None:
    """Checks a second recording that begins earlier than the first: FFmpeg adds 26.5 hours to it."""
    first = regular(20, 600 * TICKS)
    corrected, timestamps = correct_all(first + regular(20, 2**33), wrap=2**33)
    assert corrected == regular(40, 600 * TICKS) and timestamps.restarts == 1


def test_timestamps_continue_across_joined_recordings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = write_clip(tmp_path / "part.ts", 30).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    frames, source = read_frames(tmp_path / "joined.ts")
    assert frame_numbers(frames) == [*range(30), *range(30)]
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(60)])
    assert source.clock_offsets == [3]
    assert "started again once" in caplog.text
    # A cut is made at the corrected times.
    cut, _ = read_frames(tmp_path / "joined.ts", start=3.5, end=5, every=5)
    assert frame_numbers(cut) == [5, 10, 15] and [frame.time for frame in cut] == pytest.approx([3.5, 4, 4.5])


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}])
@pytest.mark.parametrize("place", [0, 1, 14, 27, 29])
@pytest.mark.parametrize("shift", [1000, -1000, 26.5 * 3600, 0.6])
def test_one_wrong_timestamp_in_a_file(
    tmp_path: Path, options: dict[str, str], place: int, shift: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.ts", 30, pts=range(50_000, 50_030), options=options)
    pts = sorted(stated_pts(path))[place]
    restamp(path, {pts: (pts + round(shift * TICKS)) % 2**33}, tmp_path / "wrong.ts")
    with caplog.at_level(logging.WARNING):
        frames, source = read_frames(tmp_path / "wrong.ts")
    assert frame_numbers(frames) == list(range(30))
    times = [frame.time for frame in frames]
    if (place, shift) == (29, 0.6):  # too short to be surely wrong
        assert times[:29] == pytest.approx([number / 10 for number in range(29)])
        assert "its times have 1 gap" in caplog.text
    else:
        assert times == pytest.approx([number / 10 for number in range(30)], abs=0.06)
        del times[place]
        assert times == pytest.approx([number / 10 for number in range(30) if number != place])
        assert caplog.text.count("wrong.ts") == 1 and "1 frame with a wrong or repeated time" in caplog.text
    assert source.last_duration == pytest.approx(0.1)


def test_every_counts_frames_and_start_and_end_are_corrected_times(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", 30, options=NO_B_FRAMES)
    wrong = restamp(path, {10 * STEP: 1000 * TICKS}, tmp_path / "wrong.ts")
    frames, source = read_frames(wrong, start=0.5, end=2.5, every=5)
    assert frame_numbers(frames) == [5, 10, 15, 20]
    assert [frame.time for frame in frames] == pytest.approx([0.5, 1, 1.5, 2])
    assert source.last_duration == pytest.approx(0.5)


def test_gap_of_hours_between_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late = {number * STEP: (number + 360000) * STEP for number in range(15, 30)}
    path = restamp(write_clip(tmp_path / "a.ts", 30, options=NO_B_FRAMES), late, tmp_path / "gap.ts")
    frames, source = read_frames(path)
    assert frame_numbers(frames) == list(range(30))
    expected = [number / 10 + 36000 * (number >= 15) for number in range(30)]
    assert [frame.time for frame in frames] == pytest.approx(expected)
    assert "its times have 1 gap, without a frame for 36000.100 s after 1.400 s" in caplog.text
    assert source.clock_offsets == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_gap_that_makes_the_average_rate_useless(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    times = [number * 10 + 200_000 * (number >= 15) for number in range(30)]
    path = write_clip(tmp_path / f"a.{suffix}", 30, pts=times, time_base=Fraction(1, 100), options=NO_B_FRAMES)
    frames, _ = read_frames(path)
    assert frame_numbers(frames) == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([time / 100 for time in times])
    assert caplog.text.count("1 gap, without a frame for 2000.100 s") == (suffix != "mp4")  # which states it


def test_look_ahead_keeps_few_frames(tmp_path: Path) -> None:
    """Checks that only packets are read ahead, and none where the times are as usual."""
    timestamps = MonotonicTimestamps(Fraction(1, TICKS))
    timestamps.correct(0, STEP, [STEP])
    assert [timestamps.look_ahead(pts, STEP) for pts in (STEP, STEP + STEP // 2)] == [0, 0]
    assert 0 < timestamps.look_ahead(3 * STEP, STEP) < timestamps.look_ahead(1000 * TICKS, STEP) <= 16
