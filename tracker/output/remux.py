"""Makes the final video of the growing one: index at the front, audio beside the pictures, nothing re-encoded."""

import heapq
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from tracker.errors import InputError
from tracker.output.audio import AudioCopier, has_video_after
from tracker.output.base import VideoInfo
from tracker.output.packets import Packet, demuxed, moved, start, time_base


@dataclass(frozen=True)
class Span:
    """What of the source was processed, in seconds on the clock of its timestamps.

    Attributes:
        begin: The first processed frame.
        end: The end of the last processed frame.
        last_duration: How long that frame is shown.
        source_begin: The source's first frame.
    """

    begin: Fraction
    end: Fraction
    last_duration: Fraction
    source_begin: Fraction


def remux(path: Path, info: VideoInfo, span: Span) -> None:
    """Replaces the growing video at `path` by the final one.

    The file's 0 is the first processed frame; audio keeps its offset to the pictures and is cut to their span.
    There is one exception: where the source is processed from its start and its audio begins before the first
    frame, 0 is the beginning of the audio and the pictures follow as late as they do in the source. So a source
    whose timestamps begin anywhere plays from 0, and one that begins at 0 keeps its timestamps unchanged. Where the
    source is processed to its end, audio that outlasts the pictures is kept.

    Raises:
        InputError: The source's audio cannot be read; the video remains without it.
        OSError, FFmpegError: The final file cannot be written; the growing one remains.
    """
    unfinished = path.with_name(f".{path.name}.unfinished{path.suffix}")
    try:
        with av.open(str(path)) as pictures:
            if info.audio_from:
                with _open_audio(path, info) as source:
                    _write(unfinished, pictures, span, source, info)
            else:
                _write(unfinished, pictures, span, None, info)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _open_audio(path: Path, info: VideoInfo) -> InputContainer:
    try:
        return av.open(info.audio_from)
    except (OSError, FFmpegError) as error:
        raise InputError(
            f"cannot read the audio of {info.audio_from}: {error.strerror}; {path} is complete without it"
        ) from None


def _write(path: Path, pictures: InputContainer, span: Span, source: InputContainer | None, info: VideoInfo) -> None:
    video = pictures.streams.video[0]
    # Edit lists are counted in the movie's timescale, which by default is no finer than a millisecond.
    options = {"movflags": "+faststart", "movie_timescale": str(Fraction(video.time_base or 1).denominator)}
    with av.open(str(path), "w", container_options=options if path.suffix.lower() != ".mkv" else {}) as final:
        copy = final.add_stream_from_template(video, opaque=True)
        streams: list[Iterator[Packet]] = []
        zero = span.begin
        if source is not None:
            audio = AudioCopier(source, final)
            if info.start == 0:
                zero = min([zero, *audio.starts])
            streams.append(audio.packets(zero, *_audio_window(info, span)))
        streams.append(_retimed(pictures, copy, span.begin - zero, span.last_duration))
        for packet in heapq.merge(*streams, key=start):
            final.mux_one(packet)


def _audio_window(info: VideoInfo, span: Span) -> tuple[Fraction | float, Fraction | float]:
    """Where the copied audio begins and ends, in seconds on the clock of the source's timestamps."""
    begin = span.begin if info.start > 0 else -math.inf
    end: Fraction | float = math.inf
    if info.end < math.inf:
        end = span.source_begin + Fraction(info.end)
    # A run may also stop early, at the user's wish; the last frame then ends where the source has more.
    return begin, min(end, span.end) if has_video_after(info.audio_from, span.end) else end


def _retimed(pictures: InputContainer, copy: VideoStream, later: Fraction, last_duration: Fraction) -> Iterator[Packet]:
    """The packets of the growing video, for the final one."""
    held: Packet | None = None
    for packet in demuxed(pictures, pictures.streams.video[0]):
        if held is not None:
            yield held
        held = moved(packet, later, copy)
    if held is not None:
        held.duration = round(last_duration / time_base(held))  # Matroska does not store it
        yield held
