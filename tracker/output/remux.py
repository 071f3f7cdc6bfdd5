"""Completion of the encoded video: an index at its front, the true times, and the source's audio."""

import heapq
import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from tracker.data.files import create_temporary, remove_file, replace_file
from tracker.errors import InputError
from tracker.output.audio import AudioCopier, has_video_after
from tracker.output.audio_streams import MOST_CORRUPT, CopyError
from tracker.output.base import AudioSource, VideoInfo
from tracker.output.gaps import MOST_TICKS, FrameIntervals, find_timescale
from tracker.output.mp4_index import Sample, finish_in_place
from tracker.output.packets import Packet, demux_timed, shift, start_time, time_base

logger = logging.getLogger(__name__)

_STAND_IN = bytes(4)


@dataclass(frozen=True)
class TimeRange:
    """The processed part of the source, in seconds on the clock of its timestamps."""

    start: Fraction  # time of the first processed frame
    end: Fraction  # end of the last processed frame
    last_duration: Fraction  # display duration of that frame
    source_start: Fraction  # time of the source's first frame


def remux(path: Path, info: VideoInfo, processed: TimeRange, intervals: FrameIntervals) -> None:
    """Makes the fragmented video at `path` the final one, without encoding it again.

    An .mp4 or .mov gets an index and the sound in place, and so needs no second copy of the images; an .mkv is written
    anew.

    The file's 0 is the first processed frame; audio keeps its offset to the video and is cut to its time range.
    There is one exception: where the source is processed from its start and its audio begins before the first
    frame, 0 is the start of the audio and the video starts as much later as in the source. So a source
    whose timestamps begin anywhere plays from 0, and one that begins at 0 keeps its timestamps unchanged. Where the
    source is processed to its end, audio that outlasts the video is kept.

    Audio that the container refuses is transcoded, and if that fails too, it is left out with a warning.

    Args:
        path: The file.
        info: Properties of the source.
        processed: The part of it that the video shows.
        intervals: Between the frames; those that are shortened in the fragmented video are restored.

    Raises:
        InputError: The source's audio cannot be read; the video is complete without it.
        OSError, FFmpegError: The final file cannot be written; the fragmented one remains.
    """
    muxer = _Muxer(path, info, processed, intervals)
    if info.audio is None:
        muxer.write()
        return
    for may_copy in (True, False):
        try:
            with _open_audio(info.audio) as source:
                if may_copy:
                    _log_other_streams(source, info.audio.uri)
                muxer.write(source, may_copy)
            return
        except InputError as error:
            muxer.write()
            raise InputError(f"{error}; {path} is complete without it") from None
        except OSError:  # of the disk, not of the audio
            raise
        except (FFmpegError, CopyError) as error:
            step = "it becomes AAC" if may_copy else "it is left out"
            reason = getattr(error, "strerror", error)
            logger.warning("the audio of %s cannot be copied into %s (%s): %s", info.audio.uri, path, reason, step)
    muxer.write()


def _open_audio(audio: AudioSource) -> InputContainer:
    try:
        return audio.open()
    except (OSError, FFmpegError) as error:
        raise InputError(f"cannot read the audio of {audio.uri}: {error.strerror}") from None


def _log_other_streams(source: InputContainer, uri: str) -> None:
    """Logs which streams of a source the video does not get."""
    counts = Counter(stream.type for stream in source.streams if stream.type not in ("video", "audio"))
    if counts:
        texts = ", ".join(f"{count} {kind or 'unknown'}" for kind, count in counts.items())
        logger.warning("the video does not get these streams of %s: %s", uri, texts)


