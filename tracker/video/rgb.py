"""Conversion of decoded frames to upright RGB arrays."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tracker.structures.rational import Rational, to_fraction
from tracker.video.tone_mapping import ToneMapper, hdr_name

Orientation = tuple[bool, bool, bool]  # transpose, horizontal flip, vertical flip, in this order

_SIDE_DATA_TYPES = 64
"""More than FFmpeg has."""


class RGBConverter:
    """Converts decoded frames to RGB by their color matrix, range and transfer, and applies their rotation.

    The conversion is swscale's; frames that do not state their matrix are taken as BT.601, as FFmpeg does. HDR frames
    are tone-mapped. Pixels are not stretched where they are not square.

    Args:
        threads: Threads for the conversion, 0 for all cores; the pixels do not depend on it.
        on_hdr: Called with the kind of HDR, "HLG" or "PQ", before the first such frame is converted.
    """

    def __init__(self, threads: int, on_hdr: Callable[[str], None] = lambda kind: None) -> None:
        self._threads = threads
        self._on_hdr = on_hdr
        self._reformatter = VideoReformatter()
        self._orientations: dict[int, Orientation] = {}
        self._tone_mappers: dict[int, ToneMapper] = {}

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Returns the frame as uint8 (H, W, 3), RGB, upright, C-contiguous."""
        transpose, hflip, vflip = self._orientation(frame)
        rgb: NDArray[Any]
        if hdr_name(frame.color_trc):
            rgb = self._tone_mapper(frame.color_trc)(frame)
        else:
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=self._threads).to_ndarray()
        if transpose:
            rgb = rgb.transpose(1, 0, 2)
        return np.ascontiguousarray(rgb[:: -1 if vflip else 1, :: -1 if hflip else 1], np.uint8)

    def close(self) -> None:
        """Ends swscale's threads now: freed later, in a process that was forked meanwhile, they would be waited for."""
        self._reformatter = VideoReformatter()
        self._tone_mappers = {}

    def upright_aspect(self, frame: VideoFrame, stated: Rational | None) -> Fraction:
        """Returns the sample aspect ratio of an upright frame from that of the stored one, 1 where it is not stated."""
        aspect = to_fraction(stated or 1)
        return 1 / aspect if self._orientation(frame)[0] else aspect

    def _tone_mapper(self, transfer: int) -> ToneMapper:
        if transfer not in self._tone_mappers:
            self._on_hdr(hdr_name(transfer))
            self._tone_mappers[transfer] = ToneMapper(transfer, self._threads)
        return self._tone_mappers[transfer]

    def _orientation(self, frame: VideoFrame) -> Orientation:
        # A frame whose side data was read is part of a reference cycle, which holds its memory until Python's next
        # garbage collection, hundreds of frames later. So side data is read once for each rotation only.
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = _orientation(frame)
        return self._orientations[frame.rotation]


def _orientation(frame: VideoFrame) -> Orientation:
    """Returns the operations that make a frame upright.

    The display matrix sends the pixel (x, y) to (a x + c y, b x + d y) up to a shift, where
    [a b u, c d v, ...] are its int32 values; only quarter turns and flips are supported. It is the container's, or
    follows from the EXIF orientation of a JPEG.
    Source: ISO/IEC 14496-12, 6.2.2.
    """
    data = cast(Any, _with_display_matrix_only(frame).side_data).get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _with_display_matrix_only(frame: VideoFrame) -> VideoFrame:
    """Returns the frame without its other side data, of which PyAV reads all or, if one type is unknown to it, none."""
    graph = Graph()
    graph.threads = 1  # others would be waited for in a process that was forked meanwhile, as PyAV 19 frees graphs late
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))]
    others = (number for number in range(_SIDE_DATA_TYPES) if number != int(cast(Any, Type.DISPLAYMATRIX).value))
    nodes += [graph.add("sidedata", mode="delete", type=str(number)) for number in others]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()
