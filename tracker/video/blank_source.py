"""A source of frames whose times are known and whose images are not."""

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.video.source import LazyFrame, Source, check_time_range


def blank_image(width: int, height: int) -> NDArray[np.uint8]:
    """Returns a black, read-only image, uint8 (height, width, 3), whose pixels share one byte of memory.

    Example:
        >>> blank_image(1920, 1080).shape
        (1080, 1920, 3)
    """
    return np.broadcast_to(np.uint8(0), (height, width, 3))


class BlankSource(Source):
    """Yields frames at given times, with `blank_image` as their image.

    Args:
        frame_times: Yields the index and the time, in seconds, of each frame; both ascend.
        frame_count: Number of frames.
        duration: Seconds from the first frame to the end of the last one.
        size: Width and height of the images, pixels; 0 and 0 where they are unknown.
        frame_rate: Frames per second.

    Raises:
        InputError: `config.end` is not after `config.start`.

    Example:
        >>> times = lambda: iter([(0, 0.0), (1, 0.04)])
        >>> source = BlankSource("a.csv", "a", SourceConfig(), times, 2, 0.08, (64, 48), Fraction(25))
        >>> [(frame.time, frame.image.shape) for frame in source]
        [(0.0, (48, 64, 3)), (0.04, (48, 64, 3))]
    """

    def __init__(
        self,
        uri: str,
        name: str,
        config: SourceConfig,
        frame_times: Callable[[], Iterator[tuple[int, float]]],
        frame_count: int,
        duration: float,
        size: tuple[int, int],
        frame_rate: Fraction,
    ) -> None:
        super().__init__(uri, name, config)
        check_time_range(config)
        self.has_images = False
        self.time_base = Fraction(1, 10**6)
        self.width, self.height = size
        self.frame_rate = frame_rate
        self.expected_frames = self._estimate_frames(frame_count, Fraction(duration))
        self.opener = partial(BlankSource, uri, name, config, frame_times, frame_count, duration, size, frame_rate)
        self._frame_times = frame_times
        self._exact_time = Fraction(0)

    def _lazy_frames(self) -> Generator[LazyFrame]:
        image = blank_image(self.width, self.height)
        pts = -1
        for index, time in self._frame_times():
            self._exact_time = Fraction(time)
            pts = max(round(time * 10**6), pts + 1)
            yield LazyFrame(index, pts, Fraction(0), lambda: image)

    def _time(self, frame: LazyFrame) -> Fraction:
        # Not from the pts, which are rounded: tracks depend on the last bit of a time.
        return self._exact_time
