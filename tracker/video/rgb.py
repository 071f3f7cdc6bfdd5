"""Conversion of decoded frames to upright RGB arrays."""

from typing import Any, cast

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


class RGBConverter:
    """Converts decoded frames to RGB by their color matrix and range, and applies their rotation.

    The conversion is swscale's; frames that do not state their matrix are taken as BT.601, as FFmpeg does. Pixels
    are not stretched where they are not square. All images get the size of the first one.

    Args:
        threads: Threads for the conversion, 0 for all cores; the pixels do not depend on it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._orientations: dict[int, tuple[bool, bool, bool]] = {}

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Returns the frame as uint8 (H, W, 3), RGB, upright, C-contiguous."""
        transpose, hflip, vflip = self._orientation(frame)
        if self._size is None:
            self._size = (frame.height, frame.width) if transpose else (frame.width, frame.height)
        width, height = self._size[::-1] if transpose else self._size
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=self._threads).to_ndarray()
        if transpose:
            rgb = rgb.transpose(1, 0, 2)
        return np.ascontiguousarray(rgb[:: -1 if vflip else 1, :: -1 if hflip else 1], np.uint8)

    def _orientation(self, frame: VideoFrame) -> tuple[bool, bool, bool]:
        # A frame whose side data was read is part of a reference cycle, which holds its memory until Python's next
        # garbage collection, hundreds of frames later. So side data is read once for each rotation only.
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = _orientation(frame)
        return self._orientations[frame.rotation]


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Returns the operations that make a frame upright, in this order: transpose, horizontal flip, vertical flip.

    The display matrix sends the pixel (x, y) to (a x + c y, b x + d y) up to a shift, where
    [a b u, c d v, ...] are its int32 values; only quarter turns and flips are supported.
    Source: ISO/IEC 14496-12, 6.2.2.
    """
    data = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
