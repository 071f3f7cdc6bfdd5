"""The live picture as H.264 for Media Source Extensions: one encoder for any number of viewers."""

import io
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from tracker.output.drawing import Image
from tracker.output.encoder import set_bt709, to_yuv420p
from tracker.output.packets import Packet

_UNIT = Fraction(1, 90000)  # of the fragments' times, seconds
_KEYFRAME_SECONDS = 2.0  # so much has a new viewer to decode at first, and so much misses one that is too slow
_FIRST_DURATION, _MOST_DURATION = 0.1, 1.0  # seconds that a picture is said to last, until the next one tells
_ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "crf": "25", "forced-idr": "1", "g": "600", "threads": "1"}
# Each fragment is a file of its own, since the muxer ends one in a file with several when it has the next picture.
_FRAGMENT = {
    "movflags": "frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}


@dataclass(frozen=True)
class _Group:
    """The pictures since a key frame, as fragments of one frame; the thread that adds pictures appends to them.

    Attributes:
        kind: Media type of the stream, with its codec.
        header: The initialization segment of the stream.
        stream_start: Number of the stream's first fragment.
        start: Number of the group's first fragment.
        fragments: A movie fragment (moof, mdat) for each picture.
    """

    kind: str
    header: bytes
    stream_start: int
    start: int
    fragments: list[bytes] = field(default_factory=list)


class LiveVideo:
    """Encodes the pictures of a source as fragmented MP4, and keeps those since the latest key frame.

    One thread adds pictures; any number of viewers read, and none of them can hold up that thread or another viewer.
    A picture of another size begins a new stream. Times are those of the pictures.

    Example:
        >>> import numpy as np
        >>> video = LiveVideo()
        >>> for number in range(3):
        ...     video.add(np.zeros((36, 64, 3), np.uint8), number / 10)
        >>> position, parts = video.read(0)
        >>> position, [type(part).__name__ for part in parts]
        (3, ['str', 'bytes', 'bytes', 'bytes', 'bytes'])
        >>> video.read(position)
        (3, [])
    """

    def __init__(self) -> None:
        self._container: av.container.OutputContainer | None = None
        self._reformatter = VideoReformatter()
        self._size = 0, 0
        self._group: _Group | None = None
        self._number = 0  # of the latest fragment
        self._last = self._keyframe = self._duration = 0.0  # seconds

    @property
    def is_available(self) -> bool:
        """True if this build of FFmpeg encodes H.264."""
        return "libx264" in av.codecs_available

    def add(self, image: Image, time: float) -> None:
        """Encodes a picture, uint8 (H, W, 3) RGB, that is shown at a time in seconds."""
        if self._container is None or image.shape[:2] != self._size or time <= self._last:
            self._open(image)
        else:
            self._duration = min(time - self._last, _MOST_DURATION)
        frame = to_yuv420p(image, self._reformatter)
        frame.pts, frame.time_base = round(time / _UNIT), _UNIT
        frame.pict_type = PictureType.I if time >= self._keyframe else PictureType.NONE
        self._last = time
        for packet in self._stream.encode(frame):
            self._keep(packet)

    def close(self) -> None:
        """Ends the encoder; the next picture begins a new stream."""
        if self._container is not None:
            self._container.close()
            self._container = self._group = None

    def read(self, position: int) -> tuple[int, list[str | bytes]]:
        """Returns the number of the latest fragment, and what a viewer who has all up to number `position` gets next.

        That is, for one who begins, or where a new stream has begun, its media type and initialization segment; then
        fragments, which begin at the latest key frame for one who has not read for too long.
        """
        group = self._group
        if group is None:
            return position, []
        first = max(position + 1, group.start)
        fragments = group.fragments[first - group.start :]
        header = (group.kind, group.header) if position < group.stream_start else ()
        return first + len(fragments) - 1, [*header, *fragments]

    def _open(self, image: Image) -> None:
        self.close()
        self._size = height, width = image.shape[:2]
        self._keyframe, self._duration = 0.0, _FIRST_DURATION
        self._container = av.open(io.BytesIO(), "w", format="mp4", options=_FRAGMENT)  # nothing is written to it
        self._stream: VideoStream = self._container.add_stream(
            "libx264",
            width=width + width % 2,
            height=height + height % 2,
            pix_fmt="yuv420p",
            time_base=_UNIT,
            options=_ENCODER,
        )
        set_bt709(self._stream.codec_context)
        self._container.start_encoding()

    def _keep(self, packet: Packet) -> None:
        is_keyframe = packet.is_keyframe
        packet.duration = round(self._duration / _UNIT)
        header, fragment = _mux(packet, self._stream)
        self._number += 1
        previous = self._group
        if is_keyframe or previous is None:
            self._keyframe = self._last + _KEYFRAME_SECONDS
            start = self._number if previous is None else previous.stream_start
            self._group = _Group(_media_type(header), header, start, self._number, [fragment])
        else:
            previous.fragments.append(fragment)


def _mux(packet: Packet, template: VideoStream) -> tuple[bytes, bytes]:
    """Returns an initialization segment (ftyp, moov), and the packet as a fragment that follows it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options=_FRAGMENT) as container:
        packet.stream = container.add_stream_from_template(template, opaque=True)
        container.mux_one(packet)
    data = file.getvalue()
    end = int.from_bytes(data[:4])
    end += int.from_bytes(data[end : end + 4])
    return data[:end], data[end:]


def _media_type(header: bytes) -> str:
    """Returns the media type with the profile and level (RFC 6381) of a stream, by its initialization segment."""
    start = header.index(b"avcC") + 5
    return f'video/mp4; codecs="avc1.{header[start : start + 3].hex()}"'
