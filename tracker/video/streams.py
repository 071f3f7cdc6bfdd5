"""Choice of the video stream of a container, and what is known of it before it is decoded."""

from collections.abc import Callable
from fractions import Fraction

from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from tracker.errors import InputError
from tracker.structures.rational import to_fraction

MAX_PIXELS = 2**27
"""Most pixels of an image, 16384 x 8192: what a damaged header states must not take all of the memory."""

_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS: a bare stream of frames, whose times FFmpeg counts at 25 frames a second
_HIGHEST_RATE = 1000
_TEXT_FORMAT = "tty"  # FFmpeg renders text files as images of a terminal


def select_video_stream(
    container: InputContainer, uri: str, number: int | None, warn: Callable[..., None]
) -> VideoStream:
    """Returns the video stream to process, set to decode on one thread.

    One thread, because FFmpeg's frame and slice threads conceal errors differently with every number of threads
    and even from run to run; the caller decodes in parallel with its other work instead.

    Args:
        container: The opened file.
        uri: Its name, for messages.
        number: Number of the stream in the container, from 0. None for the one that the container marks as its
            default; of several or none, the one that FFmpeg prefers. An album's cover is no video.
        warn: Called, as a logger, about streams that are not read.

    Raises:
        InputError: There is no video, no decoder for it, its images are too large, or stream `number` is none.
    """
    videos = [] if container.format.name == _TEXT_FORMAT else _videos(container)
    if not videos:
        raise InputError(f"{uri} has no video in it: give a file that has")
    readable = [stream for stream in videos if stream.codec_context is not None]
    if number is None:
        stream = _default_stream(container, readable, uri)
        for other in videos:
            if other not in readable:
                warn("%s: stream %d (video) is left out, as no decoder is known for it", uri, other.index)
        if len(readable) > 1:
            others = ", ".join(_describe(other) for other in readable if other is not stream)
            warn("%s: of several videos, %s is read; --stream N reads %s", uri, _describe(stream), others)
    else:
        stream = _numbered_stream(readable, uri, number)
    _check_size(stream, uri)
    stream.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _check_size(stream: VideoStream, uri: str) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise InputError(f"{uri} states {width}x{height} pixels, more than can be processed: make it smaller")


def average_rate(stream: VideoStream) -> Fraction:
    """Returns the frames per second that the container states, 30 where it states none."""
    average, guessed = stream.average_rate, stream.guessed_rate
    if average and guessed and average > _HIGHEST_RATE >= guessed:  # of DV, FFmpeg takes the clock for the frame rate
        average = guessed
    return to_fraction(average or guessed or 30)


def has_timestamps(container: InputContainer) -> bool:
    """Returns False for bare streams (.h264, .hevc, .m2v, .mjpeg ...), which have no container."""
    return not int(container.format.flags) & _NO_TIMESTAMPS


def _videos(container: InputContainer) -> list[VideoStream]:
    streams = [stream for stream in container.streams if isinstance(stream, VideoStream)]
    return [stream for stream in streams if not _has_disposition(stream, Disposition.attached_pic)]


def _has_disposition(stream: Stream, disposition: Disposition) -> bool:
    try:
        return bool(stream.disposition & disposition)
    except ValueError:  # one of its other dispositions is newer than PyAV
        return False


def _default_stream(container: InputContainer, readable: list[VideoStream], uri: str) -> VideoStream:
    if not readable:
        raise InputError(f"no decoder is known for the video of {uri}: convert it to H.264 first")
    defaults = [stream for stream in readable if _has_disposition(stream, Disposition.default)] or readable
    best = container.streams.best("video")
    return next((stream for stream in defaults if best is not None and stream.index == best.index), defaults[0])


def _numbered_stream(readable: list[VideoStream], uri: str, number: int) -> VideoStream:
    for stream in readable:
        if stream.index == number:
            return stream
    known = ", ".join(_describe(stream) for stream in readable) or "none can be decoded"
    raise InputError(f"{uri} has no video stream {number} that can be read: its videos are {known}")


def _describe(stream: VideoStream) -> str:
    context = stream.codec_context
    return f"stream {stream.index} ({context.name}, {context.width}x{context.height})"


def stated_rate(stream: VideoStream) -> Fraction | None:
    """Returns the frames per second that the stream itself states, without its container; None where it does not."""
    rate = stream.codec_context.framerate
    return to_fraction(rate) if rate else None


def codec_name(stream: VideoStream) -> str:
    """Returns the name of the stream's codec, such as h264."""
    return str(stream.codec_context.codec.canonical_name)
