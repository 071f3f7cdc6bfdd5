"""Presentation timestamps made strictly increasing, whatever the container states."""

import logging
import math
from fractions import Fraction

logger = logging.getLogger(__name__)

DISCONTINUITY = Fraction(1)
"""Seconds. A larger jump back of the timestamps is a new beginning (joined recordings), a smaller one an error."""


def to_microseconds(seconds: float | Fraction) -> float:
    """Rounds to whole microseconds (infinity stays), so that decimal times compare equal to exact ones."""
    return math.inf if seconds == math.inf else round(seconds * 10**6)


class MonotonicTimestamps:
    """Makes the timestamps of decoded frames strictly increasing.

    - A frame without a timestamp is placed one duration after the previous frame.
    - A frame that is not later than the previous one is dropped: no player would show it.
    - After a jump back of more than `DISCONTINUITY` the clock was reset (recordings that were joined), and time
      continues: that frame is placed one duration after the previous frame, and later ones keep their intervals.

    Attributes:
        dropped: Frames dropped so far.
        filled: Frames so far that had no timestamp.
        discontinuities: Jumps back so far.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.dropped = 0
        self.filled = 0
        self.discontinuities = 0
        self._max_step_back = int(DISCONTINUITY / time_base)
        self._offset = 0
        self._last: int | None = None

    def correct(self, pts: int | None, duration: int) -> int | None:
        """Returns the timestamp to use for a frame, or None where the frame is to be dropped.

        Args:
            pts: Timestamp stated by the container, in units of the time base.
            duration: Default duration of the previous frame, in the same units, at least 1.
        """
        corrected = self._correct(pts, duration)
        if corrected is None:
            self.dropped += 1
        else:
            self._last = corrected
        return corrected

    def _correct(self, pts: int | None, duration: int) -> int | None:
        if pts is None:
            self.filled += 1
            return 0 if self._last is None else self._last + duration
        pts += self._offset
        if self._last is None or pts > self._last:
            return pts
        if self._last - pts <= self._max_step_back:
            return None
        self.discontinuities += 1
        self._offset += self._last + duration - pts
        return self._last + duration

    def log_corrections(self, uri: str) -> None:
        """Logs the number of corrections of each kind, if there were any."""
        if self.dropped:
            logger.warning("%s: %d frames were dropped, as their time did not increase", uri, self.dropped)
        if self.discontinuities:
            logger.warning("%s: the timestamps jumped back %d times; time continues", uri, self.discontinuities)
        if self.filled:
            logger.info("%s: %d frames without a timestamp were placed after the previous frame", uri, self.filled)
