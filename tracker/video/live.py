"""A source that reads a camera or stream, and stays alive when its connection does not."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import partial
from math import inf
from statistics import median

from av import VideoFrame
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.video.connection import Connection
from tracker.video.deinterlace import deinterlaced
from tracker.video.live_clock import LiveClock
from tracker.video.live_status import DropReason, LiveError, LiveState, LiveStatus
from tracker.video.packet_buffer import Arrival, PacketBuffer
from tracker.video.rgb import RGBConverter
from tracker.video.source import LazyFrame, Source
from tracker.video.stream_reader import StreamReader
from tracker.video.streams import select_video_stream

logger = logging.getLogger(__name__)

JOIN_MARGIN = 1.0
"""Seconds beyond the timeout for the reader thread to end."""
MOST_WAITING = {"latest": 10.0, "all": 60.0}
"""Seconds of packets that may wait, by `SourceConfig.live`."""
MOST_DELAY = 0.5
"""Seconds that a frame may wait with `latest`, and within which those that wait must be expected to be processed."""
_BURST = {False: 1.0, True: 30.0}
"""Seconds of video that may arrive at once: of a camera, and of a server that keeps what was not read yet."""
_SILENCE = {False: 0.03, True: 0.3}
"""Seconds without a packet that end the first burst of a connection."""
_LONGEST_BURST = {False: 1.0, True: 3.0}
"""Seconds for which its end is waited for at most."""
_STALLED = 2.0
"""Seconds without a frame after which a source is stalled; twice its longest pause before, if that is longer."""
_LEAST_INTERVAL = 0.002
"""Seconds between frames that come at once and have no timestamps, only an arrival."""
_POLL = 0.1
"""Seconds after which a stop is noticed while no frame comes."""
_MOST_DROPPED = 1.0
"""Seconds after which a frame is passed on although newer ones wait, where decoding alone is slower than the source."""
_PACE_FRAMES = 9
"""Frames whose median time the consumer is taken to need."""


class LiveSource(Source):
    """Reads a camera or stream on a thread of its own, which also restores the connection (see `StreamReader`).

    Time is the stream's own (see `LiveClock`), from the first frame on. `Frame.index` counts the dropped frames too.
    With `latest` a consumer that is slower than the source, or hardly faster, gets the newest frame, or others would
    wait all the time; one with time to spare gets them all, also those that come in bursts. With `all`, up to a minute
    of frames waits for the consumer. What does not fit is dropped, and counted in `status`.

    Iteration ends with the stream, when the connection is given up, or when `stop_requested` returns True. `close`
    waits at most for `config.timeout` for a read that has begun: the driver of a stalled camera may never return, and
    its thread then ends with the process.

    Args:
        container: Opened with `config.timeout` as its timeout; the source closes it.
        connect: Opens the container once more.
        threads: See `RGBConverter`.

    Attributes:
        status: State, events and counts.
        clock: Gives the frames their times.

    Raises:
        InputError: There is no video, or no frame within `config.timeout`.
    """

    status: LiveStatus
    clock: LiveClock

    def __init__(
        self,
        container: InputContainer,
        connect: Callable[[], InputContainer],
        uri: str,
        name: str,
        config: SourceConfig,
        threads: int,
    ) -> None:
        super().__init__(uri, name, config)
        self.live = True
        self.time_base = Fraction(1, 10**6)
        self.status = LiveStatus(uri)
        self._connect = connect
        self._to_rgb = RGBConverter(threads, self._tell_hdr)
        self._resources.callback(container.close)
        try:
            connection = self._connection(container)
            self._policy = config.live if config.live != "auto" else "all" if connection.delivers_all else "latest"
            self.clock = LiveClock(_BURST[connection.delivers_all])
            self._pace = _Pace()
            self._index = -1
            self._is_stopped = False
            self._first: tuple[VideoFrame, Connection, float] | None = None
            self._patience = container.read_timeout or config.timeout
            self._deadline = time.monotonic() + self._patience  # for the first frame
            self._buffer = PacketBuffer(MOST_WAITING[self._policy])
            self._reader = StreamReader(self._reconnect, connection, self._buffer, self.status, config, self.name)
            self._resources.pop_all()  # from here on the reader closes it
            self._resources.callback(self._to_rgb.close)
            self._resources.callback(self._stop_reader)
            self.frame_rate = connection.frame_rate
            self._decoded = self._decode()
            self._reader.start()
            self._open_first(connection)
        except BaseException:
            self.close()
            raise

    def _open_first(self, connection: Connection) -> None:
        first = next(self._decoded, None)
        if first is None:
            self._raise_unexpected_error()
            raise InputError(
                f"no frame came from {self.uri} within {self._config.timeout:g} s: check that it is sending"
            )
        self.height, self.width, _ = self._to_rgb(first[0]).shape
        self.sample_aspect_ratio = self._to_rgb.upright_aspect(first[0], connection.sample_aspect_ratio)
        self._first = first

    def _connection(self, container: InputContainer) -> Connection:
        return Connection(container, select_video_stream(container, self.uri, self._config.stream, self._warn))

    def _reconnect(self) -> Connection:
        """Returns a new connection; called by the reader's thread."""
        container = self._connect()
        try:
            return self._connection(container)
        except BaseException:
            container.close()
            raise

    def _lazy_frames(self) -> Generator[LazyFrame]:
        try:
            yield from self._timed_frames()
        finally:
            self._decoded.close()
            self._stop_reader()
            self._lose(self._buffer.waiting(), DropReason.UNREAD)
            self.status.tell_drops()
            if self.stop_requested():  # also where whoever takes the frames noticed it first, and closed this
                self.status.enter(LiveState.ENDED, "reading was stopped")
        self._raise_unexpected_error()
        self._tell_end()

    def _tell_end(self) -> None:
        self.end_reason, text = self._reader.end
        if self.stop_requested():
            self.end_reason = EndReason.STOPPED
        elif self.end_reason is EndReason.COMPLETE:
            logger.warning("%s: %s", self.uri, text)

    def _timed_frames(self) -> Iterator[LazyFrame]:
        pts = -1
        for frame, connection, arrival, time_s in self._kept():
            pts = max(round(time_s * 10**6), pts + 1)
            self.status.process(time.monotonic() - arrival)
            unix_time, aspect = round(self.clock.unix_time(), 6), connection.sample_aspect_ratio
            upright = partial(self._to_rgb, frame)
            yield LazyFrame(
                self._index, pts, Fraction(0), upright, self._to_rgb.upright_aspect(frame, aspect), unix_time
            )
            self._pace.taken()

    def _kept(self) -> Iterator[tuple[VideoFrame, Connection, float, float]]:
        """Yields the frames to process, with their connection, arrival and time."""
        interval = 0.0
        latest_yield = -inf
        current: Connection | None = None
        stamp: float | None = None
        for frame, connection, arrival in self._with_first():
            if connection is not current:
                current, interval = connection, float(1 / connection.frame_rate)
                self._buffer.wait_for_silence(_SILENCE[many := connection.delivers_all], _LONGEST_BURST[many])
                self._align(connection)
                stamp = None
            stamp = self._stamp(frame, connection, arrival, stamp, interval)
            if self.clock.is_repeated(stamp):
                self.status.repeat()
                continue
            if jumps := self.clock.is_jump(stamp, arrival):
                self._align(connection)
            time_s = self.clock.place(stamp, arrival, _LEAST_INTERVAL if connection.is_timeless else interval)
            if jumps:
                self.status.tell("clock", f"its clock started again; time goes on at {time_s:.3f} s")
            self.status.drift = self.clock.drift
            self._index += 1
            self._pace.arrived(time_s)
            now = time.monotonic()
            if self._is_late(now - arrival) and now - latest_yield < _MOST_DROPPED:
                self.status.drop(DropReason.LATE)
                continue
            yield frame, connection, arrival, time_s
            latest_yield = time.monotonic()

    def _with_first(self) -> Iterator[tuple[VideoFrame, Connection, float]]:
        if self._first is not None:
            yield self._first
        yield from self._decoded

    def _stamp(
        self, frame: VideoFrame, connection: Connection, arrival: float, before: float | None, interval: float
    ) -> float:
        """Returns the timestamp of a frame in seconds; where it states none, one that fits the others."""
        if connection.is_timeless:
            return arrival
        pts = frame.dts if frame.pts is None else frame.pts
        if pts is not None:
            return float(pts * connection.time_base)
        if before is not None:
            return before + interval
        following = self._buffer.stamp(connection, newest=False)  # RTSP states none for the first frame
        connection.is_timeless = following is None
        return arrival if following is None else following[0] - interval

    def _align(self, connection: Connection) -> None:
        """Aligns the clock by the newest of the frames that came at once, as it tells how old the others are."""
        self.clock.begin(self._buffer.stamp(connection), continues=connection.is_playlist)

    def _is_late(self, waited: float) -> bool:
        """Returns True if the frame is to be dropped, as there is a newer one."""
        waiting = self._buffer.waiting()
        if self._policy == "all" or not waiting:
            return False
        return waited > MOST_DELAY or self._pace.seconds_to_process(waiting) > MOST_DELAY

    def _decode(self) -> Generator[tuple[VideoFrame, Connection, float]]:
        """Yields the decoded frames of all connections, progressive, with connection and arrival."""
        yield from ((frame, *rest) for frame, rest in deinterlaced(self._interlaced(), self._tell_interlaced))

    def _interlaced(self) -> Iterator[tuple[VideoFrame, tuple[Connection, float]]]:
        missing = 0  # frames of this connection that are still in the decoder
        try:
            while (arrival := self._next_arrival()) is not None:
                connection, packet = arrival.connection, arrival.packet
                missing += packet is not None
                errors: list[Exception] = []
                for frame in connection.decode(packet, errors.append):
                    missing -= 1
                    yield frame, (connection, arrival.time)
                for error in errors:
                    self._count_corrupt(error)
                if errors or packet is None:
                    lost = missing if packet is None else 1
                    self._lose(lost, DropReason.CORRUPT)
                    missing -= lost
        finally:
            self._lose(missing, DropReason.UNREAD)

    def _lose(self, count: int, reason: DropReason) -> None:
        if count > 0:
            self._index += count
            self.status.drop(reason, count)

    def _next_arrival(self) -> Arrival | None:
        """Returns the next packet, once it comes; None at the end of all, and where the driver does not answer."""
        while not self.stop_requested():
            arrival = self._buffer.take(_POLL)
            if arrival is not None:
                return arrival
            now = time.monotonic()
            if self._buffer.is_closed or (self._first is None and now > self._deadline):
                return None
            silent = now - self._reader.latest
            if self.status.state is LiveState.RUNNING and silent > max(_STALLED, 2 * self._reader.longest_pause):
                self.status.enter(LiveState.STALLED, f"no frame has come for {silent:.1f} s")
            if self.status.state is not LiveState.RECONNECTING and silent > self._patience + JOIN_MARGIN:
                self._reader.end = (
                    EndReason.STALLED,
                    f"no frame for {self._patience:g} s, and the driver does not answer",
                )
                self.status.enter(LiveState.FAILED, self._reader.end[1], LiveError.TIMEOUT)
                return None
        return None

    def _raise_unexpected_error(self) -> None:
        if self._reader.error is not None:
            raise self._reader.error

    def _stop_reader(self) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        # Who asks for an end does not wait for a server that is silent: the thread ends with the read that has begun.
        asked = self.stop_requested()
        if not self._reader.stop(JOIN_MARGIN + (0 if asked else self._patience)) and not asked:
            logger.warning("%s: the driver does not answer; its thread is left running", self.uri)


