"""A source that reads a camera or stream and yields the newest frame."""

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
from tracker.structures.end_reason import EndReason
from tracker.video.decoder import demux
from tracker.video.deinterlace import deinterlaced
from tracker.video.rgb import RGBConverter
from tracker.video.source import LazyFrame, Source
from tracker.video.streams import average_rate, select_video_stream

logger = logging.getLogger(__name__)

JOIN_MARGIN = 1.0
"""Seconds beyond the timeout for the reader thread to end."""


class LiveSource(Source):
    """Reads a camera or stream on its own thread, which keeps only the newest frame.

    So a slow consumer gets current frames; `Frame.index` counts the dropped frames too. Time is that of the clock
    when a frame was decoded, from the first yielded frame on. Iteration ends with the stream, or after
    `config.timeout` seconds without a frame. `close` waits at most that long for a read that has begun: the driver
    of a stalled camera may never return, and its thread then ends with the process.

    Args:
        container: Opened with `config.timeout` as its timeout; the source closes it.
        threads: See `RGBConverter`.

    Raises:
        InputError: There is no video, or no frame within `config.timeout`.
    """

    def __init__(self, container: InputContainer, uri: str, name: str, config: SourceConfig, threads: int) -> None:
        super().__init__(uri, name, config)
        self._container = container
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._newest: tuple[int, int, VideoFrame] | None = None  # number, microseconds, frame
        self._ended = False
        self._error: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name=f"read {self.name}", daemon=True)
        self.live = True
        self.time_base = Fraction(1, 10**6)
        self._to_rgb = RGBConverter(threads, self._tell_hdr)
        self._resources.callback(self._to_rgb.close)
        self._resources.callback(self._stop_reader)
        try:
            self._stream = select_video_stream(container, uri, config.stream, self._warn)
            self.frame_rate = average_rate(self._stream)
            self._reader.start()
            first = self._wait_for_frame(-1)
            if first is None:
                self._raise_unexpected_error()
                raise InputError(f"no frame came from {uri} within {config.timeout:g} s: check that it is sending")
            self.height, self.width, _ = self._to_rgb(first[2]).shape
            self.sample_aspect_ratio = self._to_rgb.upright_aspect(first[2], self._stream.sample_aspect_ratio)
        except BaseException:
            self.close()
            raise

    def _lazy_frames(self) -> Generator[LazyFrame]:
        last_number = -1
        first: tuple[int, int] | None = None  # number and microseconds of the first frame
        dropped, pts = 0, -1
        while (newest := self._wait_for_frame(last_number)) is not None:
            number, clock, frame = newest
            if first is None:
                first = number, clock
            else:
                dropped += number - last_number - 1
            last_number = number
            pts = max(clock - first[1], pts + 1)
            yield LazyFrame(number - first[0], pts, Fraction(0), partial(self._to_rgb, frame))
        self._raise_unexpected_error()
        self.end_reason, text = self._end()
        logger.warning("%s: %s", self.uri, text)
        logger.info("%s: %d frames were dropped to keep up", self.uri, dropped)

    def _wait_for_frame(self, last_number: int) -> tuple[int, int, VideoFrame] | None:
        """Returns the newest frame, once there is one after number `last_number`; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_frame_after(last_number) or self._ended, self._config.timeout)
            return self._newest if self._has_frame_after(last_number) else None

    def _has_frame_after(self, number: int) -> bool:
        return self._newest is not None and self._newest[0] > number

    def _end(self) -> tuple[EndReason, str]:
        """Returns the reason for the end, and the sentence about it."""
        if not self._ended:
            return EndReason.STALLED, f"no frame for {self._config.timeout:g} s, reading stops"
        if self._error is None:
            return EndReason.COMPLETE, "the stream ended"
        # Not the error's own text, which holds the address with its password.
        return EndReason.BROKE_OFF, f"the stream broke off ({getattr(self._error, 'strerror', None) or 'error'})"

    def _raise_unexpected_error(self) -> None:
        if self._error is not None and not isinstance(self._error, av.FFmpegError):
            raise self._error

    def _read(self) -> None:
        """Runs on the reader thread; its end and any error are passed on to the consumer."""
        try:
            timed = ((frame, time.monotonic_ns() // 1000) for frame in self._decode())
            for number, (frame, clock) in enumerate(deinterlaced(timed, self._tell_interlaced)):
                with self._changed:
                    self._newest = number, clock, frame
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in demux(self._container):
            if self._stop.is_set():
                return
            if packet.stream_index == self._stream.index and packet.size:
                yield from self._decode_packet(packet)

    def _decode_packet(self, packet: "av.Packet[av.VideoStream]") -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            self._count_corrupt(error)
            return []

    def _stop_reader(self) -> None:
        self._stop.set()
        if self._reader.is_alive():
            self._reader.join(self._config.timeout + JOIN_MARGIN)
        if self._reader.is_alive():
            logger.warning("%s: the driver does not answer; its thread is left running", self.uri)
        else:
            self._container.close()
