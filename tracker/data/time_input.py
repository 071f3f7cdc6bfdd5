"""Times that a program gives with its frames."""

import logging
import math
from datetime import timedelta
from numbers import Real
from typing import SupportsFloat

from tracker.errors import InputError

logger = logging.getLogger(__name__)

Seconds = SupportsFloat | timedelta
"""Seconds as any number, or a time span."""

_LONG_STEP = 1.0
"""Seconds between two frames from which on they are probably numbers of frames, or milliseconds."""
_STEPS = 3
"""Such steps in a row, from the first frame on, after which this is said."""


class TimeCheck:
    """Converts the times of successive frames to seconds, and checks that they ascend.

    Where the first frames are a second or more apart, a warning asks whether the times are seconds.

    Example:
        >>> check = TimeCheck()
        >>> check(0), check(timedelta(milliseconds=40))
        (0.0, 0.04)
    """

    def __init__(self) -> None:
        self._count = 0
        self._long_steps = 0
        self._latest = -math.inf

    def __call__(self, time: object) -> float:
        """Returns the time of the next frame, seconds.

        Raises:
            InputError: It is no number of seconds, not finite, or not after that of the frame before.
        """
        seconds = _to_seconds(time)
        if not math.isfinite(seconds):
            raise InputError(f"the time of frame {self._count} is {seconds}: give seconds")
        if seconds <= self._latest:
            raise InputError(
                f"the time of frame {self._count} is {seconds:g} s, and that of the frame before it {self._latest:g} "
                "s: give seconds that ascend from frame to frame"
            )
        self._long_steps += self._count == self._long_steps + 1 and seconds - self._latest >= _LONG_STEP
        if self._long_steps == _STEPS == self._count:
            logger.warning(
                "the first frames are %g s apart: if their times are numbers of frames or milliseconds, give seconds",
                seconds - self._latest,
            )
        self._count, self._latest = self._count + 1, seconds
        return seconds


def _to_seconds(time: object) -> float:
    if isinstance(time, timedelta):
        return time.total_seconds()
    is_number = isinstance(time, Real) or (hasattr(time, "__float__") and getattr(time, "ndim", 0) == 0)
    if isinstance(time, bool) or not is_number:
        raise InputError(f"the time of a frame must be a number of seconds, not {type(time).__name__}")
    return float(time)  # type: ignore[arg-type]
