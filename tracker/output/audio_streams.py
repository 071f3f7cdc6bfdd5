"""Audio streams of a new file: copied where its container takes their codec, otherwise transcoded, or left out."""

import logging
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError

from tracker.output.gaps import MOST_TICKS
from tracker.output.packets import Packet, shift, start_time, time_base

logger = logging.getLogger(__name__)

# The codecs that players expect in these containers; the muxer itself would accept more.
_MP4_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
_AAC_FRAME = 1024  # samples
MOST_CORRUPT = 10
"""Packets that may be damaged before copying is given up."""

Seconds = Fraction | float


class CopyError(Exception):
    """An error for audio that cannot be copied; the message says why."""


class OutputAudio(ABC):
    """Converts packets of one stream of the source to packets of one stream of the target.

    A packet lasts until the next one begins, and MP4 and MOV limit how long that is: 12 hours at 48,000 Hz. In a longer
    hole the packet after it is repeated.

    Attributes:
        end: End of the source's stream, in seconds on its clock; inf where the container does not state it.
        padding: Seconds before time 0 whose packets belong into the target, since players are told to skip them.
    """

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        self.end: Seconds = math.inf
        self.padding = Fraction(0)
        if stream.duration is not None and stream.time_base is not None:
            self.end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        self._longest = math.inf if target.format.name == "matroska" else Fraction(MOST_TICKS, stream.rate or 48000)
        self._previous: Fraction | None = None  # start of the previous packet in the target, seconds

    def convert(self, packet: Packet, origin: Fraction) -> Iterator[Packet]:
        """Yields the packets for the target, whose time 0 is `origin`, in seconds on the source's clock."""
        yield from self._without_long_holes(self._convert(packet, origin))

    def flush(self) -> Iterator[Packet]:
        """Yields the last packets."""
        yield from self._without_long_holes(self._flush())

    def log_corrections(self, uri: str) -> None:
        """Logs what was lost, in one sentence."""
        return  # a copy loses nothing

    @abstractmethod
    def _convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]: ...

    @abstractmethod
    def _flush(self) -> Iterable[Packet]: ...

    def _without_long_holes(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            start = start_time(packet)
            while self._previous is not None and start - self._previous > self._longest:
                self._previous += Fraction(self._longest)
                yield _copy_at(packet, self._previous)
            self._previous = start
            yield packet


class CopiedAudio(OutputAudio):
    """Copies the packets as they are."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream, target)
        self._target = target.add_stream_from_template(stream, opaque=True)
        if target.format.name == "matroska":
            # An encoder's delay, which FFmpeg 9, with PyAV 19, writes into the header of Matroska.
            padding = getattr(stream.codec_context, "initial_padding", 0)
            self.padding = Fraction(padding, stream.rate or 48000)

        self._format: bytes | None = None  # of the first packet
        self._others = 0  # packets of another format, one after the other

    def _convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]:
        form = _adts_format(packet)
        self._format = form if self._format is None else self._format
        self._others = self._others + 1 if form != self._format else 0
        if self._others > MOST_CORRUPT:  # fewer may be damaged
            raise CopyError("its format changes")
        return [shift(packet, -origin, self._target)]

    def _flush(self) -> Iterable[Packet]:
        return []


class TranscodedAudio(OutputAudio):
    """Transcodes to AAC, mono or stereo."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        super().__init__(stream, target)
        self._rate = stream.rate if stream.rate in _AAC_RATES else 48000
        self._layout = "mono" if stream.channels == 1 else "stereo"
        self._decoder = stream.codec_context
        self._corrupt_packets = 0
        self._input_format: tuple[str, str, int] | None = None
        self._has_changed = False  # that format
        self._end = Fraction(0)  # of the previous frame, seconds
        self._resampler = self._new_resampler()
        self._target = target.add_stream("aac", rate=self._rate, layout=self._layout)

    def log_corrections(self, uri: str) -> None:
        if self._corrupt_packets:
            logger.warning("%s: %d corrupt packets of the sound were skipped", uri, self._corrupt_packets)

    def _convert(self, packet: Packet, origin: Fraction) -> Iterable[Packet]:
        for frame in self._decode(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(origin / frame.time_base)
            yield from self._encode(frame)

    def _flush(self) -> Iterable[Packet]:
        yield from self._encode(None)
        yield from self._target.encode(None)

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler("fltp", self._layout, self._rate, frame_size=_AAC_FRAME)

    def _decode(self, packet: Packet) -> list[AudioFrame]:
        try:
            return self._decoder.decode(packet)
        except FFmpegError:
            self._corrupt_packets += 1
            return []

    def _encode(self, frame: AudioFrame | None) -> Iterator[Packet]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate) if frame else self._input_format
        if self._input_format not in (None, form):  # of joined recordings, say
            self._resampler = self._new_resampler()
            self._has_changed = True
        self._input_format = form
        for resampled in self._resampler.resample(frame):
            time = (resampled.pts or 0) * (resampled.time_base or Fraction(0))
            if self._has_changed and time < self._end:
                continue  # the encoder needs times that increase
            resampled.pts, resampled.time_base = round(time * self._rate), Fraction(1, self._rate)
            self._end = time + Fraction(resampled.samples, self._rate)
            yield from self._target.encode(resampled)


def add_stream(stream: AudioStream, target: OutputContainer, uri: str, may_copy: bool) -> OutputAudio | None:
    """Adds the stream of a new file for a stream of a source, and logs it if that is not a copy.

    Args:
        stream: Of the source.
        target: The new file; its header must not be written yet.
        uri: Name of the source, for messages.
        may_copy: False if copying has failed.

    Returns:
        None if the stream is left out, as one without a decoder, which PyAV cannot describe to a container.
    """
    kind, number = target.format.name, stream.index
    if stream.codec_context is None:
        logger.warning("the audio stream %d of %s is left out: there is no decoder for it", number, uri)
        return None
    codec = stream.codec_context.codec.canonical_name
    if may_copy and (kind == "matroska" or codec in _MP4_CODECS) and _can_hold(kind, stream):
        return CopiedAudio(stream, target)
    try:
        transcoded = TranscodedAudio(stream, target)
    except (FFmpegError, ValueError) as error:  # ValueError: a layout of channels that FFmpeg does not know
        logger.warning("the audio stream %d of %s (%s) is left out: %s", number, uri, codec, error)
        return None
    if may_copy:  # otherwise it was told that copying failed
        logger.warning("the audio stream %d of %s (%s) does not fit into %s and becomes AAC", number, uri, codec, kind)
    return transcoded


def _can_hold(container: str, stream: AudioStream) -> bool:
    """Returns True if a kind of container takes a copy of a stream, which only writing its header shows."""
    try:
        with av.open(os.devnull, "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (FFmpegError, ValueError):  # ValueError: PyAV's own check of the codec
        return False
    return True


def _adts_format(packet: Packet) -> bytes:
    """Returns profile, sample rate and channels of AAC in MPEG-TS, which may change; nothing for anything else.

    Source: ISO/IEC 13818-7, 6.2: the fixed part of the header of ADTS.
    """
    head = memoryview(packet)[:4].tobytes()
    is_adts = len(head) == 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return bytes([head[1] & 0x08, head[2] & 0xFD, head[3] & 0xC0]) if is_adts else b""


def _copy_at(packet: Packet, start: Fraction) -> Packet:
    """Returns a copy of a packet that starts at a time, seconds."""
    copy: Packet = av.Packet(bytes(packet))
    copy.stream, copy.time_base, copy.duration = packet.stream, time_base(packet), packet.duration
    copy.pts = copy.dts = round(start / time_base(packet))
    return copy
