"""Long videos, made of a short one without encoding it again."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av import Packet
from av.video.stream import VideoStream

from tracker.errors import InputError


def write_loop(clip: str, seconds: float, path: Path) -> float:
    """Writes a clip's pictures again and again, each time after the last of the time before, without its sound.

    Args:
        clip: A video file.
        seconds: How long the result is at least; it holds whole rounds.
        path: Of the result; its suffix tells the container.

    Returns:
        How long it is, seconds.

    Raises:
        InputError: The clip cannot be read, or the result cannot be written.
    """
    try:
        with av.open(clip) as source, av.open(str(path), "w") as target:
            video = source.streams.best("video")
            if not isinstance(video, VideoStream) or video.time_base is None:
                raise InputError(f"{clip} has no video in it: give a file that has")
            stream = target.add_stream_from_template(video)
            stream.time_base = video.time_base
            round_packets = [packet for packet in source.demux(video) if packet.size]
            length = _length(round_packets)
            rounds = max(1, -int(-seconds // float(length * video.time_base)))
            for number in range(rounds):
                for packet in round_packets:
                    target.mux_one(_later(packet, number * length, stream, video.time_base))
            return float(rounds * length * video.time_base)
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"cannot loop {clip}: {error}") from None


def _length(packets: list["Packet[VideoStream]"]) -> int:
    """From the first picture to the end of the last, in units of the time base."""
    shown = sorted(packet.pts for packet in packets if packet.pts is not None)
    step = min((b - a for a, b in pairwise(shown)), default=1)
    return shown[-1] - shown[0] + step


def _later(packet: "Packet[VideoStream]", offset: int, stream: VideoStream, time_base: Fraction) -> "Packet[Any]":
    """A copy of a packet for another stream."""
    copy = Packet(bytes(packet))
    copy.stream = stream
    copy.time_base = time_base
    copy.pts = None if packet.pts is None else packet.pts + offset
    copy.dts = None if packet.dts is None else packet.dts + offset
    copy.duration = packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy
