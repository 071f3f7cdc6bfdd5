"""Encoded packets and their times, as exact fractions of a second."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.container import InputContainer
from av.stream import Stream

from tracker.structures.rational import to_fraction

# Quoted, because the class takes a parameter in its stub only.
Packet: TypeAlias = "av.Packet[Any]"


def demux_timed(container: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """Yields the packets of some streams, in the file's order; all have a pts. A corrupt file raises an FFmpegError."""
    for packet in container.demux(*streams):
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.pts is not None:  # packets that mark the end of a stream have no time
            yield packet


def time_base(packet: Packet) -> Fraction:
    """Returns the unit of the packet's times, seconds."""
    assert packet.time_base is not None
    return to_fraction(packet.time_base)


def start_time(packet: Packet) -> Fraction:
    """Returns the presentation time of a packet of `demux_timed`, seconds."""
    assert packet.pts is not None
    return packet.pts * time_base(packet)


def shift(packet: Packet, offset: Fraction, stream: Stream) -> Packet:
    """Delays a packet by `offset` seconds, rounded to its time base, assigns it to a stream, and returns it.

    For streams that are decoded in the order of presentation: dts becomes pts.
    """
    assert packet.pts is not None
    packet.pts = packet.dts = packet.pts + round(offset / time_base(packet))
    packet.stream = stream
    return packet
