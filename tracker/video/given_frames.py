"""A source of the pictures that a program gives: from its own loop, decoder or camera."""

from collections.abc import Generator, Iterable, Sized
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.data.image_input import Picture, to_image
from tracker.data.time_input import Seconds, TimeCheck
from tracker.errors import InputError
from tracker.structures.types import Frame
from tracker.video.source import LazyFrame, Source

GivenFrame = Picture | tuple[Seconds, Picture] | Frame
"""A picture, a picture with its time in seconds before it, or a `Frame` of another source."""


class GivenFrames(Source):
    """Yields the pictures of an iterable, copied, so that a loop may use one buffer for all of them.

    Pictures without times are shown at `config.fps`. Times may begin anywhere, and are kept as they are: `config.start`
    and `config.end` are such times too.

    Args:
        frames: The pictures, see `to_image`, or pairs of (seconds, picture).
        config: The part to read, and the frame rate.
        quiet: True for frames that were read before: nothing is logged again.

    Raises:
        InputError: There is no picture, or it cannot be used.

    Example:
        >>> black = np.zeros((48, 64, 3), np.uint8)
        >>> [(frame.index, frame.time) for frame in GivenFrames([(3.2, black), (3.7, black)], SourceConfig())]
        [(0, 3.2), (1, 3.7)]
    """

    def __init__(self, frames: Iterable[GivenFrame], config: SourceConfig, quiet: bool = False) -> None:
        super().__init__("the frames", "frames", config, quiet)
        _check_iterable(frames)
        iterator = iter(frames)
        if iter(frames) is not iterator:
            self.opener = partial(GivenFrames, frames, config, True)
        try:
            first = next(iterator)
        except StopIteration:
            raise InputError("there are no frames: give at least one picture") from None
        self._items = chain([first], iterator)
        self._check_time = TimeCheck()
        self._has_times = _split(first, 0)[0] is not None
        self.height, self.width, _ = to_image(_split(first, 0)[1], "frame 0").shape
        self.frame_rate = Fraction(config.fps).limit_denominator(1001000)
        self.time_base = Fraction(1, 10**6)
        self._latest_time = Fraction(0)
        if isinstance(frames, Sized):
            self.expected_frames = self._estimate_frames(len(frames), len(frames) / self.frame_rate)

    def _lazy_frames(self) -> Generator[LazyFrame]:
        pts = -(2**63)
        for index, item in enumerate(self._items):
            time, picture = _split(item, index)
            if (time is not None) != self._has_times:
                raise InputError(f"frame {index} has {'no' if self._has_times else 'a'} time: give all times or none")
            if time is None:
                self._latest_time = index / self.frame_rate
            else:
                self._latest_time = Fraction(self._check_time(time))
            pts = max(pts + 1, round(self._latest_time / self.time_base))
            yield LazyFrame(index, pts, Fraction(0), partial(_copy, picture, f"frame {index}"))

    def _time(self, frame: LazyFrame) -> Fraction:
        return self._latest_time


def _check_iterable(frames: object) -> None:
    if isinstance(frames, np.ndarray) and frames.ndim < 4:
        raise InputError(f"the source is one array of shape {frames.shape}: give its frames as a list of pictures")
    if not isinstance(frames, Iterable):
        raise InputError(
            f"the source must be a file, a folder, an address, a camera's number or frames, not {type(frames).__name__}"
        )


def _split(item: Any, index: int) -> tuple[Any, Picture]:
    """Returns the time, None without one, and the picture of an item."""
    if isinstance(item, Frame):
        return item.time, item.image
    if not isinstance(item, tuple):
        return None, item
    if len(item) != 2:
        raise InputError(f"frame {index} is a tuple of {len(item)}: give (seconds, picture)")
    return item[0], item[1]


def _copy(picture: Picture, name: str) -> NDArray[np.uint8]:
    return to_image(picture, name).copy()
