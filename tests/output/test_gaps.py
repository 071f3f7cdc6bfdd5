"""Gaps of any length between the frames of a video."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tracker.output import open_writer
from tracker.output.gaps import MOST_TICKS, FrameIntervals, find_timescale
from tracker.structures.types import Frame
from video_results import CONFIG, count_decodable, make_info, make_tracks, packet_times, start_times

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
IMAGE = np.full((48, 64, 3), 90, np.uint8)


def write_gap(path: Path, gap: int, unit: Fraction, rate: int = 10, last_duration: Fraction = Fraction(0)) -> Path:
    """Writes five frames before a gap, seconds, and five after it."""
    with open_writer(path, make_info(time_base=unit, frame_rate=Fraction(rate)), ["person"], CONFIG) as writer:
        for n in range(10):
            time = Fraction(n, rate) + (gap if n >= 5 else 0)
            writer.write(Frame(n, float(time), round(time / unit), IMAGE), make_tracks())
        writer.last_duration = last_duration  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("gap", "unit"),
    [
        (10 * HOUR, Fraction(1, 90000)),
        (HOUR, Fraction(1, 10**7)),
        (3 * DAY, Fraction(1, 25)),  # FFmpeg counts such a track in 1/12800 s
        (100 * DAY, Fraction(1, 1000)),
        (YEAR, Fraction(1001, 30000)),
    ],
)
def test_a_gap_stays_as_long_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, gap: int, unit: Fraction
) -> None:
    path = write_gap(tmp_path / f"a{suffix}", gap, unit)
    expected = [round((Fraction(n, 10) + (gap if n >= 5 else 0)) / unit) * unit for n in range(10)]
    times = start_times(path)
    tolerance = 0.008 if gap == YEAR else 0.0006  # half a unit
    assert [float(time) for time in times] == pytest.approx([float(time) for time in expected], abs=tolerance)
    assert count_decodable(path) == 10
    assert ("rounded" in caplog.text) == (gap == YEAR and suffix != ".mkv")


def test_times_on_both_sides_of_a_gap_are_exact_where_they_can_be(tmp_path: Path) -> None:
    path = write_gap(tmp_path / "a.mp4", 10 * HOUR, Fraction(1, 90000))
    assert start_times(path) == [Fraction(n, 10) + (10 * HOUR if n >= 5 else 0) for n in range(10)]


def test_a_gap_that_no_mp4_can_hold_is_shortened_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The gap of a camera whose clock is set from 1970 to today."""
    path = write_gap(tmp_path / "a.mp4", 50 * YEAR, Fraction(1, 90000))
    times = [float(time) for time in start_times(path)]
    assert np.delete(np.diff(times), 4) == pytest.approx(np.full(8, 0.1), abs=1e-6)
    assert times[5] - times[4] == pytest.approx(MOST_TICKS / 10, rel=1e-3)
    assert f"{path} cannot hold a gap of 1576800000 s, which becomes shorter: a .mkv can" in caplog.text
    times = [float(time) for time in start_times(write_gap(tmp_path / "a.mkv", 50 * YEAR, Fraction(1, 90000)))]
    assert times[5] - times[4] == pytest.approx(50 * YEAR + 0.1, abs=0.001)


def test_a_last_frame_that_lasts_for_hours(tmp_path: Path) -> None:
    path = write_gap(tmp_path / "a.mp4", 0, Fraction(1, 90000), last_duration=Fraction(10 * HOUR))
    assert float(packet_times(path)[-1][1]) == pytest.approx(10 * HOUR)
    assert float(start_times(path)[-1]) == pytest.approx(0.9, abs=1e-5)


def test_intervals_that_fit_need_no_other_unit() -> None:
    intervals = FrameIntervals(MOST_TICKS)
    assert [intervals.add(pts) for pts in (0, 3003, 3003 + MOST_TICKS)] == [0, 3003, 3003 + MOST_TICKS]
    assert find_timescale(intervals, Fraction(1, 30), Fraction(1, 90000), Path("a.mp4")) is None
    assert not intervals.shortened
