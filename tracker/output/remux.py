"""Remuxing of the encoded video into the final file, with its index at the front and the source's audio."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from tracker.data.files import replace_file
from tracker.errors import InputError
from tracker.output.audio import AudioCopier, has_video_after
from tracker.output.base import VideoInfo
from tracker.output.packets import Packet, demux_timed, shift, start_time, time_base


@dataclass(frozen=True)
class TimeRange:
    """The processed part of the source, in seconds on the clock of its timestamps."""

    start: Fraction  # time of the first processed frame
    end: Fraction  # end of the last processed frame
    last_duration: Fraction  # display duration of that frame
    source_start: Fraction  # time of the source's first frame


def remux(path: Path, info: VideoInfo, processed: TimeRange) -> None:
    """Replaces the fragmented video at `path` by the final one, without encoding it again.

    The file's 0 is the first processed frame; audio keeps its offset to the video and is cut to its time range.
    There is one exception: where the source is processed from its start and its audio begins before the first
    frame, 0 is the start of the audio and the video starts as much later as in the source. So a source
    whose timestamps begin anywhere plays from 0, and one that begins at 0 keeps its timestamps unchanged. Where the
    source is processed to its end, audio that outlasts the video is kept.

    Raises:
        InputError: The source's audio cannot be read; the video remains without it.
        OSError, FFmpegError: The final file cannot be written; the fragmented one remains.
    """
    with replace_file(path, path.suffix) as temporary, av.open(str(path)) as encoded:
        if info.audio_path:
            with _open_audio(path, info) as source:
                _write(temporary, encoded, processed, source, info)
        else:
            _write(temporary, encoded, processed, None, info)


def _open_audio(path: Path, info: VideoInfo) -> InputContainer:
    try:
        return av.open(info.audio_path)
    except (OSError, FFmpegError) as error:
        message = f"cannot read the audio of {info.audio_path}: {error.strerror}; {path} is complete without it"
        raise InputError(message) from None


def _write(
    path: Path, encoded: InputContainer, processed: TimeRange, source: InputContainer | None, info: VideoInfo
) -> None:
    video = encoded.streams.video[0]
    # Edit lists are counted in the movie's timescale, which by default is no finer than a millisecond.
    options = {"movflags": "+faststart", "movie_timescale": str(Fraction(video.time_base or 1).denominator)}
    with av.open(str(path), "w", container_options=options if path.suffix.lower() != ".mkv" else {}) as final:
        stream = final.add_stream_from_template(video, opaque=True)
        packets: list[Iterator[Packet]] = []
        origin = processed.start
        if source is not None:
            audio = AudioCopier(source, final)
            if info.start == 0:
                origin = min([origin, *audio.start_times])
            packets.append(audio.packets(origin, *_audio_range(info, processed)))
        packets.append(_video_packets(encoded, stream, processed.start - origin, processed.last_duration))
        for packet in heapq.merge(*packets, key=start_time):
            final.mux_one(packet)


def _audio_range(info: VideoInfo, processed: TimeRange) -> tuple[Fraction | float, Fraction | float]:
    """Returns the start and end of the copied audio, in seconds on the clock of the source's timestamps."""
    start = processed.start if info.start > 0 else -math.inf
    end = processed.source_start + Fraction(info.end) if info.end < math.inf else math.inf
    # A run that the user stopped early ends with its last frame, though the source has more.
    return start, min(end, processed.end) if has_video_after(info.audio_path, processed.end) else end


def _video_packets(
    encoded: InputContainer, stream: VideoStream, offset: Fraction, last_duration: Fraction
) -> Iterator[Packet]:
    """Yields the packets of the encoded video, shifted by `offset` seconds, for the final file."""
    previous: Packet | None = None
    for packet in demux_timed(encoded, encoded.streams.video[0]):
        if previous is not None:
            yield previous
        previous = shift(packet, offset, stream)
    if previous is not None:
        previous.duration = round(last_duration / time_base(previous))  # Matroska does not store it
        yield previous
