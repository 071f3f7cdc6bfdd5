"""What all sources share: their description, the choice of the frames to process, and closing."""

import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.types import Frame
from tracker.video.timestamps import in_microseconds

logger = logging.getLogger(__name__)


class CorruptFrame(Exception):
    """A picture that cannot be decoded; the source skips and counts it."""


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A frame that is not yet converted to RGB, so that skipped frames cost little.

    Attributes:
        index: As in `Frame`.
        pts: As in `Frame`.
        duration: Seconds that it is shown, 0 where the container does not say.
        pixels: Makes the upright RGB image, uint8 (H, W, 3); may raise `CorruptFrame`.
    """

    index: int
    pts: int
    duration: Fraction
    pixels: Callable[[], NDArray[np.uint8]]


class Source(ABC):
    """Frames of a video in order of time: a context manager, and an iterable for a single pass.

    The frame at `config.start` is the first one, then comes every `config.every`-th, until `config.end`. Moments
    are compared in whole microseconds. A source is used by one thread at a time.

    Attributes:
        spec: What the user named, without a password.
        name: A short name that can be part of a file name.
        time_base: Unit of `Frame.pts`, seconds.
        width: Of the upright frames, pixels.
        height: Of the upright frames, pixels.
        frame_rate: Average, frames per second.
        expected_frames: About how many frames will be yielded, 0 where that is unknown.
        live: Whether frames come as they happen, and are dropped where the consumer is slower.
        has_pictures: Whether the frames' images show anything; without, they are black, or of no size where that is
            unknown.
        media_path: The file on disk, from which audio can be copied; None for cameras, addresses and pictures.
        last_duration: Seconds that the latest yielded frame is shown. After the last frame it reaches to the end of
            the source (or to `config.end`), over frames that `config.every` skipped.
        damaged: Packets or pictures skipped so far because they cannot be decoded.
        truncated: Whether the file stopped before its stated end; known after the last frame.
        reopen: What `again` opens it with.
    """

    spec: str
    name: str
    time_base: Fraction
    width: int
    height: int
    frame_rate: Fraction
    expected_frames: int
    live: bool
    has_pictures: bool
    media_path: Path | None
    last_duration: Fraction
    corrupt_packets: int
    truncated: bool
    reopen: Callable[[], "Source"]

    def __init__(self, spec: str, name: str, config: SourceConfig) -> None:
        self.spec = spec
        self.name = plain_name(name)
        self.expected_frames = 0
        self.live = False
        self.has_pictures = True
        self.media_path = None
        self.last_duration = Fraction(0)
        self.corrupt_packets = 0
        self.truncated = False
        self.reopen = self._cannot_reopen
        self._config = config
        self.select_frames(lambda _: True)
        self._first_pts = 0
        self._end: Fraction | None = None
        self._resources = ExitStack()
        self._frames = self._select()

    @abstractmethod
    def _pictures(self) -> Generator[Picture]:
        """All pictures of the source in order, `pts` strictly increasing; may set `_end` when it is exhausted."""

    def select_frames(self, wanted: Callable[[int], bool], last: float = math.inf) -> None:
        """Leaves out frames before the iteration begins; `config` may leave out more.

        Args:
            wanted: Whether the frame of an index is to be yielded.
            last: No frame after this index is.
        """
        self._wanted, self._last_index = wanted, last

    def again(self) -> "Source":
        """The same source opened anew, at its beginning, and restricted in the same way.

        Raises:
            InputError: It cannot be read twice, or no longer.
        """
        source = self.reopen()
        source.select_frames(self._wanted, self._last_index)
        return source

    def close(self) -> None:
        """Releases the file, connection, camera and thread. Iteration is over then. Can be called again."""
        self._frames.close()
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """The frames.

        Raises:
            InputError: `config.start` is beyond the end, no picture can be read, or pictures differ in size.
        """
        return self._frames

    def _select(self) -> Generator[Frame]:
        start, end = in_microseconds(self._config.start), in_microseconds(self._config.end)
        due = 0  # least index of the next frame to yield
        shown: Fraction | None = None  # when the latest yielded frame began
        before: Fraction | None = None  # when the picture before began, yielded or not
        with closing(self._pictures()) as pictures:
            for picture in pictures:
                time = self._time(picture)
                if in_microseconds(time) >= end or picture.index > self._last_index:
                    self._end = time
                    break
                duration = picture.duration or (1 / self.frame_rate if before is None else time - before)
                before = time
                chosen = picture.index >= due and in_microseconds(time) >= start and self._wanted(picture.index)
                image = self._image(picture) if chosen else None
                if image is not None:
                    due = picture.index + self._config.every
                    shown = time
                if shown is not None:
                    self.last_duration = time + duration - shown
                if image is not None:
                    yield Frame(picture.index, float(time), picture.pts, image)
        if shown is None:
            self._explain_nothing(before)
        elif self._end is not None and self._end > shown:
            self.last_duration = self._end - shown

    def _time(self, picture: Picture) -> Fraction:
        """Seconds from the source's first frame to a picture."""
        return (picture.pts - self._first_pts) * self.time_base

    def _cannot_reopen(self) -> "Source":
        raise InputError(f"{self.spec} can be read only once: give a file")

    def _image(self, picture: Picture) -> NDArray[np.uint8] | None:
        try:
            return picture.pixels()
        except CorruptFrame as error:
            self._count_damage(error)
            return None

    def _count_damage(self, error: Exception) -> None:
        self.corrupt_packets += 1
        if self.corrupt_packets == 1:
            logger.warning("%s: damaged data is skipped (%s)", self.spec, error)

    def _explain_nothing(self, last: Fraction | None) -> None:
        if self.live:
            return
        if self._end is not None:
            raise InputError(f"{self.spec} has no frame from {self._config.start:g} s to {self._config.end:g} s")
        if last is not None and last < self._config.start:
            raise beyond_end(self.spec, self._config.start, last)
        raise InputError(f"no picture of {self.spec} can be decoded: give another file")

    def _estimate(self, frames: int, duration: Fraction) -> int:
        """About how many of `frames` that last `duration` seconds in all will be yielded."""
        if duration <= 0 or frames <= 0:
            return 0
        per_microsecond = frames / (duration * 10**6)
        begin = math.ceil(in_microseconds(self._config.start) * per_microsecond)
        stop = min(in_microseconds(self._config.end) * float(per_microsecond), frames)
        return max(0, math.ceil((math.ceil(stop) - begin) / self._config.every))


def plain_name(name: str) -> str:
    """A name that can be part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"


def check_span(config: SourceConfig) -> None:
    """Makes sure that `config.end` is after `config.start`.

    Raises:
        InputError: It is not.
    """
    if config.end <= config.start:
        raise InputError(f"the end, {config.end:g} s, is not after the start, {config.start:g} s: change one of them")


def beyond_end(spec: str, start: float, last: Fraction) -> InputError:
    """The error for a start after the `last` moment of a source, both in seconds."""
    return InputError(f"the start, {start:g} s, is beyond the end of {spec} at {float(last):.3f} s: start earlier")
