"""Copies a source's audio into a video, re-encoded only where the container does not take its codec."""

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

from tracker.output.packets import Packet, demuxed, moved, start, time_base

logger = logging.getLogger(__name__)

# What players expect in these containers; the muxer itself would take more.
_MP4_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})

Seconds = Fraction | float


class AudioCopier:
    """Carries all audio streams of a source into a new file.

    Attributes:
        starts: Where each stream begins, in seconds on the clock of the source's timestamps.
    """

    def __init__(self, source: InputContainer, target: OutputContainer) -> None:
        """Adds a stream to `target` for each audio stream of `source`; its header must not be written yet."""
        self._source = source
        # Matroska cannot hold packets before 0, which in MP4 and MOV an edit list hides.
        self._from_zero = target.format.name == "matroska"
        self._carriers: dict[int, _AudioStream] = {}
        for stream in source.streams.audio:
            self._carriers[stream.index] = _carrier(stream, target)
        self.starts = [
            stream.start_time * (stream.time_base or Fraction(0))
            for stream in source.streams.audio
            if stream.start_time is not None
        ]

    def packets(self, zero: Fraction, begin: Seconds, end: Seconds) -> Iterator[Packet]:
        """The packets for the target, roughly in order of time.

        Args:
            zero: The moment that gets time 0; this and what follows in seconds on the source's clock.
            begin: What ends before this is left out.
            end: What starts at or after this is left out.
        """
        if not self._carriers:
            return  # demuxing no streams would mean all of them
        if self._from_zero:
            begin = max(begin, zero)
        running = set(self._carriers)
        for packet in _readable(self._source, *self._source.streams.audio):
            carrier = self._carriers[packet.stream_index]
            first = start(packet)
            stop = first + (packet.duration or 0) * time_base(packet)
            if first >= end:
                running.discard(packet.stream_index)
                if not running:
                    break
            elif first >= begin or (stop > begin and not self._from_zero):
                last = min(end, carrier.stop)
                if first < last < stop:  # the stream ends within this packet
                    packet.duration = round((last - first) / time_base(packet))
                yield from carrier.carry(packet, zero)
        for carrier in self._carriers.values():
            yield from carrier.finish()


class _AudioStream(ABC):
    """Turns packets of one stream of the source into packets of one stream of the target.

    Attributes:
        stop: Where the source's stream ends, in seconds on its clock; inf where the container does not say.
    """

    def __init__(self, stream: AudioStream) -> None:
        self.stop: Seconds = math.inf
        if stream.duration is not None and stream.time_base is not None:
            self.stop = ((stream.start_time or 0) + stream.duration) * stream.time_base

    @abstractmethod
    def carry(self, packet: Packet, zero: Fraction) -> Iterable[Packet]: ...

    @abstractmethod
    def finish(self) -> Iterable[Packet]: ...


class _Copy(_AudioStream):
    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream)
        self._target = target.add_stream_from_template(stream, opaque=True)

    def carry(self, packet: Packet, zero: Fraction) -> Iterable[Packet]:
        return [moved(packet, -zero, self._target)]

    def finish(self) -> Iterable[Packet]:
        return []


class _Encode(_AudioStream):
    """To AAC, mono or stereo."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream)
        rate = stream.rate if stream.rate in _AAC_RATES else 48000
        layout = "mono" if stream.channels == 1 else "stereo"
        self._decoder = stream.codec_context
        self._target = target.add_stream("aac", rate=rate, layout=layout)
        self._resampler = AudioResampler("fltp", layout, rate, frame_size=1024)

    def carry(self, packet: Packet, zero: Fraction) -> Iterable[Packet]:
        for frame in self._decoded(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(zero / frame.time_base)
            yield from self._encoded(frame)

    def finish(self) -> Iterable[Packet]:
        yield from self._encoded(None)
        yield from self._target.encode(None)

    def _decoded(self, packet: Packet) -> list[AudioFrame]:
        try:
            return self._decoder.decode(packet)
        except FFmpegError as error:
            logger.warning("skipped a damaged piece of audio at %.3f s: %s", float(start(packet)), error.strerror)
            return []

    def _encoded(self, frame: AudioFrame | None) -> Iterator[Packet]:
        for resampled in self._resampler.resample(frame):
            yield from self._target.encode(resampled)


def _carrier(stream: AudioStream, target: OutputContainer) -> _AudioStream:
    codec = stream.codec_context.codec.canonical_name
    taken = target.supported_codecs if target.format.name == "matroska" else _MP4_CODECS
    if codec in taken:
        return _Copy(stream, target)
    logger.info("audio %s does not fit into %s and becomes AAC", codec, target.format.name)
    return _Encode(stream, target)


def _readable(source: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """The packets up to the end of the file, or to where it is damaged."""
    try:
        yield from demuxed(source, *streams)
    except FFmpegError as error:
        logger.warning("%s is damaged and can be read in part only: %s", source.name, error.strerror)


def has_video_after(path: str, moment: Fraction) -> bool:
    """Whether the pictures of a media file go on at or after a moment, in seconds on the clock of its timestamps.

    Raises:
        OSError, FFmpegError: The file cannot be opened.
    """
    with av.open(path) as source:
        if not source.streams.video:
            return False
        video = source.streams.video[0]
        with contextlib.suppress(FFmpegError):  # what cannot be searched is read from its beginning
            source.seek(int(moment * av.time_base))
        return any(start(packet) >= moment for packet in _readable(source, video))
