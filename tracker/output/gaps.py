"""Long gaps between the frames of a video, and the units of time in which MP4 and MOV can hold them."""

import logging
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd
from pathlib import Path

logger = logging.getLogger(__name__)

MOST_TICKS = 2**31 - 2**10
"""Longest duration of a sample in an MP4 or MOV, in units of its track: FFmpeg's muxer takes 31 bits of it."""


@dataclass(frozen=True)
class LongGap:
    """A gap that the fragmented video has shortened; all in seconds from the first frame."""

    end_in_file: Fraction  # time of the frame after it in the fragmented video
    end: Fraction  # its true time
    restored: Fraction  # by how much the gap is longer in the final video
    cut: Fraction  # by how much it remains too short there


class FrameIntervals:
    """Watches the times of frames, and shortens those intervals that a container cannot hold.

    Attributes:
        most: The longest interval that the container can hold, in units of the source's time base; None for any.
        longest: The longest interval so far, units of the source's time base.
        shortest: The shortest one; 0 before there are two frames.
        divisor: The greatest common divisor of all times.
        shortened: For each interval that was shortened, the time of the frame after it in the file, and by how much.

    Example:
        >>> intervals = FrameIntervals(most=100)
        >>> [intervals.add(pts) for pts in (0, 40, 1040, 1080)], intervals.shortened
        ([0, 40, 140, 180], [(140, 900)])
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.longest = self.shortest = self.divisor = 0
        self.shortened: list[tuple[int, int]] = []
        self._last: int | None = None
        self._total = 0  # by which all shortened intervals together are shorter

    def add(self, pts: int) -> int:
        """Takes the time of the next frame, and returns its time in the file."""
        if self._last is not None:
            interval = pts - self._last
            self.longest = max(self.longest, interval)
            self.shortest = min(self.shortest or interval, interval)
            if excess := interval - self.shorten(interval):
                self._total += excess
                self.shortened.append((pts - self._total, excess))
        self._last = pts
        self.divisor = gcd(self.divisor, pts)
        return pts - self._total

    def long_gaps(self, time_base: Fraction, timescale: int | None) -> list[LongGap]:
        """Returns the gaps that were shortened, for a final video of so many units in a second."""
        room = Fraction(MOST_TICKS, timescale or 1) - (self.most or 0) * time_base
        gaps: list[LongGap] = []
        total = Fraction(0)
        for pts, excess in self.shortened:
            total += excess * time_base
            restored = min(excess * time_base, room)
            end_in_file = pts * time_base
            gaps.append(LongGap(end_in_file, end_in_file + total, restored, excess * time_base - restored))
        return gaps

    def shorten(self, interval: int) -> int:
        """Returns an interval, or the longest one that the container can hold."""
        return interval if self.most is None else min(interval, self.most)


def find_timescale(intervals: FrameIntervals, last_duration: Fraction, time_base: Fraction, path: Path) -> int | None:
    """Returns the units in a second for the track of an MP4 or MOV; None where those of the source will do.

    They are as fine as the longest interval allows. Where that is too coarse to tell the frames apart, they are just
    fine enough for that, and the interval cannot stay as long as it is. Rounding and shortening are logged.

    Args:
        intervals: Of the frames.
        last_duration: Of the last frame, seconds.
        time_base: Of the source, seconds.
        path: The file, for the log.

    Example:
        >>> ten_hours = FrameIntervals(MOST_TICKS)
        >>> _ = [ten_hours.add(seconds * 90000) for seconds in (0, 1, 36001)]
        >>> find_timescale(ten_hours, Fraction(1), Fraction(1, 90000), Path("a.mp4"))
        59652
    """
    ticks = round(last_duration / time_base)
    longest = max(intervals.longest, ticks)
    if intervals.shorten(longest) == longest:
        return None
    seconds = longest * time_base
    finest = int(MOST_TICKS / seconds)
    exact = (gcd(intervals.divisor, ticks) * time_base).denominator
    if exact <= finest:
        return finest - finest % exact
    shortest = (intervals.shortest or 1) * time_base
    if finest * shortest >= 1:
        logger.warning("%s: times are rounded to 1/%d s, so that it can hold a gap of %.0f s", path, finest, seconds)
        return finest
    logger.warning("%s cannot hold a gap of %.0f s, which becomes shorter: a .mkv can", path, seconds)
    return ceil(1 / shortest)
