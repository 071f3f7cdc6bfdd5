"""Presentation timestamps made strictly increasing, whatever the container states."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

SHORT_JUMP = Fraction(1)
"""Seconds. After a longer jump more of the following timestamps are asked for."""
END_GAP = Fraction(10)
"""Seconds. A longer gap after the first or before the last timestamp counts only if others are about as long."""
FEW, MANY = 4, 16
"""Numbers of following timestamps that decide on a short and on a long jump."""


def to_microseconds(seconds: float | Fraction) -> float:
    """Rounds to whole microseconds (infinity stays), so that decimal times compare equal to exact ones."""
    return math.inf if seconds == math.inf else round(seconds * 10**6)


class MonotonicTimestamps:
    """Makes the timestamps of a stream strictly increasing: mends single wrong ones, and keeps true gaps.

    A jump counts only if the timestamps that follow agree with it.

    - Forward, and most of those that follow lie beyond it: a true gap, which is kept, however long.
    - Back, and those that follow stay back: the clock started again (recordings that were joined). Time continues one
      duration after the previous timestamp, and later ones keep their intervals.
    - Otherwise that one timestamp is wrong, or repeats the previous one: it is placed between its neighbors, which are
      as they would be without it. Where there is no unit of time between them, it is dropped.
    - The same holds for a missing timestamp.
    - Where neighbors have exchanged their timestamps, they are sorted.

    At the ends nothing agrees or disagrees: a jump to the last timestamp, or away from the first one, counts if it is
    no longer than `END_GAP`, than four times other intervals, or than `stated_duration`.

    All numbers but those of `FEW` and `MANY` are in units of the time base.

    Args:
        time_base: Seconds of a unit.
        wrap: Number at which the container's counter starts again at 0 (2^33 in MPEG-TS); 0 where it never does.
        stated_duration: Duration of the stream, if the container states it independently of the timestamps.

    Attributes:
        restamped: Wrong or repeated timestamps that were placed anew, so far.
        dropped: Timestamps dropped so far.
        filled: Missing timestamps so far.
        restarts: Restarts of the clock so far.
        offsets: What was added to the stated timestamps after each restart, and after each return of the counter to 0.

    Example:
        >>> times, stated = MonotonicTimestamps(Fraction(1, 10)), [0, 1, 9999, 3, 4, 0, 1, 2]
        >>> [times.correct(pts, 1, stated[n + 1 :]) for n, pts in enumerate(stated)]
        [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, time_base: Fraction, wrap: int = 0, stated_duration: int = 0) -> None:
        self.restamped = 0
        self.dropped = 0
        self.filled = 0
        self.restarts = 0
        self.offsets: list[int] = []
        self._short_jump = SHORT_JUMP / time_base
        self._end_gap = max(int(END_GAP / time_base), stated_duration)
        self._wrap = wrap
        self._offset = 0
        self._last: int | None = None
        self._last_step: int | None = None
        self._longest_steps = [0, 0]
        self._steps = 0

    def look_ahead(self, pts: int | None, duration: int) -> int:
        """Returns how many of the timestamps that follow `correct` needs for this one: usually none.

        Args:
            pts: See `correct`.
            duration: See `correct`.
        """
        if pts is None or self._last is None:
            return FEW
        step = pts + self._offset - self._last
        if self._is_ordinary(step, duration):
            return 0
        return FEW if abs(step) <= self._short_jump else MANY

    def correct(self, pts: int | None, duration: int, following: Sequence[int] = ()) -> int | None:
        """Returns the timestamp to use, or None where the frame or packet is to be dropped.

        Args:
            pts: Stated timestamp; None where there is none.
            duration: Usual duration, at least 1.
            following: Timestamps that are stated after this one, in the order of the stream or in that of decoding; at
                least as many as `look_ahead` returned, fewer only at the end of the stream.
        """
        corrected = self._correct(pts, max(1, duration), following)
        if corrected is None:
            self.dropped += 1
        else:
            if self._last is not None:
                self._last_step = corrected - self._last
            self._last = corrected
        return corrected

    def _correct(self, pts: int | None, duration: int, following: Sequence[int]) -> int | None:
        if self._last is None:
            return self._correct_first(pts, duration, following)
        if pts is None:
            self.filled += 1
            return self._place(self._last, duration, self._unwrapped(following))
        if self._is_ordinary(pts + self._offset - self._last, duration):
            return self._accept(pts + self._offset)
        unwrapped, later = self._unwrap(pts), self._unwrapped(following)
        if unwrapped > self._last:
            if self._is_true_gap(unwrapped, self._last, later):
                self._set_offset(unwrapped - pts)
                return self._accept(unwrapped)
        elif self._is_restart(unwrapped, self._last, later, duration):
            self.restarts += 1
            self._set_offset(self._last + duration - self._beginning(pts, duration, following))
            return self._last + duration
        placed = self._place(self._last, duration, later)
        if placed is None and unwrapped not in later and self._last < unwrapped < max(later[:FEW]):
            placed = self._last + 1  # the place of the next one, which this one has exchanged its own for
        self.restamped += placed is not None
        return placed

    def _correct_first(self, pts: int | None, duration: int, following: Sequence[int]) -> int:
        if pts is None:
            self.filled += 1
            return min(following) - duration if following else 0
        beginning = self._beginning(pts, duration, following)
        self.restamped += beginning != pts
        return beginning

    def _beginning(self, pts: int, duration: int, following: Sequence[int]) -> int:
        """Returns the first timestamp of a recording, or one duration before the next if it does not fit the others."""
        if not following:
            return pts
        later = sorted(following[:FEW])
        intervals = [second - first for first, second in pairwise(later)]
        is_alone = len(later) >= FEW - 1 and later[0] - pts > max(self._end_gap, 4 * max(intervals))
        if not (is_alone or _is_late(pts, following[:FEW], duration)):
            return pts
        return later[0] - duration

    def _is_ordinary(self, step: int, duration: int) -> bool:
        """Returns True for a step too short to pass over a later frame; it needs no timestamps that follow."""
        shortest = duration if self._last_step is None else min(duration, self._last_step)
        return 0 < 2 * step <= 3 * shortest

    def _is_true_gap(self, pts: int, last: int, later: list[int]) -> bool:
        passed_over = sum(last < other <= pts for other in later)
        if passed_over:
            close_behind = sum(pts < other <= pts + (pts - last) // 2 for other in later)
            with_it = [pts, *sorted(other for other in later if other > pts)]
            without_it = sorted(other for other in later if other > last)
            return close_behind > passed_over and _unevenness(with_it) < _unevenness(without_it)
        if any(other > pts for other in later):
            return True
        # One long interval among many is no sign that others are long, too.
        longest = self._longest_steps[-2 if self._steps > FEW else -1]
        return pts - last <= max(self._end_gap, 4 * longest)

    def _is_restart(self, pts: int, last: int, later: list[int], duration: int) -> bool:
        stay_back = sum(pts < other <= last for other in later)
        expected = min(len(later), (last - pts) // duration)
        return expected > 0 and 2 * stay_back >= expected

    def _set_offset(self, offset: int) -> None:
        if offset != self._offset:
            self._offset = offset
            self.offsets.append(offset)

    def _accept(self, pts: int) -> int:
        if self._last is not None:
            self._longest_steps = sorted([*self._longest_steps, pts - self._last])[1:]
            self._steps += 1
        return pts

    def _place(self, last: int, duration: int, later: list[int]) -> int | None:
        """Returns a time after `last` and before those of `later` that are after it; None if there is no room."""
        next_pts = min((other for other in later[:FEW] if other > last), default=None)
        if next_pts is None:
            return last + duration
        room = (next_pts - last) // 2
        return last + min(duration, room) if room else None

    def _unwrapped(self, following: Iterable[int]) -> list[int]:
        return [self._unwrap(pts) for pts in following]

    def _unwrap(self, pts: int) -> int:
        """Returns a stated timestamp as it is without the counter's return to 0, which FFmpeg corrects only once.

        FFmpeg also takes recordings that were joined for such a return, where the second one begins much earlier.
        """
        assert self._last is not None
        shifted = pts + self._offset
        if self._wrap and 2 * (self._last - shifted) > self._wrap:
            return shifted + self._wrap
        if self._wrap and 2 * (shifted - self._last) > self._wrap and pts >= self._wrap:
            return shifted - self._wrap
        return shifted


def _is_late(first: int, following: Sequence[int], duration: int) -> bool:
    """Returns True if the first timestamp is wrong, and not one of those that follow and are not after it."""
    passed_over = [place for place, other in enumerate(following) if other <= first]
    if len(passed_over) != 1 or len(following) == 1:
        return len(passed_over) > 1
    # The next one is among the first three in the order of decoding. The place of the wrong one is before the others,
    # or else it is missing among them.
    return passed_over[0] < 3 and all(2 * (second - one) <= 3 * duration for one, second in pairwise(sorted(following)))


def _unevenness(ascending: Sequence[int]) -> float:
    """Returns the difference of the longest and the shortest interval; infinity where there is none."""
    intervals = [second - first for first, second in pairwise(ascending)]
    return max(intervals) - min(intervals) if intervals else math.inf
