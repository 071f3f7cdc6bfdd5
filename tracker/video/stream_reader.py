"""The thread that reads a live source, and restores its connection."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

import av

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.video.connection import Connection
from tracker.video.live_status import DropReason, LiveError, LiveState, LiveStatus
from tracker.video.packet_buffer import Arrival, PacketBuffer

logger = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the first try to reconnect, and between tries at most; each waits twice as long as the one before."""
_LASTING = 5.0
"""Seconds for which a connection delivers frames before failed tries are forgotten."""


class StreamReader:
    """Reads packets into a buffer until the stream ends or is given up.

    Attributes:
        end: The reason for the end, and a sentence about it; known when the buffer is closed.
        error: An error that no stream should cause, which ended the thread.
        latest: This machine's monotonic clock when the latest packet came, or the latest connection was tried.
        longest_pause: Most seconds between two packets, but for stalls.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        first: Connection,
        buffer: PacketBuffer,
        status: LiveStatus,
        config: SourceConfig,
        name: str,
    ) -> None:
        """Takes the open connection, and what opens another one; `start` starts the thread."""
        self.end = EndReason.STOPPED, "reading was stopped"
        self.error: BaseException | None = None
        self.latest = time.monotonic()
        self.longest_pause = 0.0
        self._tries = 0  # to reconnect, since a connection lasted
        self._connect = connect
        self._first = first
        self._buffer = buffer
        self._status = status
        self._config = config
        self._stop = threading.Event()
        # A driver may never return from a read; such a thread ends with the process.
        self._thread = threading.Thread(target=self._run, name=f"read {name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Ends the thread; returns False if it does not end in time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            connection: Connection | None = self._first
            while connection is not None:
                connection = self._next(connection)
        except BaseException as error:
            self.error = error
        finally:
            self._buffer.close()

    def _next(self, connection: Connection) -> Connection | None:
        """Reads a connection to its end, and returns the next one; None when there is none."""
        began, frames = time.monotonic(), 0
        error: Exception | None = None
        try:
            for frames in self._read(connection):  # noqa: B007 - the number of the last one
                pass
        except (av.FFmpegError, EOFError) as caught:
            error = caught
        patience = float(connection.container.read_timeout or self._config.timeout)
        silence = patience if time.monotonic() - self.latest >= patience else 0.0
        self._buffer.put(Arrival(connection, None, time.monotonic()))
        connection.container.close()
        if self._stop.is_set():
            return None
        lasted = bool(frames) and time.monotonic() - began >= _LASTING
        return self._after_end(connection, error, silence, lasted)

    def _read(self, connection: Connection) -> Iterator[int]:
        """Puts the packets of a connection into the buffer, and yields how many there are so far."""
        for number, packet in enumerate(connection.packets(), 1):
            pause, self.latest = time.monotonic() - self.latest, time.monotonic()
            if self._stop.is_set():
                return
            self._tell_running(connection, number, pause)
            self._status.capture()
            dropped = self._buffer.put(Arrival(connection, packet, self.latest))
            if dropped:
                self._status.drop(DropReason.OVERFLOW, dropped)
            yield number

    def _tell_running(self, connection: Connection, number: int, pause: float) -> None:
        if number == 1:
            again = self._status.state is LiveState.RECONNECTING
            self._status.enter(LiveState.RUNNING, f"connected{' again' if again else ''} ({connection.description})")
        elif self._status.state is LiveState.STALLED:
            self._status.enter(LiveState.RUNNING, f"frames come again after {pause:.1f} s")
        else:
            self.longest_pause = max(self.longest_pause, pause)

    def _after_end(
        self, connection: Connection, error: Exception | None, silence: float, lasted: bool
    ) -> Connection | None:
        """Tells why a connection ended, and returns the next one if there is to be one."""
        ends = self._has_ended(connection) if connection.is_playlist else not self._config.reconnect
        if error is None and ends:
            self.end = EndReason.COMPLETE, "the stream ended"
            self._status.enter(LiveState.ENDED, self.end[1])
            return None
        kind = LiveError.NETWORK if error is None else LiveError.of(error, silence > 0)
        if kind is LiveError.TIMEOUT:
            self.end = EndReason.STALLED, f"no frame for {silence or time.monotonic() - self.latest:.3g} s"
        else:
            # Not the error's own text, which holds the address with its password.
            reason = "the server closed it" if error is None else getattr(error, "strerror", None) or "error"
            self.end = EndReason.BROKE_OFF, f"the stream broke off ({reason})"
        if lasted:
            self._tries = 0
        return self._reconnect(kind)

    def _has_ended(self, connection: Connection) -> bool:
        """Returns True if a playlist says that no more will come; FFmpeg also stops where it can no longer be read."""
        if connection.is_finished:
            return True
        try:
            again = self._connect()
        except InputError:
            return False
        again.container.close()
        return again.is_finished

    def _reconnect(self, kind: LiveError) -> Connection | None:
        reason, text = self.end
        limit = self._config.reconnect
        while limit == "forever" or self._tries < limit:
            self._status.enter(LiveState.RECONNECTING, f"{text}; reconnecting", kind)
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._tries, 10)) * random.uniform(0.75, 1.25)
            self._tries += 1
            if self._stop.wait(delay):
                return None
            self.latest = time.monotonic()
            try:
                return self._connect()
            except InputError as error:
                kind = LiveError.of(error)
                self._status.tell("reconnecting", f"try {self._tries} failed: {error}", kind)
        gave_up = f"{text}; given up" + (f" after {limit} tries to reconnect" if limit else "")
        self.end = reason, gave_up
        self._status.enter(LiveState.FAILED, gave_up, kind)
        return None
