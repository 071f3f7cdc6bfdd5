"""Times of the packets of one audio stream, mended where they step back, restart or are missing."""

import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction

from tracker.output.packets import Packet, time_base

logger = logging.getLogger(__name__)

JITTER = Fraction(1, 10)
"""Seconds by which a packet may begin before or after the end of the previous one without being a jump in time."""
RESTART = Fraction(1)
"""Seconds. A longer jump back that counts is a restart of the clock."""
CONFIRMED_SECONDS = Fraction(1, 2)
CONFIRMED_PACKETS = 50
"""A jump counts once the packets after it agree for so long, or once there are so many."""


class VideoClock:
    """Knows which restart of the video's clock has come in the part of a file that was read.

    Attributes:
        restarts: Number of restarts so far.
    """

    def __init__(self, offsets: Sequence[Fraction]) -> None:
        """Takes the seconds to add after each restart, in order."""
        self.restarts = 0
        self.offsets = [Fraction(0), *offsets]
        self._last: Fraction | None = None

    def push(self, packet: Packet) -> Iterator[Packet]:
        """Takes the next packet of the video; yields nothing, as the video is not copied from here."""
        yield from ()
        if packet.pts is None:
            return
        time = _start(packet) + self.offsets[self.restarts]
        if self._last is not None and time < self._last - RESTART:
            later = range(self.restarts + 1, len(self.offsets))
            times = {number: _start(packet) + self.offsets[number] for number in later}
            number = next((number for number in later if abs(times[number] - self._last) <= RESTART), None)
            if number is not None:
                self.restarts, time = number, times[number]
        self._last = time

    def flush(self) -> Iterator[Packet]:
        """Yields nothing."""
        yield from ()

    def log_corrections(self, uri: str) -> None:
        """Logs nothing: the source has told of its clock."""


class AudioClock:
    """Mends the times of the packets of one stream; holes stay holes.

    - A packet without a time is placed at the end of the previous one.
    - A jump counts if the packets after it agree. Packets after which the old time goes on had a wrong time, and are
      placed at the end of the previous one.
    - Where the clock restarts together with that of the video, the sound gets the video's offset. Where it restarts
      alone, it continues without a gap.
    - A packet of a time that has passed is dropped after a jump, and otherwise placed at the end of the previous one.

    Attributes:
        restarts: Restarts of the sound's clock alone.
        dropped: Packets of a time that had passed.
        placed: Packets that had a wrong time.
    """

    def __init__(self, video: VideoClock) -> None:
        """Takes the video's clock."""
        self.restarts = self.dropped = self.placed = 0
        self._video = video
        self._followed = 0  # the video's restarts whose offset the sound has
        self._offset = Fraction(0)
        self._start: Fraction | None = None  # of the previous packet
        self._end = Fraction(0)
        self._after_jump = False
        self._held: list[Packet] = []  # packets after a jump of which it is not known whether it counts

    def push(self, packet: Packet) -> Iterator[Packet]:
        """Takes the next packet, and yields those whose times are certain."""
        if self._held:
            if not self._agrees(packet):
                yield from self._place_held()
            elif not self._is_confirmed():
                self._hold(packet)
                return
            else:
                yield from self._count_jump()
        if self._start is not None and packet.pts is not None and abs(self._step(packet)) > self._margin(packet):
            self._hold(packet)
        else:
            yield from self._place(packet)

    def flush(self) -> Iterator[Packet]:
        """Yields the last packets. A jump of the very last one does not count, unless it is a short hole."""
        counts = len(self._held) > 1 or (self._held and 0 <= self._step(self._held[0]) <= RESTART)
        yield from self._count_jump() if counts else self._place_held()

    def log_corrections(self, uri: str) -> None:
        """Logs what was mended, in one sentence."""
        parts = {
            "its clock restarted %d times": self.restarts,
            "%d packets of a time that had passed were dropped": self.dropped,
            "%d packets got a new time": self.placed,
        }
        if told := "; ".join(text % count for text, count in parts.items() if count):
            logger.warning("the sound of %s was mended: %s", uri, told)

    def _step(self, packet: Packet) -> Fraction:
        """Returns the seconds from the end of the previous packet to the start of this one."""
        return _start(packet) + self._offset - self._end

    @staticmethod
    def _margin(packet: Packet) -> Fraction:
        return JITTER if packet.duration else RESTART  # without a duration, the end is not known

    def _hold(self, packet: Packet) -> None:
        if packet.pts is None:
            packet.pts = (self._held[-1].pts or 0) + (self._held[-1].duration or 0)
        self._held.append(packet)

    def _agrees(self, packet: Packet) -> bool:
        """Returns True if a packet continues the held ones, and not those before them."""
        if packet.pts is None:
            return True
        held = sum((_duration(held) for held in self._held), Fraction(0))
        to_new = abs(_start(packet) - _start(self._held[-1]) - _duration(self._held[-1]))
        return to_new <= abs(self._step(packet) - held)

    def _is_confirmed(self) -> bool:
        span = _start(self._held[-1]) - _start(self._held[0])
        return span >= CONFIRMED_SECONDS or len(self._held) >= CONFIRMED_PACKETS

    def _count_jump(self) -> Iterator[Packet]:
        """Yields the held packets, at the times that the jump leads to."""
        if not self._held:
            return
        step, first = self._step(self._held[0]), _start(self._held[0])
        # The video is there already, or it will be soon.
        later = range(max(self._followed + 1, self._video.restarts), len(self._video.offsets))
        steps = {number: first + self._video.offsets[number] - self._end for number in later}
        number = next((number for number in later if steps[number] >= -RESTART), None)
        if number is not None and (step < -RESTART or abs(steps[number]) < abs(step)):
            self._followed, self._offset = number, self._video.offsets[number]
        elif step < -RESTART:
            self.restarts += 1
            self._offset = self._end - first
        self._after_jump = True
        held, self._held = self._held, []
        for packet in held:
            yield from self._place(packet)

    def _place_held(self) -> Iterator[Packet]:
        """Yields the held packets one after the other, at the end of those before them."""
        held, self._held = self._held, []
        self.placed += len(held)
        for packet in held:
            packet.pts = None
            yield from self._place(packet)

    def _place(self, packet: Packet) -> Iterator[Packet]:
        """Gives a packet its time, and yields it unless that has passed."""
        unit = time_base(packet)
        start = self._end if packet.pts is None else _start(packet) + self._offset
        if self._start is not None and start <= self._start:
            if self._after_jump and packet.pts is not None:
                self.dropped += 1
                return
            self.placed += packet.pts is not None
            start = max(self._end, self._start + unit)
        if packet.pts is not None:
            self._after_jump = False
        if packet.pts is None or start != _start(packet):
            packet.pts = round(start / unit)
        self._start, self._end = start, start + _duration(packet)
        yield packet


def _start(packet: Packet) -> Fraction:
    return (packet.pts or 0) * time_base(packet)


def _duration(packet: Packet) -> Fraction:
    return (packet.duration or 0) * time_base(packet)
