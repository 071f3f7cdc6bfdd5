"""The clock of a live source: the stream's own timestamps, anchored to the clock of this machine."""

import time
from math import inf

WINDOW = 60.0
"""Seconds over which the least delay is looked for: that frame arrived soonest after it was captured."""
JUMP = 1.0
"""Seconds, beyond `slack`, by which a timestamp may differ from the one before and from this machine's clock before the
stream's clock is taken to have started again."""
MOST_CORRECTION = 0.1
"""Part of the time between two frames by which that between their dates may differ, when one comes with less delay."""
LONGEST_OUTAGE = 90.0
"""Seconds after which a playlist that is as old is taken for another one."""


class LiveClock:
    """Gives each frame its time, in seconds since the first frame, and its date.

    Within a connection the time between two frames is what their timestamps say, however they arrive: bursts keep
    their intervals. A new connection, or a stream whose clock started again, is placed by this machine's clock, which
    `time.monotonic` reads.

    Attributes:
        drift: Seconds by which the stream's clock went slower than this machine's since they were aligned.
        offset: Timestamp less time of the latest frame, seconds.

    Example:
        >>> clock = LiveClock(slack=10)
        >>> clock.begin()
        >>> arrivals = [(7.0, 100.0), (7.1, 100.0), (7.2, 100.2)]  # timestamps and arrivals, two of them in a burst
        >>> [round(clock.place(stamp, arrival, 0.1), 3) for stamp, arrival in arrivals]
        [0.0, 0.1, 0.2]
    """

    def __init__(self, slack: float) -> None:
        """Starts without a frame; `slack` is the number of seconds of video that may arrive at once."""
        self.drift = self.offset = 0.0
        self._slack = slack
        self._is_first = True
        self._stamp = self._arrival = self._time = 0.0  # of the latest frame
        self._aligns = True  # the next frame is placed by this machine's clock
        self._skips = False  # a connection goes on with the clock of the one before, whose frames may come again
        self._origin = 0.0  # this machine's clock at time 0
        self._aligned = 0.0  # this machine's clock less the stream's, when they were aligned
        self._least = [inf, inf]  # least difference of both in the window before, and in this one
        self._window_end = inf
        self._dated = 0.0  # this machine's clock less the stream's, as the dates state it

    def resume(self, stamp: float, unix_time: float) -> None:
        """Goes on from an earlier run, whose frames are not to come again; to be called before the first connection.

        It has no effect on a stream whose timestamps do not go on (see `begin`).

        Args:
            stamp: Timestamp of the latest frame of the earlier run, seconds.
            unix_time: When that was captured, seconds since 1970 (UTC).
        """
        self._stamp = stamp
        self._aligned = self._least[1] = self._dated = unix_time - stamp - (time.time() - time.monotonic())
        self._window_end = time.monotonic() + WINDOW

    def begin(self, waiting: tuple[float, float] | None = None, continues: bool = False) -> None:
        """Tells that a connection began, or that the stream's clock started again.

        Args:
            waiting: Timestamp and arrival of the newest of its frames that have arrived already.
            continues: True if its timestamps may go on where those of the connection, or run, before ended, as a
                playlist's do.
        """
        self._aligns, self._skips = True, False
        if waiting is not None and continues and min(self._least) < inf:
            older = waiting[1] - waiting[0] - min(self._least)
            if waiting[0] >= self._stamp - JUMP and -JUMP < older < LONGEST_OUTAGE:
                self._aligns, self._skips = False, True
        if self._aligns:
            self._least = [inf, inf if waiting is None else waiting[1] - waiting[0]]

    def is_repeated(self, stamp: float) -> bool:
        """Returns True for a frame that came in the connection before."""
        return self._skips and stamp <= self._stamp

    def is_jump(self, stamp: float, arrival: float) -> bool:
        """Returns True if the stream's clock seems to have started again: it fits neither frames nor machine."""
        if self._aligns or self._skips:
            return False
        step, late = stamp - self._stamp, arrival - stamp - min(self._least)
        longest = max(arrival - self._arrival, 0.0) + self._slack + JUMP
        return not (-JUMP < step < longest or -JUMP < late < self._slack + JUMP)

    def place(self, stamp: float, arrival: float, interval: float) -> float:
        """Returns the time of the next frame, which is later than that of the frame before.

        Args:
            stamp: Its timestamp, seconds.
            arrival: This machine's clock when it arrived, seconds.
            interval: Usual time between two frames, seconds.
        """
        step = stamp - self._stamp
        self._watch(stamp, arrival)
        if self._is_first:
            self._origin = stamp + self._aligned
        elif self._aligns:
            self._time = max(self._time + interval, stamp + self._aligned - self._origin)
        else:
            self._time += step if step > 0 else interval / 2
        self._is_first = self._aligns = self._skips = False
        self._stamp, self._arrival, self.offset = stamp, arrival, stamp - self._time
        return self._time

    def unix_time(self) -> float:
        """Returns the seconds since 1970 (UTC) at which the latest frame was captured.

        That is when it would have arrived with the least delay of the latest minutes, which itself is not known. A
        lesser delay than those before moves the dates by and by (see `MOST_CORRECTION`), so that they keep their
        intervals.
        """
        return self._stamp + self._dated + (time.time() - time.monotonic())

    def _watch(self, stamp: float, arrival: float) -> None:
        """Follows the least difference of the two clocks, and lets the dates follow it."""
        if self._aligns:
            self._window_end = arrival + WINDOW
        elif arrival >= self._window_end:
            self._window_end = arrival + WINDOW
            self._least = [self._least[1], inf]
        self._least[1] = min(self._least[1], arrival - stamp)
        if self._aligns:
            self._aligned = self._dated = min(self._least)
        most = MOST_CORRECTION * max(stamp - self._stamp, 0.0)
        self._dated += min(max(min(self._least) - self._dated, -most), most)
        self.drift = min(self._least) - self._aligned
