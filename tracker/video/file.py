"""A video file, on disk or at an address that serves one."""

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
from tracker.video.source import Picture, Source, beyond_end
from tracker.video.timestamps import Timestamps

logger = logging.getLogger(__name__)

SLACK = Fraction(1, 2)
"""Seconds by which a file may be shorter than its header says before it counts as cut off."""


def video_stream(container: InputContainer, spec: str) -> VideoStream:
    """The video to process, set to decode on one thread.

    One thread, because FFmpeg's frame and slice threads conceal damage differently with every number of threads
    and even from run to run; the caller decodes beside its other work instead.

    Raises:
        InputError: There is none.
    """
    stream = container.streams.best("video")
    # FFmpeg renders text files as pictures of a terminal, and takes an album's cover for a video.
    if not isinstance(stream, VideoStream) or container.format.name == "tty" or _is_cover(stream):
        raise InputError(f"{spec} has no video in it: give a file that has")
    if stream.codec_context is None:
        raise InputError(f"no decoder is known for the video of {spec}: convert it to H.264 first")
    stream.thread_count = 1
    return stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def average_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the container says, 30 where it does not."""
    return stream.average_rate or stream.guessed_rate or Fraction(30)


def packets(container: InputContainer) -> Iterator["Packet[Any]"]:
    """The packets of all streams, in the order of the container."""
    try:
        yield from container.demux()
    except IndexError:
        # PyAV stumbles at the end of a container in which a stream appeared late; everything has been read by then.
        logger.debug("a stream appeared late in %s", container.name)


class VideoFile(Source):
    """Reads a file from its beginning to its end.

    Frames before `config.start` are decoded too, not sought over: only so their number, and thus `Frame.index`, is
    known for every format. Packets that do not decode are skipped. Pictures that the decoder could mend are kept.

    Args:
        container: The opened file; the source closes it.
        media_path: Where the file lies on disk.
        threads: See `RGBConverter`.

    Raises:
        InputError: There is no video, none of its pictures can be decoded, or `config.start` is beyond its end.
    """

    def __init__(
        self,
        container: InputContainer,
        spec: str,
        name: str,
        config: SourceConfig,
        media_path: Path | None,
        threads: int,
    ) -> None:
        super().__init__(spec, name, config)
        self._container = container
        self._decoded = self._decode()
        self._resources.callback(container.close)
        self._resources.callback(self._decoded.close)  # before the container: reading a closed one crashes
        try:
            self._stream = video_stream(container, spec)
            self.media_path = media_path
            self.frame_rate = average_rate(self._stream)
            self.time_base = self._stream.time_base or 1 / self.frame_rate
            self._reached = Fraction(0)
            self._broken = False
            self._timestamps = Timestamps(self.time_base)
            self._rgb = RGBConverter(threads)
            self._measure()
        except BaseException:
            self.close()
            raise

    def _measure(self) -> None:
        first = next(self._decoded, None)
        if first is None:
            raise InputError(f"no picture of {self.spec} can be decoded: the file is damaged or uses an unknown codec")
        self._first: VideoFrame | None = first
        self.height, self.width, _ = self._rgb(first).shape
        self._first_pts = self._raw_pts(first) or 0
        duration = self._stated_duration()
        if self._config.start >= duration > 0:
            raise beyond_end(self.spec, self._config.start, duration)
        # Some demuxers have counted only the frames that they looked at to open the file.
        frames = max(self._stream.frames, round(duration * self.frame_rate))
        self.expected_frames = self._estimate(frames, duration)

    def _stated_duration(self) -> Fraction:
        """Seconds of video that the header promises, 0 where it does not say."""
        if self._stream.duration is not None:
            return self._stream.duration * self.time_base
        duration = Fraction(self._container.duration or 0, av.time_base)
        return duration - self._container_start() if self._counts_from_zero() else duration

    def _container_start(self) -> Fraction:
        return Fraction(self._container.start_time or 0, av.time_base)

    def _counts_from_zero(self) -> bool:
        """Matroska states the moment at which it ends, the others how long they last."""
        return "matroska" in self._container.format.name

    def _raw_pts(self, picture: VideoFrame) -> int | None:
        # AVI has no presentation times, and those made up for it are wrong where frames are reordered; the decoding
        # times count its frames.
        return picture.dts if self._is_avi() else picture.pts

    def _is_avi(self) -> bool:
        return self._container.format.name == "avi"

    def _pictures(self) -> Generator[Picture]:
        step = max(1, round(1 / self.frame_rate / self.time_base))
        index = 0
        picture = self._first
        self._first = None
        while picture is not None:
            pts = self._timestamps.place(self._raw_pts(picture), step)
            if pts is not None:
                duration = (picture.duration or 0) * self.time_base
                yield Picture(index, pts, duration, partial(self._rgb, picture))
            index += 1
            picture = next(self._decoded, None)
        self._finish()

    def _decode(self) -> Generator[VideoFrame]:
        for packet in self._packets():
            self._note_reach(packet)
            # An empty packet (AVI: repeat the picture) would tell the decoder that the file is over.
            if packet.stream_index == self._stream.index and packet.size:
                yield from self._decode_packet(packet)
        yield from self._decode_packet(None)

    def _decode_packet(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            self._count_damage(error)
            return []

    def _packets(self) -> Iterator["Packet[Any]"]:
        """Packets of all streams, over places that cannot be read."""
        failures = 0
        while failures < 2:
            try:
                for packet in packets(self._container):
                    failures = 0
                    yield packet
                return
            except av.FFmpegError as error:
                failures += 1
                self._count_damage(error)
                if isinstance(error, av.error.ExitError):  # the server did not answer in time
                    break
        self._broken = True

    def _note_reach(self, packet: "Packet[Any]") -> None:
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None]
        if stamps:
            end = (max(stamps) + (packet.duration or 0)) * packet.time_base
            self._reached = max(self._reached, end)

    def _finish(self) -> None:
        stated = Fraction(self._container.duration or 0, av.time_base)
        if self._is_avi():  # of one that was cut off FFmpeg corrects the length, but not the number of frames
            stated = max(stated, self._stream.frames / self.frame_rate)
        reached = self._reached if self._counts_from_zero() else self._reached - self._container_start()
        self.truncated = self._broken or stated - reached > SLACK
        if self.truncated:
            logger.warning("%s was cut off: %.3f of %.3f s could be read", self.spec, float(reached), float(stated))
        elif self._stream.duration is not None and self._stream.start_time is not None:
            self._end = (self._stream.start_time + self._stream.duration - self._first_pts) * self.time_base
        if self.corrupt_packets:
            logger.warning("%s: %d damaged packets were skipped", self.spec, self.corrupt_packets)
        self._timestamps.report(self.spec)