class _Pace:
    """Compares how fast frames come and how fast the consumer takes them."""

    def __init__(self) -> None:
        self._interval = inf  # seconds between two frames of the source
        self._busy: deque[float] = deque(
            [0.0] * _PACE_FRAMES, maxlen=_PACE_FRAMES
        )  # seconds that the consumer takes for a frame
        self._time = -inf  # of the latest frame
        self._yielded = time.monotonic()

    def arrived(self, time_s: float) -> None:
        """Takes the time of a frame of the source."""
        step = time_s - self._time
        if step < 1:
            self._interval = step if self._interval == inf else 0.9 * self._interval + 0.1 * step
        self._time = time_s
        self._yielded = time.monotonic()

    def taken(self) -> None:
        """Tells that the consumer asks for another frame."""
        self._busy.append(time.monotonic() - self._yielded)

    def seconds_to_process(self, waiting: int) -> float:
        """Returns the seconds until none of the frames that wait is left, while others come.

        A single pause of the consumer does not count.

        Example:
            >>> pace = _Pace()
            >>> pace.arrived(0.0), pace.arrived(0.1)  # ten frames a second
            (None, None)
            >>> pace.seconds_to_process(3)
            0.0
        """
        busy = median(self._busy)
        return waiting * busy / (1 - busy / self._interval) if busy < self._interval else inf
