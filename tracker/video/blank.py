"""Frames whose times are known and whose pictures are not there."""

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.video.source import Picture, Source, check_span


def blank_image(width: int, height: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), black and read-only: all pixels are one and the same byte of memory."""
    return np.broadcast_to(np.uint8(0), (height, width, 3))


class BlankSource(Source):
    """Yields frames at given moments, with `blank_image` as their picture.

    Args:
        moments: Gives the index and the time, in seconds, of each frame; both ascend.
        count: How many.
        duration: Seconds from the first one to the end of the last one.
        size: Width and height of the pictures, pixels; 0 and 0 where that is unknown.
        frame_rate: Frames per second.

    Raises:
        InputError: `config.end` is not after `config.start`.
    """

    def __init__(
        self,
        spec: str,
        name: str,
        config: SourceConfig,
        moments: Callable[[], Iterator[tuple[int, float]]],
        count: int,
        duration: float,
        size: tuple[int, int],
        frame_rate: Fraction,
    ) -> None:
        super().__init__(spec, name, config)
        check_span(config)
        self.has_pictures = False
        self.time_base = Fraction(1, 10**6)
        self.width, self.height = size
        self.frame_rate = frame_rate
        self.expected_frames = self._estimate(count, Fraction(duration))
        self.reopen = partial(BlankSource, spec, name, config, moments, count, duration, size, frame_rate)
        self._moments = moments
        self._exact = Fraction(0)

    def _pictures(self) -> Generator[Picture]:
        image = blank_image(self.width, self.height)
        pts = -1
        for index, time in self._moments():
            self._exact = Fraction(time)
            pts = max(round(time * 10**6), pts + 1)
            yield Picture(index, pts, Fraction(0), lambda: image)

    def _time(self, picture: Picture) -> Fraction:
        # Not from the pts, which are rounded: tracks depend on the last bit of a time.
        return self._exact
