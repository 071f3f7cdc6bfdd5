"""Demuxing and decoding of one video stream, past what is corrupt, with a look at the timestamps to come."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

MAX_REORDERED = 20
"""Packets after which a frame has come out of every decoder: H.264 and HEVC hold back at most 16 frames."""
MAX_BYTES_AHEAD = 64 * 2**20
"""Bytes of packets that are read ahead to look at their timestamps; packets of a usual size take far less."""


def demux(container: InputContainer) -> Iterator["Packet[Any]"]:
    """Yields the packets of all streams, in the order of the container."""
    try:
        yield from container.demux()
    except IndexError:
        # PyAV fails at the end of a container in which a stream appeared late; everything has been read by then.
        logger.debug("a stream appeared late in %s", container.name)


@dataclass
class ReadCounts:
    """Counts of what was read of a video stream.

    Attributes:
        stored: Packets of the stream, with those that are empty or not to be shown.
        packets: Packets that hold a frame each, and are meant to be shown.
        frames: Frames that were decoded.
        interlaced: Those of them that consist of two fields, which may have had a packet each.
        corrupt_frames: Frames of which the decoder concealed errors, or the demuxer flagged the data as corrupt.
        end: Latest end of any packet of any stream, seconds on the container's clock.
        video_end: Latest end of any packet of the video, seconds on the container's clock.
        complete: True if all packets that can be read were decoded, so that none is left in the decoder.
        failed: True if reading ended with an error.
    """

    stored: int = 0
    packets: int = 0
    frames: int = 0
    interlaced: int = 0
    corrupt_frames: int = 0
    end: Fraction = Fraction(0)
    video_end: Fraction = Fraction(0)
    complete: bool = False
    failed: bool = False


class VideoDecoder:
    """Decodes the frames of one stream of a container in order; packets that do not decode are skipped.

    Args:
        container: The opened file.
        stream: Its video.
        by_dts: Take the decoding timestamps for those of presentation (AVI, which has no others).
        on_corrupt: Called with the error for each part that cannot be read or decoded.

    Attributes:
        counts: See `ReadCounts`.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, by_dts: bool, on_corrupt: Callable[[Exception], None]
    ) -> None:
        self.counts = ReadCounts()
        self._container = container
        self._stream = stream
        self._by_dts = by_dts
        self._on_corrupt = on_corrupt
        self._packets = self._demux()
        self._waiting: deque[Packet[Any]] = deque()  # demuxed, not decoded
        self._bytes_waiting = 0
        self._decoding: deque[tuple[int, int]] = deque()  # number and timestamp of packets whose frame is yet to come

    def frames(self) -> Generator[VideoFrame]:
        """Yields all frames."""
        while (packet := self._next_packet()) is not None:
            yield from self._decode(packet)
        yield from self._decode(None)
        self.counts.complete = True

    def following(self, count: int) -> list[int]:
        """Returns the stated timestamps of what comes after the latest frame, in the order of decoding.

        Args:
            count: Number to return at least; fewer only at the end of the file.
        """
        while self._bytes_waiting < MAX_BYTES_AHEAD and len(self._waiting) < count:
            packet = next(self._packets, None)
            if packet is None:
                break
            self._waiting.append(packet)
            self._bytes_waiting += packet.size
        waiting = (self._timestamp(packet) for packet in self._waiting)
        return [pts for _, pts in self._decoding] + [pts for pts in waiting if pts is not None]

    def _next_packet(self) -> "Packet[Any] | None":
        if not self._waiting:
            return next(self._packets, None)
        packet = self._waiting.popleft()
        self._bytes_waiting -= packet.size
        return packet

    def _timestamp(self, item: "Packet[Any] | VideoFrame") -> int | None:
        return item.dts if self._by_dts else item.pts

    def _decode(self, packet: "Packet[Any] | None") -> Iterator[VideoFrame]:
        if packet is not None and not packet.is_discard:
            self.counts.packets += 1
            self._expect_frame(packet)
        for frame in self._decoded(packet):
            self.counts.frames += 1
            self.counts.interlaced += frame.interlaced_frame
            self.counts.corrupt_frames += frame.is_corrupt
            self._forget(frame)
            yield frame

    def _decoded(self, packet: "Packet[Any] | None") -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            if self._decoding and packet is not None and self._decoding[-1][1] == packet.pts:
                self._decoding.pop()
            self._on_corrupt(error)
            return []

    def _expect_frame(self, packet: "Packet[Any]") -> None:
        pts = packet.pts
        if pts is None or self._by_dts:  # by dts, frames come in another order
            return
        number = self.counts.packets
        self._decoding.append((number, pts))
        while self._decoding[0][0] < number - MAX_REORDERED:
            self._decoding.popleft()

    def _forget(self, frame: VideoFrame) -> None:
        """Removes the packet of a frame, and those before it whose frames, being earlier, got lost."""
        number = next((number for number, pts in self._decoding if pts == frame.pts), None)
        if number is not None and frame.pts is not None:
            left = (item for item in self._decoding if item[0] > number or (item[0] < number and item[1] > frame.pts))
            self._decoding = deque(left)

    def _demux(self) -> Iterator["Packet[Any]"]:
        """Yields the packets of the stream; parts of the file that cannot be read are skipped."""
        failures = 0
        while failures < 2:
            try:
                for packet in demux(self._container):
                    failures = 0
                    is_video = packet.stream_index == self._stream.index
                    self._update_ends(packet, is_video)
                    # An empty packet (AVI: repeat the frame) would signal the end of the file to the decoder.
                    if is_video and packet.size:
                        yield packet
                return
            except av.FFmpegError as error:
                failures += 1
                self._on_corrupt(error)
                if isinstance(error, av.error.ExitError):  # the server did not answer in time
                    break
        self.counts.failed = True

    def _update_ends(self, packet: "Packet[Any]", is_video: bool) -> None:
        timestamps = [timestamp for timestamp in (packet.pts, packet.dts) if timestamp is not None]
        if timestamps:
            end = (max(timestamps) + (packet.duration or 0)) * packet.time_base
            self.counts.end = max(self.counts.end, end)
            if is_video:
                self.counts.stored += 1
                self.counts.video_end = max(self.counts.video_end, end)
