"""From a decoded picture to an upright RGB array."""

from typing import Any, cast

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


class RGBConverter:
    """Converts decoded pictures to RGB as their colour matrix and range say, and turns them upright.

    The conversion is swscale's; pictures that do not say their matrix are taken as BT.601, as FFmpeg does. Pixels
    are not stretched where they are not square. All images get the size of the first one.

    Args:
        threads: Threads for the conversion, 0 for all cores; the pixels do not depend on it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._orientations: dict[int, tuple[bool, bool, bool]] = {}

    def __call__(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), RGB, upright, C-contiguous."""
        turned, mirrored_x, mirrored_y = self._orientation(picture)
        if self._size is None:
            self._size = (picture.height, picture.width) if turned else (picture.width, picture.height)
        width, height = self._size[::-1] if turned else self._size
        rgb = self._reformatter.reformat(picture, width, height, "rgb24", threads=self._threads).to_ndarray()
        if turned:
            rgb = rgb.transpose(1, 0, 2)
        return np.ascontiguousarray(rgb[:: -1 if mirrored_y else 1, :: -1 if mirrored_x else 1], np.uint8)

    def _orientation(self, picture: VideoFrame) -> tuple[bool, bool, bool]:
        # Looking at a frame's side data ties it and them together in a circle, and the frame's memory is then held
        # until Python's next garbage collection, hundreds of frames later. So only the first frame of each rotation is.
        if picture.rotation not in self._orientations:
            self._orientations[picture.rotation] = _orientation(picture)
        return self._orientations[picture.rotation]


def _orientation(picture: VideoFrame) -> tuple[bool, bool, bool]:
    """How to make a picture upright: exchange rows and columns, then mirror left-right, then top-bottom.

    The display matrix sends the pixel (x, y) to (a x + c y, b x + d y) up to a shift, where
    [a b u, c d v, ...] are its int32 values; only quarter turns and mirrors are told apart.
    Source: ISO/IEC 14496-12, 6.2.2.
    """
    data = cast(Any, picture.side_data).get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
