"""Presentation timestamps that only go forward, whatever the container says."""

import logging
import math
from fractions import Fraction

logger = logging.getLogger(__name__)

RESTART = Fraction(1)
"""Seconds back from which on a timestamp is a new beginning (joined recordings) and not a slip."""


def in_microseconds(seconds: float | Fraction) -> float:
    """Whole microseconds (infinity stays): moments given as decimal numbers then compare equal to exact ones."""
    return math.inf if seconds == math.inf else round(seconds * 10**6)


class Timestamps:
    """Makes the timestamps of decoded frames strictly increasing.

    - A frame without a timestamp comes one duration after the frame before it.
    - A frame that is not later than the one before it is dropped: its moment is taken, and no player shows it.
    - After a jump back of more than `RESTART` the clock was set anew (recordings that were joined), and time goes on
      from there: that frame comes one duration after the frame before it, and later ones keep their intervals.

    Attributes:
        dropped: Frames dropped so far.
        filled: Frames so far that had no timestamp.
        restarts: Jumps back so far.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.dropped = 0
        self.filled = 0
        self.restarts = 0
        self._restart = int(RESTART / time_base)
        self._shift = 0
        self._last: int | None = None

    def place(self, pts: int | None, duration: int) -> int | None:
        """The timestamp to use for a frame, or None where the frame is to be dropped.

        Args:
            pts: What the container says, in units of the time base.
            duration: How long the frame before it lasts if nothing else says so, in the same units, at least 1.
        """
        placed = self._place(pts, duration)
        if placed is None:
            self.dropped += 1
        else:
            self._last = placed
        return placed

    def _place(self, pts: int | None, duration: int) -> int | None:
        if pts is None:
            self.filled += 1
            return 0 if self._last is None else self._last + duration
        pts += self._shift
        if self._last is None or pts > self._last:
            return pts
        if self._last - pts <= self._restart:
            return None
        self.restarts += 1
        self._shift += self._last + duration - pts
        return self._last + duration

    def report(self, spec: str) -> None:
        """Logs what had to be mended, if anything."""
        if self.dropped:
            logger.warning("%s: %d frames were dropped, as their time did not increase", spec, self.dropped)
        if self.restarts:
            logger.warning("%s: the clock of the video jumped back %d times; time went on", spec, self.restarts)
        if self.filled:
            logger.info("%s: %d frames without a time got one after the frame before them", spec, self.filled)
