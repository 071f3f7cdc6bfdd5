"""Copying of a source's audio into a video."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from tracker.output.audio_clock import AudioClock, VideoClock
from tracker.output.audio_streams import Seconds, add_stream
from tracker.output.base import AudioSource
from tracker.output.packets import Packet, demux_timed, start_time, time_base

logger = logging.getLogger(__name__)


class AudioCopier:
    """Copies all audio streams of a source into a new file.

    Attributes:
        start_times: Start of each stream, in seconds on the clock of the source's timestamps.
    """

    def __init__(
        self, audio: AudioSource, source: InputContainer, target: OutputContainer, may_copy: bool = True
    ) -> None:
        """Adds a stream to `target` for each audio stream of `source`; its header must not be written yet.

        Args:
            audio: The sound of the source.
            source: Its open container.
            target: The new file.
            may_copy: False to transcode every stream.
        """
        self._uri = audio.uri
        self._source = source
        self._container = target.format.name
        # Matroska holds no packets before 0, which in MP4 and MOV an edit list hides, but those of the padding.
        self._drops_negative_times = self._container == "matroska"
        added = {stream: add_stream(stream, target, audio.uri, may_copy) for stream in source.streams.audio}
        self._sources: list[Stream] = [stream for stream, output in added.items() if output]
        self._streams = {stream.index: output for stream, output in added.items() if output}
        self._has_restarts = bool(audio.clock_offsets)
        video_clock = VideoClock(audio.clock_offsets)
        self._clocks: dict[int, AudioClock | VideoClock] = {index: AudioClock(video_clock) for index in self._streams}
        if self._has_restarts and self._sources and (video := source.streams.best("video")):
            self._sources.append(video)
            self._clocks[video.index] = video_clock
        self.start_times = [
            stream.start_time * (stream.time_base or Fraction(0))
            for stream in source.streams.audio
            if stream.index in self._streams and stream.start_time is not None
        ]

    def packets(self, origin: Fraction, start: Seconds, end: Seconds) -> Iterator[Packet]:
        """Yields the packets for the target, roughly in order of time.

        Packets that end before `start`, or start at or after `end`, are left out. The time `origin` becomes 0. All
        three are in seconds on the source's clock.
        """
        if self._drops_negative_times:
            start = max(start, origin)
        unfinished = set(self._streams)
        for packet in self._mended():
            stream = self._streams[packet.stream_index]
            packet_start = start_time(packet)
            packet_end = packet_start + (packet.duration or 0) * time_base(packet)
            if packet_start >= end:
                unfinished.discard(packet.stream_index)
                if not unfinished:
                    break
            elif packet_start >= start - stream.padding or (packet_end > start and not self._drops_negative_times):
                # The end of a stream is stated on a clock without restarts.
                last = end if self._has_restarts else min(end, stream.end)
                if packet_start < last < packet_end:  # the stream ends within this packet
                    packet.duration = round((last - packet_start) / time_base(packet))
                yield from stream.convert(packet, origin)
        for stream in self._streams.values():
            yield from stream.flush()
            stream.log_corrections(self._uri)
        for clock in self._clocks.values():
            clock.log_corrections(self._uri)

    def _mended(self) -> Iterator[Packet]:
        """Yields the packets of all streams, each stream with times that increase."""
        if self._streams:  # demuxing no streams would mean all of them
            for packet in self._demux():
                yield from self._clocks[packet.stream_index].push(packet)
        for clock in self._clocks.values():
            yield from clock.flush()

    def _demux(self) -> Iterator[Packet]:
        """Yields the packets up to the end of the file, or to where it is corrupt."""
        try:
            for packet in self._source.demux(*self._sources):
                packet.pts = packet.dts if packet.pts is None else packet.pts
                if packet.size or packet.pts is not None:  # packets that mark the end of a stream have neither
                    yield packet
        except FFmpegError as error:
            logger.warning("%s is corrupt and can be read in part only: %s", self._uri, error.strerror)
        except IndexError:
            # PyAV fails at the end of a container in which a stream appeared late; everything has been read by then.
            logger.debug("a stream appeared late in %s", self._uri)


def has_video_after(source: InputContainer, time: Fraction, clock_offsets: Sequence[Fraction]) -> bool:
    """Returns True if the video of a source has a packet at or after a time, seconds on its clock.

    The container is to be opened anew afterwards. After a restart of the clock the answer is True where the part before
    it, moved by the same offset, has such a packet.
    """
    if not source.streams.video:
        return False
    with suppress(FFmpegError, IndexError):  # what is corrupt, or appears late, has no say
        if clock_offsets:
            time -= clock_offsets[-1]
        else:
            with suppress(FFmpegError):  # a file that does not support seeking is read from its beginning
                source.seek(int(time * av.time_base))
        return any(start_time(packet) >= time for packet in demux_timed(source, *source.streams.video))
    return False
