"""Encoded packets and their times, as exact fractions of a second."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.container import InputContainer
from av.stream import Stream

# Quoted, because the class takes a parameter in its stub only.
Packet: TypeAlias = "av.Packet[Any]"


def demuxed(source: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """The packets of some streams, in the file's order; all have a pts.

    Raises:
        FFmpegError: The file is damaged.
    """
    for packet in source.demux(*streams):
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.pts is not None:  # without a time come the marks of the streams' ends
            yield packet


def time_base(packet: Packet) -> Fraction:
    """Seconds in a unit of the packet's times."""
    assert packet.time_base is not None
    return packet.time_base


def start(packet: Packet) -> Fraction:
    """When a packet of `demuxed` is presented, in seconds."""
    assert packet.pts is not None
    return packet.pts * time_base(packet)


def moved(packet: Packet, later: Fraction, target: Stream) -> Packet:
    """The packet itself, now of another stream and later by some seconds, rounded to its time base.

    For streams that are decoded in the order of presentation: dts becomes pts.
    """
    assert packet.pts is not None
    packet.pts = packet.dts = packet.pts + round(later / time_base(packet))
    packet.stream = target
    return packet
