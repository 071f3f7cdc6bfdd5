"""The packets of a live source that have arrived and are not decoded yet: bounded, between two threads."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from av import Packet

from tracker.video.connection import Connection

MOST_BYTES = 256 * 2**20
"""Bytes of packets that may wait."""


@dataclass(frozen=True, eq=False, slots=True)
class Arrival:
    """A packet, or the end of a connection.

    Attributes:
        connection: Where it came from.
        packet: The packet; None for the end.
        time: This machine's monotonic clock when it came, seconds.
    """

    connection: Connection
    packet: "Packet[Any] | None"
    time: float


class PacketBuffer:
    """A queue of packets which drops the oldest ones, up to a keyframe, when more than so many seconds wait."""

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._arrivals: deque[Arrival] = deque()
        self._packets = self._bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, arrival: Arrival) -> int:
        """Appends a packet; returns the number of packets that were dropped for it."""
        with self._changed:
            self._arrivals.append(arrival)
            self._packets += arrival.packet is not None
            self._bytes += arrival.packet.size if arrival.packet else 0
            dropped = self._drop_oldest() if self._is_full(arrival.time) else 0
            self._changed.notify_all()
            return dropped

    def take(self, timeout: float) -> Arrival | None:
        """Returns the oldest packet; None where none comes in time, or after `close` once all were taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._arrivals or self._is_closed, timeout)
            return self._popleft() if self._arrivals else None

    def close(self) -> None:
        """Tells that no more packets come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """True once no packet is left and none will come."""
        with self._changed:
            return self._is_closed and not self._arrivals

    def waiting(self) -> int:
        """Returns the number of packets that wait."""
        return self._packets

    def stamp(self, connection: Connection, newest: bool = True) -> tuple[float, float] | None:
        """Returns timestamp and arrival (seconds) of the newest or oldest packet of a connection; None without one."""
        with self._changed:
            for arrival in reversed(self._arrivals) if newest else self._arrivals:
                packet = arrival.packet
                if arrival.connection is connection and packet is not None:
                    pts = packet.dts if packet.pts is None else packet.pts
                    return None if pts is None else (float(pts * connection.time_base), arrival.time)
        return None

    def wait_for_silence(self, silence: float, limit: float) -> None:
        """Waits until nothing more arrives for `silence` seconds, at most `limit` seconds."""
        end = time.monotonic() + limit
        with self._changed:
            while not self._is_closed and time.monotonic() < end and self._changed.wait(silence):
                pass

    def _is_full(self, now: float) -> bool:
        return self._bytes > MOST_BYTES or now - self._arrivals[0].time > self._most_seconds

    def _drop_oldest(self) -> int:
        """Removes packets until the next keyframe, or all if there is none, but no end of a connection."""
        dropped = 0
        kept: list[Arrival] = []
        while self._arrivals:
            packet = self._arrivals[0].packet
            if packet is not None and packet.is_keyframe and dropped:
                break
            arrival = self._popleft()
            if packet is None:
                kept.append(arrival)
            else:
                dropped += 1
        self._arrivals.extendleft(reversed(kept))
        return dropped

    def _popleft(self) -> Arrival:
        arrival = self._arrivals.popleft()
        self._packets -= arrival.packet is not None
        self._bytes -= arrival.packet.size if arrival.packet else 0
        return arrival
