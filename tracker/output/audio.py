"""Copying of a source's audio into a video; it is transcoded only where the container does not support its codec."""

import contextlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from tracker.output.packets import Packet, demux_timed, shift, start_time, time_base

logger = logging.getLogger(__name__)

# The codecs that players expect in these containers; the muxer itself would accept more.
_MP4_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})

Seconds = Fraction | float


class AudioCopier:
    """Copies all audio streams of a source into a new file.

    Attributes:
        start_times: Start of each stream, in seconds on the clock of the source's timestamps.
    """

    def __init__(self, source: InputContainer, target: OutputContainer) -> None:
        """Adds a stream to `target` for each audio stream of `source`; its header must not be written yet."""
        self._source = source
        # Matroska cannot hold packets before 0, which in MP4 and MOV an edit list hides.
        self._drops_negative_times = target.format.name == "matroska"
        self._streams = {stream.index: _add_stream(stream, target) for stream in source.streams.audio}
        self.start_times = [
            stream.start_time * (stream.time_base or Fraction(0))
            for stream in source.streams.audio
            if stream.start_time is not None
        ]

    def packets(self, origin: Fraction, start: Seconds, end: Seconds) -> Iterator[Packet]:
        """Yields the packets for the target, roughly in order of time.

        Packets that end before `start`, or start at or after `end`, are left out. The time `origin` becomes 0. All
        three are in seconds on the source's clock.
        """
        if not self._streams:
            return  # demuxing no streams would mean all of them
        if self._drops_negative_times:
            start = max(start, origin)
        unfinished = set(self._streams)
        for packet in _demux_readable(self._source, *self._source.streams.audio):
            stream = self._streams[packet.stream_index]
            packet_start = start_time(packet)
            packet_end = packet_start + (packet.duration or 0) * time_base(packet)
            if packet_start >= end:
                unfinished.discard(packet.stream_index)
                if not unfinished:
                    break
            elif packet_start >= start or (packet_end > start and not self._drops_negative_times):
                last = min(end, stream.end)
                if packet_start < last < packet_end:  # the stream ends within this packet
                    packet.duration = round((last - packet_start) / time_base(packet))
                yield from stream.convert(packet, origin)
        for stream in self._streams.values():
            yield from stream.flush()


class _OutputAudio(ABC):
    """Converts packets of one stream of the source to packets of one stream of the target.

    Attributes:
        end: End of the source's stream, in seconds on its clock; inf where the container does not state it.
    """

    def __init__(self, stream: AudioStream) -> None:
        self.end: Seconds = math.inf
        if stream.duration is not None and stream.time_base is not None:
            self.end = ((stream.start_time or 0) + stream.duration) * stream.time_base

    @abstractmethod
    def convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]: ...

    @abstractmethod
    def flush(self) -> Iterable[Packet]: ...


class _CopiedAudio(_OutputAudio):
    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream)
        self._target = target.add_stream_from_template(stream, opaque=True)

    def convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]:
        return [shift(packet, -origin, self._target)]

    def flush(self) -> Iterable[Packet]:
        return []


class _TranscodedAudio(_OutputAudio):
    """Transcodes to AAC, mono or stereo."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream)
        rate = stream.rate if stream.rate in _AAC_RATES else 48000
        layout = "mono" if stream.channels == 1 else "stereo"
        self._decoder = stream.codec_context
        self._target = target.add_stream("aac", rate=rate, layout=layout)
        self._resampler = AudioResampler("fltp", layout, rate, frame_size=1024)

    def convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]:
        for frame in self._decode(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(origin / frame.time_base)
            yield from self._encode(frame)

    def flush(self) -> Iterable[Packet]:
        yield from self._encode(None)
        yield from self._target.encode(None)

    def _decode(self, packet: Packet) -> list[AudioFrame]:
        try:
            return self._decoder.decode(packet)
        except FFmpegError as error:
            logger.warning("skipped a corrupt audio packet at %.3f s: %s", float(start_time(packet)), error.strerror)
            return []

    def _encode(self, frame: AudioFrame | None) -> Iterator[Packet]:
        for resampled in self._resampler.resample(frame):
            yield from self._target.encode(resampled)


def _add_stream(stream: AudioStream, target: OutputContainer) -> _OutputAudio:
    codec = stream.codec_context.codec.canonical_name
    supported = target.supported_codecs if target.format.name == "matroska" else _MP4_CODECS
    if codec in supported:
        return _CopiedAudio(stream, target)
    logger.info("audio %s does not fit into %s and becomes AAC", codec, target.format.name)
    return _TranscodedAudio(stream, target)


def _demux_readable(source: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """Yields the packets up to the end of the file, or to where it is corrupt."""
    try:
        yield from demux_timed(source, *streams)
    except FFmpegError as error:
        logger.warning("%s is corrupt and can be read in part only: %s", source.name, error.strerror)


def has_video_after(path: str, time: Fraction) -> bool:
    """Returns True if the video of a media file has a packet at or after a time, seconds on its timestamps' clock."""
    with av.open(path) as source:
        if not source.streams.video:
            return False
        video = source.streams.video[0]
        with contextlib.suppress(FFmpegError):  # a file that does not support seeking is read from its beginning
            source.seek(int(time * av.time_base))
        return any(start_time(packet) >= time for packet in _demux_readable(source, video))
