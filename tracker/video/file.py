"""A source that reads a video file, on disk or from a URL."""

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video.rgb import RGBConverter
from tracker.video.source import LazyFrame, Source, start_error
from tracker.video.timestamps import MonotonicTimestamps

logger = logging.getLogger(__name__)

DURATION_TOLERANCE = Fraction(1, 2)
"""Seconds by which a file may be shorter than its header states before it counts as truncated."""


def select_video_stream(container: InputContainer, uri: str) -> VideoStream:
    """Returns the video stream to process, set to decode on one thread.

    One thread, because FFmpeg's frame and slice threads conceal errors differently with every number of threads
    and even from run to run; the caller decodes in parallel with its other work instead.
    """
    stream = container.streams.best("video")
    # FFmpeg renders text files as images of a terminal, and takes an album's cover for a video.
    is_text = container.format.name == "tty"
    if is_text or not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise InputError(f"{uri} has no video in it: give a file that has")
    if stream.codec_context is None:
        raise InputError(f"no decoder is known for the video of {uri}: convert it to H.264 first")
    stream.thread_count = 1
    return stream


def average_rate(stream: VideoStream) -> Fraction:
    """Returns the frames per second that the container states, 30 where it states none."""
    return stream.average_rate or stream.guessed_rate or Fraction(30)


def demux(container: InputContainer) -> Iterator["Packet[Any]"]:
    """Yields the packets of all streams, in the order of the container."""
    try:
        yield from container.demux()
    except IndexError:
        # PyAV fails at the end of a container in which a stream appeared late; everything has been read by then.
        logger.debug("a stream appeared late in %s", container.name)


class VideoFile(Source):
    """Reads a file from its beginning to its end.

    Frames before `config.start` are decoded too, not skipped by seeking: only so their number, and thus `Frame.index`,
    is known for every format. Packets that do not decode are skipped. Frames whose errors the decoder could conceal
    are used.

    Args:
        container: The opened file; the source closes it.
        media_path: Path of the file on disk; None for a URL.
        threads: See `RGBConverter`.

    Raises:
        InputError: There is no video, none of its frames can be decoded, or `config.start` is beyond its end.
    """

    def __init__(
        self,
        container: InputContainer,
        uri: str,
        name: str,
        config: SourceConfig,
        media_path: Path | None,
        threads: int,
    ) -> None:
        super().__init__(uri, name, config)
        self._container = container
        self._decoded_frames = self._decode()
        self._resources.callback(container.close)
        self._resources.callback(self._decoded_frames.close)  # before the container: reading a closed one crashes
        try:
            self._stream = select_video_stream(container, uri)
            self._is_avi = container.format.name == "avi"
            self.media_path = media_path
            self.frame_rate = average_rate(self._stream)
            self.time_base = self._stream.time_base or 1 / self.frame_rate
            self._demuxed_until = Fraction(0)
            self._read_failed = False
            self._timestamps = MonotonicTimestamps(self.time_base)
            self._to_rgb = RGBConverter(threads)
            self._probe()
        except BaseException:
            self.close()
            raise

    def _probe(self) -> None:
        first = next(self._decoded_frames, None)
        if first is None:
            raise InputError(f"no frame of {self.uri} can be decoded: the file is corrupt or uses an unknown codec")
        self._first_frame: VideoFrame | None = first
        self.height, self.width, _ = self._to_rgb(first).shape
        self._first_pts = self._stated_pts(first) or 0
        duration = self._stated_duration()
        if self._config.start >= duration > 0:
            raise start_error(self.uri, self._config.start, duration)
        # Some demuxers have counted only the frames that they read to open the file.
        frame_count = max(self._stream.frames, round(duration * self.frame_rate))
        self.expected_frames = self._estimate_frames(frame_count, duration)

    def _stated_duration(self) -> Fraction:
        """Returns the duration of the video in the header, seconds, 0 where it states none."""
        if self._stream.duration is not None:
            return self._stream.duration * self.time_base
        duration = Fraction(self._container.duration or 0, av.time_base)
        return duration - self._container_start_time() if self._duration_is_end_time() else duration

    def _container_start_time(self) -> Fraction:
        return Fraction(self._container.start_time or 0, av.time_base)

    def _duration_is_end_time(self) -> bool:
        """Returns True for Matroska, which states the time at which it ends in place of its duration."""
        return "matroska" in self._container.format.name

    def _stated_pts(self, frame: VideoFrame) -> int | None:
        # AVI has no presentation times, and FFmpeg's guesses are wrong where frames are reordered; the decoding times
        # count its frames.
        return frame.dts if self._is_avi else frame.pts

    def _lazy_frames(self) -> Generator[LazyFrame]:
        default_duration = max(1, round(1 / self.frame_rate / self.time_base))
        index = 0
        frame = self._first_frame
        self._first_frame = None
        while frame is not None:
            pts = self._timestamps.correct(self._stated_pts(frame), default_duration)
            if pts is not None:
                duration = (frame.duration or 0) * self.time_base
                yield LazyFrame(index, pts, duration, partial(self._to_rgb, frame))
            index += 1
            frame = next(self._decoded_frames, None)
        self._finish()

    def _decode(self) -> Generator[VideoFrame]:
        for packet in self._demux():
            self._update_demuxed_until(packet)
            # An empty packet (AVI: repeat the frame) would signal the end of the file to the decoder.
            if packet.stream_index == self._stream.index and packet.size:
                yield from self._decode_packet(packet)
        yield from self._decode_packet(None)

    def _decode_packet(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            self._count_corrupt(error)
            return []

    def _demux(self) -> Iterator["Packet[Any]"]:
        """Yields the packets of all streams and skips parts that cannot be read."""
        failures = 0
        while failures < 2:
            try:
                for packet in demux(self._container):
                    failures = 0
                    yield packet
                return
            except av.FFmpegError as error:
                failures += 1
                self._count_corrupt(error)
                if isinstance(error, av.error.ExitError):  # the server did not answer in time
                    break
        self._read_failed = True

    def _update_demuxed_until(self, packet: "Packet[Any]") -> None:
        timestamps = [timestamp for timestamp in (packet.pts, packet.dts) if timestamp is not None]
        if timestamps:
            end = (max(timestamps) + (packet.duration or 0)) * packet.time_base
            self._demuxed_until = max(self._demuxed_until, end)

    def _finish(self) -> None:
        stated = Fraction(self._container.duration or 0, av.time_base)
        if self._is_avi:  # FFmpeg corrects the duration of a truncated one, but not the number of frames
            stated = max(stated, self._stream.frames / self.frame_rate)
        start = 0 if self._duration_is_end_time() else self._container_start_time()
        read = self._demuxed_until - start
        self.truncated = self._read_failed or stated - read > DURATION_TOLERANCE
        if self.truncated:
            logger.warning("%s is truncated: %.3f of %.3f s could be read", self.uri, float(read), float(stated))
        elif self._stream.duration is not None and self._stream.start_time is not None:
            self._end_time = (self._stream.start_time + self._stream.duration - self._first_pts) * self.time_base
        if self.corrupt_packets:
            logger.warning("%s: %d corrupt packets were skipped", self.uri, self.corrupt_packets)
        self._timestamps.log_corrections(self.uri)
