"""Times of decoded frames: those of the container, mended, or counted where there is no container."""

from abc import ABC, abstractmethod
from collections import Counter
from fractions import Fraction

from av import VideoFrame

from tracker.video.decoder import VideoDecoder
from tracker.video.timestamps import MonotonicTimestamps

REGULAR = Fraction(3, 4)
"""Fraction of the intervals between frames that have to be alike for a longer one to be told as a gap."""
MAX_INTERVALS = 1000
"""Different intervals that are counted; a video with more of them is not regular."""


class FrameTimestamps(ABC):
    """Gives each frame its timestamp, in order.

    Attributes:
        time_base: Seconds of a unit of the timestamps.
        first_pts: The timestamp of the first frame.
        clock_offsets: See `Source`.
    """

    time_base: Fraction
    first_pts: int

    def __init__(self) -> None:
        self.clock_offsets: list[Fraction] = []

    @abstractmethod
    def next_pts(self, frame: VideoFrame) -> int | None:
        """Returns the timestamp of the next frame, later than all before it; None for a frame that is to be dropped."""

    @abstractmethod
    def duration(self, frame: VideoFrame) -> Fraction:
        """Returns the seconds for which a frame is shown; 0 where they are not stated."""

    @property
    def were_mended(self) -> bool:
        """True if a stated time was wrong, so that what else is stated about time is not to be believed either."""
        return False

    @abstractmethod
    def report(self) -> list[str]:
        """Returns a sentence about each kind of mistake that was mended or found."""


class StatedTimestamps(FrameTimestamps):
    """Takes the times that the container states, and mends those that are wrong.

    Args:
        decoder: Decodes the frames.
        time_base: Seconds of a unit.
        frame_rate: Frames per second, for frames whose duration is not stated.
        times: Mends the timestamps.
        by_dts: See `VideoDecoder`.
    """

    def __init__(
        self, decoder: VideoDecoder, time_base: Fraction, frame_rate: Fraction, times: MonotonicTimestamps, by_dts: bool
    ) -> None:
        super().__init__()
        self.time_base = time_base
        self.first_pts = 0
        self._decoder = decoder
        self._usual = max(1, round(1 / frame_rate / time_base))
        self._previous_duration = 0
        self._times = times
        self._by_dts = by_dts
        self._gaps = GapCounter(time_base, self._usual)

    def next_pts(self, frame: VideoFrame) -> int | None:
        stated = frame.dts if self._by_dts else frame.pts
        duration = self._previous_duration or frame.duration or self._usual
        count = self._times.look_ahead(stated, duration)
        pts = self._times.correct(stated, duration, self._decoder.following(count) if count else ())
        if pts is not None:
            self._previous_duration = frame.duration or self._usual
            if self._gaps.last is None:
                self.first_pts = pts
            self._gaps.add(pts, frame.duration)
            new_offsets = self._times.offsets[len(self.clock_offsets) :]
            self.clock_offsets += [offset * self.time_base for offset in new_offsets]
        return pts

    def duration(self, frame: VideoFrame) -> Fraction:
        return (frame.duration or 0) * self.time_base

    @property
    def were_mended(self) -> bool:
        times = self._times
        return bool(times.restamped or times.dropped or times.offsets)

    def report(self) -> list[str]:
        times, sentences = self._times, []
        if times.restamped:
            sentences.append(f"{_frames(times.restamped)} with a wrong or repeated time got one that fits the others")
        if times.dropped:
            sentences.append(f"{_frames(times.dropped)} dropped, as there is no time left between their neighbors")
        if times.restarts:
            count = "once" if times.restarts == 1 else f"{times.restarts} times"
            sentences.append(f"its clock started again {count} (joined recordings); time continues")
        return sentences + self._gaps.report(self.first_pts)


class CountedTimestamps(FrameTimestamps):
    """Counts the frames of a bare stream, in halves of a frame, since some streams repeat single fields.

    Args:
        frame_rate: Frames per second.
        unit: Seconds of a unit of `frame.duration` where the stream states its rate, and thus repeated fields; None
            where all frames are alike.
    """

    def __init__(self, frame_rate: Fraction, unit: Fraction | None) -> None:
        super().__init__()
        self.time_base = 1 / (2 * frame_rate)
        self.first_pts = 0
        self._unit = unit
        self._next = 0

    def next_pts(self, frame: VideoFrame) -> int | None:
        pts = self._next
        self._next += self._fields(frame)
        return pts

    def duration(self, frame: VideoFrame) -> Fraction:
        return self._fields(frame) * self.time_base

    def report(self) -> list[str]:
        return []

    def _fields(self, frame: VideoFrame) -> int:
        stated = (frame.duration or 0) * (self._unit or 0)
        return round(stated / self.time_base) or 2


class GapCounter:
    """Counts the gaps in the times of a video whose frames are otherwise evenly spaced.

    A gap is an interval longer than the others, and than the duration that is stated for the frame before it.

    Args:
        time_base: Seconds of a unit.
        usual: Duration of a frame for which none is stated, units.

    Attributes:
        last: The latest timestamp; None before the first one.

    Example:
        >>> gaps = GapCounter(Fraction(1, 10), usual=1)
        >>> for pts in [*range(5), *range(9, 14)]:
        ...     gaps.add(pts, 1)
        >>> gaps.report(0)
        ['its times have 1 gap, without a frame for 0.500 s after 0.400 s']
    """

    def __init__(self, time_base: Fraction, usual: int) -> None:
        self.last: int | None = None
        self._time_base = time_base
        self._usual = usual
        self._expected = usual
        self._intervals: Counter[int] = Counter()
        self._too_long: Counter[int] = Counter()  # those of the intervals that are longer than stated
        self._longest = (0, 0)  # duration and start

    def add(self, pts: int, duration: int) -> None:
        """Takes the next timestamp, and the duration that is stated for its frame, or 0."""
        if self.last is not None:
            interval = pts - self.last
            if interval in self._intervals or len(self._intervals) < MAX_INTERVALS:
                self._intervals[interval] += 1
            if 2 * interval > 3 * self._expected and interval in self._intervals:
                self._too_long[interval] += 1
                self._longest = max(self._longest, (interval, self.last))
        self.last = pts
        self._expected = duration or self._usual

    def report(self, first_pts: int) -> list[str]:
        """Returns a sentence if there are gaps; times in it count from `first_pts`."""
        if not self._too_long or not (usual := self._usual_interval()):
            return []
        count = sum(n for interval, n in self._too_long.items() if 2 * interval > 3 * usual)
        length, start = (float(units * self._time_base) for units in (self._longest[0], self._longest[1] - first_pts))
        where = f"without a frame for {length:.3f} s after {start:.3f} s"
        if count == 1:
            return [f"its times have 1 gap, {where}"]
        return [f"its times have {count} gaps, the longest {where}"] if count else []

    def _usual_interval(self) -> int:
        """Returns the interval that most others are about as long as; 0 if they vary."""
        usual, _ = self._intervals.most_common(1)[0]
        alike = sum(n for interval, n in self._intervals.items() if 4 * abs(interval - usual) <= usual)
        return usual if alike >= REGULAR * self._intervals.total() else 0


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
