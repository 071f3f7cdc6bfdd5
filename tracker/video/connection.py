"""One connection to a camera or stream: its container, which one thread reads, and its decoder, which another uses."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from tracker.structures.rational import Rational, to_fraction
from tracker.video.decoder import demux
from tracker.video.streams import average_rate, has_timestamps

PLAYLISTS = ("hls", "dash")
"""FFmpeg's formats that are lists of files, each some seconds of video."""
_MOTION_JPEG = ("mpjpeg", "mjpeg", "jpeg_pipe", "image2pipe")


@dataclass(eq=False)
class Connection:
    """An open container and its video stream, which is decoded by the codec alone, also when the container is closed.

    Attributes:
        container: Read and closed by the thread that opened it.
        stream: Its video.
        time_base: Seconds of a unit of its timestamps.
        frame_rate: Frames per second.
        sample_aspect_ratio: Width of a pixel over its height; None where it is not stated.
        is_playlist: True for HLS and DASH, which send some seconds of video at once.
        delivers_all: True for a server that keeps what was not read yet, so that nothing need be lost.
        is_finished: True for a playlist that says that nothing more will be added.
        is_timeless: True if its frames have no timestamps.
    """

    container: InputContainer
    stream: VideoStream
    time_base: Fraction = field(init=False)
    frame_rate: Fraction = field(init=False)
    sample_aspect_ratio: Rational | None = field(init=False)
    is_playlist: bool = field(init=False)
    delivers_all: bool = field(init=False)
    is_finished: bool = field(init=False)
    is_timeless: bool = field(init=False)

    def __post_init__(self) -> None:
        name = self.container.format.name
        self.time_base = to_fraction(self.stream.time_base or 1)
        self.frame_rate = average_rate(self.stream)
        self.sample_aspect_ratio = self.stream.sample_aspect_ratio
        self.is_playlist = name.startswith(PLAYLISTS)
        self.is_finished = self.is_playlist and self.container.duration is not None
        self.is_timeless = not has_timestamps(self.container)
        is_http = self.container.name.lower().startswith(("http://", "https://"))
        self.delivers_all = is_http and name not in _MOTION_JPEG
        self._index = self.stream.index
        self._codec = self.stream.codec_context

    @property
    def description(self) -> str:
        """The codec and the size of the images."""
        return f"{self._codec.name}, {self._codec.width}x{self._codec.height}"

    def packets(self) -> Generator["Packet[Any]"]:
        """Yields the packets of the video that hold a frame.

        Raises:
            av.FFmpegError: The connection broke off, or nothing came in time.
        """
        for packet in demux(self.container):
            if packet.stream_index == self._index and packet.size:
                yield packet

    def decode(self, packet: "Packet[Any] | None", on_error: Callable[[Exception], None]) -> Iterator[VideoFrame]:
        """Yields the frames that are complete with a packet, or that are left at the end (None)."""
        try:
            yield from self._codec.decode(packet)
        except (av.FFmpegError, EOFError) as error:
            on_error(error)
