"""Cameras and streams: frames as they happen, the newest one first of all."""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import partial

import av
from av import VideoFrame
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video.file import average_rate, packets, video_stream
from tracker.video.rgb import RGBConverter
from tracker.video.source import Picture, Source

logger = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds beyond the timeout for a read to end."""


class LiveSource(Source):
    """Reads a camera or stream on its own thread, which keeps only the newest picture.

    So a slow consumer sees the present, not a growing past; `Frame.index` counts the dropped frames too. Time is
    the clock at which a picture was decoded, from the first yielded frame on. Iteration ends with the stream, or
    after `config.timeout` seconds without a picture. `close` waits for a read that has begun, at most that long: the
    driver of a camera that has stalled may never return, and its thread is then left to end with the process.

    Args:
        container: Opened with `config.timeout` as its timeout; the source closes it.
        threads: See `RGBConverter`.

    Raises:
        InputError: There is no video, or no picture within `config.timeout`.
    """

    def __init__(self, container: InputContainer, spec: str, name: str, config: SourceConfig, threads: int) -> None:
        super().__init__(spec, name, config)
        self._container = container
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._newest: tuple[int, int, VideoFrame] | None = None  # count, microseconds, picture
        self._ended = False
        self._error: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name=f"read {self.name}", daemon=True)
        self.live = True
        self.time_base = Fraction(1, 10**6)
        self._rgb = RGBConverter(threads)
        self._resources.callback(self._stop_reading)
        try:
            self._stream = video_stream(container, spec)
            self.frame_rate = average_rate(self._stream)
            self._reader.start()
            first = self._wait(-1)
            if first is None:
                self._raise_bug()
                raise InputError(f"no picture came from {spec} within {config.timeout:g} s: check that it is sending")
            self.height, self.width, _ = self._rgb(first[2]).shape
        except BaseException:
            self.close()
            raise

    def _pictures(self) -> Generator[Picture]:
        seen = -1
        origin: tuple[int, int] | None = None
        dropped, pts = 0, -1
        while (newest := self._wait(seen)) is not None:
            count, clock, picture = newest
            if origin is None:
                origin = count, clock
            else:
                dropped += count - seen - 1
            seen = count
            pts = max(clock - origin[1], pts + 1)
            yield Picture(count - origin[0], pts, Fraction(0), partial(self._rgb, picture))
        self._raise_bug()
        logger.warning("%s: %s", self.spec, self._why_over())
        logger.info("%s: %d frames were dropped to keep up", self.spec, dropped)

    def _wait(self, seen: int) -> tuple[int, int, VideoFrame] | None:
        """The newest picture, once there is one after number `seen`; None where none comes."""
        with self._news:
            self._news.wait_for(lambda: self._is_new(seen) or self._ended, self._config.timeout)
            return self._newest if self._is_new(seen) else None

    def _is_new(self, seen: int) -> bool:
        return self._newest is not None and self._newest[0] > seen

    def _why_over(self) -> str:
        if not self._ended:
            return f"no frame for {self._config.timeout:g} s, the source is given up"
        return "the stream ended" if self._error is None else f"the stream broke off ({self._error})"

    def _raise_bug(self) -> None:
        if self._error is not None and not isinstance(self._error, av.FFmpegError):
            raise self._error

    def _read(self) -> None:
        """The thread's work: whatever ends it, the consumer learns of it."""
        try:
            for count, picture in enumerate(self._decode()):
                with self._news:
                    self._newest = count, time.monotonic_ns() // 1000, picture
                    self._news.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in packets(self._container):
            if self._stop.is_set():
                return
            if packet.stream_index == self._stream.index and packet.size:
                yield from self._decode_packet(packet)

    def _decode_packet(self, packet: "av.Packet[av.VideoStream]") -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            self._count_damage(error)
            return []

    def _stop_reading(self) -> None:
        self._stop.set()
        if self._reader.is_alive():
            self._reader.join(self._config.timeout + GRACE)
        if self._reader.is_alive():
            logger.warning("%s: the driver does not answer; it is left alone", self.spec)
        else:
            self._container.close()