class _Muxer:
    """Makes the fragmented file the final one."""

    def __init__(self, path: Path, info: VideoInfo, processed: TimeRange, intervals: FrameIntervals) -> None:
        self._path = path
        self._info = info
        self._processed = processed
        self._is_mp4 = path.suffix.lower() != ".mkv"
        duration, unit = processed.last_duration, info.time_base
        self._timescale = find_timescale(intervals, duration, unit, path) if self._is_mp4 else None
        self._gaps = intervals.long_gaps(unit, self._timescale)
        self._samples: list[Sample] = []

    def write(self, source: InputContainer | None = None, may_copy: bool = True) -> None:
        """Writes the video, and the audio of a source's container."""
        if not self._is_mp4:
            with replace_file(self._path, self._path.suffix) as temporary:
                self._mux(temporary, source, may_copy)
            return
        index = create_temporary(self._path, self._path.suffix)
        try:
            self._mux(index, source, may_copy)
            finish_in_place(self._path, index, self._samples)
        finally:
            remove_file(index)

    def _mux(self, path: Path, source: InputContainer | None, may_copy: bool) -> None:
        """Writes a file with the video and the audio; in an .mp4 or .mov, images are stand-ins of a few bytes."""
        info, processed = self._info, self._processed
        self._samples = []
        with (
            av.open(f"file:{self._path}") as encoded,
            _create_container(path, self._options(encoded)) as final,
        ):
            stream = final.add_stream_from_template(encoded.streams.video[0], opaque=True)
            packets: list[Iterator[Packet]] = []
            origin = processed.start
            if source is not None and info.audio is not None:
                audio = AudioCopier(info.audio, source, final, may_copy)
                if info.start == 0:
                    origin = min([origin, *audio.start_times])
                audio_packets = audio.packets(origin, *_audio_range(info, info.audio, processed))
                packets.append(self._with_shorter_gaps(audio_packets, processed.start - origin))
            packets.append(self._video_packets(encoded, stream, processed.start - origin))
            _mux(final, heapq.merge(*packets, key=start_time), info.audio.uri if info.audio else "")

    def _options(self, encoded: InputContainer) -> dict[str, str]:
        if not self._is_mp4:
            return {}
        # Edit lists are counted in the movie's timescale, which by default is no finer than a millisecond.
        timescale = self._timescale or (encoded.streams.video[0].time_base or Fraction(1)).denominator
        track = {"video_track_timescale": str(timescale)} if self._timescale else {}
        return {"movie_timescale": str(timescale), "write_btrt": "0", **track}

    def _video_packets(self, encoded: InputContainer, stream: VideoStream, offset: Fraction) -> Iterator[Packet]:
        """Yields the packets of the encoded video, `offset` seconds later, and with the true intervals."""
        if self._timescale:
            stream.time_base = Fraction(1, self._timescale)
        previous: Packet | None = None
        for packet in demux_timed(encoded, encoded.streams.video[0]):
            if self._is_mp4:
                packet = self._stand_in(packet)
            missing = sum((gap.restored for gap in self._gaps if gap.end_in_file <= start_time(packet)), Fraction(0))
            packet = shift(packet, offset + missing, stream)
            if previous is not None:
                if missing:
                    previous.duration = round((start_time(packet) - start_time(previous)) / time_base(previous))
                yield previous
            previous = packet
        if previous is not None:
            duration = self._processed.last_duration
            if self._timescale:
                duration = min(duration, Fraction(MOST_TICKS, self._timescale))
            previous.duration = round(duration / time_base(previous))  # Matroska does not store it
            yield previous

    def _stand_in(self, packet: Packet) -> Packet:
        """Returns a packet of a few bytes with the times of another one, whose place in its file is kept."""
        assert packet.pos is not None
        self._samples.append(Sample(packet.pos, packet.size))
        small: Packet = av.Packet(_STAND_IN)
        small.pts, small.dts, small.time_base = packet.pts, packet.dts, packet.time_base
        small.duration, small.is_keyframe = packet.duration, packet.is_keyframe
        return small

    def _with_shorter_gaps(self, packets: Iterator[Packet], offset: Fraction) -> Iterator[Packet]:
        """Yields packets of audio, moved by what the file cannot hold of the gaps before them."""
        for packet in packets:
            if cut := sum((gap.cut for gap in self._gaps if gap.end + offset <= start_time(packet)), Fraction(0)):
                shift(packet, -cut, packet.stream)
            yield packet


def _mux(container: OutputContainer, packets: Iterator[Packet], uri: str) -> None:
    """Writes packets, and leaves out damaged ones of a source's audio, unless they are many.

    Raises:
        CopyError: They are many.
        OSError, FFmpegError: The container cannot be written, or does not take a packet.
    """
    damaged = 0
    for packet in packets:
        stream = packet.stream
        try:
            container.mux_one(packet)
        except FFmpegError as error:
            damaged += 1
            if isinstance(error, OSError) or stream.type != "audio":
                raise
            if damaged > MOST_CORRUPT:
                raise CopyError(str(error.strerror)) from None
    if damaged:
        logger.warning("%s: %d damaged packets of the sound were left out", uri, damaged)


@contextmanager
def _create_container(path: Path, options: dict[str, str]) -> Iterator[OutputContainer]:
    """Opens a container to be written; after an error, closing it raises no other one."""
    container = av.open(f"file:{path}", "w", container_options=options)
    try:
        yield container
    except BaseException:
        with suppress(OSError, FFmpegError):
            container.close()
        raise
    container.close()


def _audio_range(
    info: VideoInfo, audio: AudioSource, processed: TimeRange
) -> tuple[Fraction | float, Fraction | float]:
    """Returns the start and end of the copied audio, in seconds on the clock of the source's timestamps."""
    start = processed.start if info.start > 0 else -math.inf
    end = processed.source_start + Fraction(info.end) if info.end < math.inf else math.inf
    with _open_audio(audio) as source:
        # A run that the user stopped early ends with its last frame, though the source has more.
        has_more = has_video_after(source, processed.end, audio.clock_offsets)
    return start, min(end, processed.end) if has_more else end
