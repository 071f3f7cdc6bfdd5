"""Makes long videos by repeating a short one, without encoding it again."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av import Packet
from av.video.stream import VideoStream

from tracker.errors import InputError
from tracker.structures.rational import to_fraction


def write_loop(clip: str, seconds: float, path: Path) -> float:
    """Repeats the packets of a clip, each time after the end of the time before, without its sound.

    Args:
        clip: A video file.
        seconds: Least length of the result, which is a multiple of the clip's.
        path: File of the result; its suffix is that of the container.

    Returns:
        Length of the result, seconds.

    Raises:
        InputError: The clip cannot be read, or the result cannot be written.
    """
    try:
        with av.open(clip) as source, av.open(str(path), "w") as target:
            video = source.streams.best("video")
            if not isinstance(video, VideoStream) or video.time_base is None:
                raise InputError(f"{clip} has no video stream: give another file")
            stream = target.add_stream_from_template(video)
            stream.time_base = video.time_base
            packets = [packet for packet in source.demux(video) if packet.size]
            length = _length(packets)
            repetitions = max(1, -int(-seconds // float(length * video.time_base)))
            for repetition in range(repetitions):
                for packet in packets:
                    target.mux_one(_shifted_copy(packet, repetition * length, stream, to_fraction(video.time_base)))
            return float(repetitions * length * video.time_base)
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"cannot loop {clip}: {error}") from None


def _length(packets: list["Packet[VideoStream]"]) -> int:
    """Returns the length from the first frame to the end of the last one, in units of the time base."""
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    step = min((b - a for a, b in pairwise(times)), default=1)
    return times[-1] - times[0] + step


def _shifted_copy(
    packet: "Packet[VideoStream]", offset: int, stream: VideoStream, time_base: Fraction
) -> "Packet[Any]":
    """Copies a packet to another stream, later by an offset."""
    copy = Packet(bytes(packet))
    copy.stream = stream
    copy.time_base = time_base
    copy.pts = None if packet.pts is None else packet.pts + offset
    copy.dts = None if packet.dts is None else packet.dts + offset
    copy.duration = packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy
