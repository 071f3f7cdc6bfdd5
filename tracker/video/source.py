"""The base class of all sources: their attributes, the selection of the frames to process, and closing."""

import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.structures.fit import Fit
from tracker.structures.types import Frame
from tracker.video.live_clock import LiveClock
from tracker.video.live_status import LiveStatus
from tracker.video.timestamps import to_microseconds

logger = logging.getLogger(__name__)


class CorruptFrame(Exception):
    """An error for a frame that cannot be decoded; the source skips and counts it."""


@dataclass(frozen=True, eq=False, slots=True)
class LazyFrame:
    """A `Frame` whose image is computed on request, so that skipped frames cost little."""

    index: int
    pts: int
    duration: Fraction  # display duration, seconds; 0 where the container does not state it
    to_rgb: Callable[[], NDArray[np.uint8]]  # returns the upright RGB image, uint8 (H, W, 3); may raise `CorruptFrame`
    sample_aspect_ratio: Fraction | None = None  # of this frame, if it may be of another size than the first
    unix_time: float | None = None  # see `Frame`


class Source(ABC):
    """Frames of a video in order of time: a context manager, and an iterable for a single pass.

    The frame at `config.start` is the first one, then comes every `config.every`-th, until `config.end`. Times
    are compared in whole microseconds. A source is used by one thread at a time. `open_source` has an example.

    Attributes:
        uri: The path, URL or camera that the user named, without a password.
        name: A short name that can be part of a file name.
        time_base: Unit of `Frame.pts`, seconds.
        width: Of the upright frames, pixels.
        height: Of the upright frames, pixels. Frames of other sizes are fitted into that of the first (`Frame.fit`).
        sample_aspect_ratio: Width of a pixel over its height, for the display of the upright frames; the frames
            themselves are not stretched.
        frame_rate: Average, frames per second.
        expected_frames: Estimated number of frames that will be yielded, 0 where it is unknown.
        live: True if frames arrive in real time, and are dropped where the consumer is slower.
        status: State, events and counts of a live source; None of others.
        clock: Gives the frames of a live source their times; None of others.
        stop_requested: Asked by a live source while it waits for a frame, in any thread; True ends the iteration.
        has_images: False if the frames' images are blank (black, or of no size where the size is unknown).
        media_path: The file on disk; None for cameras, URLs, pipes and images.
        media_opener: Opens the container once more, at its beginning, for its sound; its caller closes it. The times of
            its streams are those of `Frame.pts`, but for `clock_offsets`. None for cameras, live streams, images and
            stored detections, which have no sound that can be read. Raises an `InputError`.
        clock_offsets: Seconds that were added to the stated times after each restart of the source's clock (joined
            recordings), one number for each restart so far. Sound that restarts with it needs the same offset.
        last_duration: Display duration of the latest yielded frame, seconds. After the last frame it reaches to the
            end of the source (or to `config.end`), over frames that `config.every` skipped.
        corrupt_packets: Number of packets or images skipped so far because they cannot be decoded.
        end_reason: The reason for which the frames ended: complete, truncated, broke off or stalled; known after the
            last frame.
        files: The files on disk that are read; none of cameras, URLs and pipes.
        start_time: Date and time of the first frame: as the config says or, of a file, by the clock in its name or in
            its container; None where nothing tells it.
        opener: Opens the source anew, for `reopen`.
    """

    time_base: Fraction
    width: int
    height: int
    frame_rate: Fraction

    def __init__(self, uri: str, name: str, config: SourceConfig, quiet: bool = False) -> None:
        """Prepares a source; `quiet` is True for one that was read before, about which nothing is logged again."""
        self.uri = uri
        self.name = sanitize_filename(name)
        self.expected_frames = 0
        self.live = False
        self.status: LiveStatus | None = None
        self.clock: LiveClock | None = None
        self.stop_requested: Callable[[], bool] = lambda: False
        self.has_images = True
        self.sample_aspect_ratio = Fraction(1)
        self.media_path: Path | None = None
        self.files: Sequence[Path] = ()
        self.start_time = datetime.fromisoformat(config.start_time) if config.start_time else None
        self.last_duration = Fraction(0)
        self.corrupt_packets = 0
        self.end_reason = EndReason.COMPLETE
        self.opener: Callable[[], Source] = self._refuse_to_reopen
        self.clock_offsets: list[Fraction] = []
        self.media_opener: Callable[[], InputContainer] | None = None
        self._config = config
        self._quiet = quiet
        self._has_other_sizes = False
        self.select_frames(lambda _: True)
        self._first_pts = 0
        self._end_time: Fraction | None = None
        self._resources = ExitStack()
        self._frames = self._selected_frames()

    @property
    def truncated(self) -> bool:
        """True if the file stopped before its stated end; known after the last frame."""
        return self.end_reason is EndReason.TRUNCATED

    @abstractmethod
    def _lazy_frames(self) -> Generator[LazyFrame]:
        """Yields all frames in order, with strictly increasing `pts`; may set `_end_time` when it is exhausted."""

    def select_frames(self, is_selected: Callable[[int], bool], last_index: float = math.inf) -> None:
        """Restricts the frames that will be yielded, before the iteration begins; `config` may leave out more.

        Frames for whose index `is_selected` returns False, and those after `last_index`, are left out.
        """
        self._is_selected, self._last_index = is_selected, last_index

    @property
    def can_reopen(self) -> bool:
        """True if `reopen` can open the source anew; a live one, and an iterator of frames, can be read once."""
        return self.opener != self._refuse_to_reopen

    def reopen(self) -> "Source":
        """Opens the same source anew, at its beginning, with the same selection of frames.

        Raises:
            InputError: It cannot be read twice, or no longer.
        """
        source = self.opener()
        source.select_frames(self._is_selected, self._last_index)
        return source

    def keep_media(self, for_frames: bool = False) -> None:  # noqa: B027 - most sources have nothing to do
        """Lets a pipe keep what is read of it, so that `media_opener` can open it; to be called before the iteration.

        Files need no copy, and a pipe without sound none for its sound.

        Args:
            for_frames: `reopen` will be called too.
        """

    def close(self) -> None:
        """Releases the file, connection, camera and thread, and ends the iteration. Can be called several times."""
        self._frames.close()
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Returns the iterator over the frames.

        Raises:
            InputError: `config.start` is beyond the end, or no frame can be decoded.
        """
        return self._frames

    def _selected_frames(self) -> Generator[Frame]:
        start, end = to_microseconds(self._config.start), to_microseconds(self._config.end)
        next_index = 0  # least index of the next frame to yield
        yielded_time: Fraction | None = None  # of the latest yielded frame
        previous_time: Fraction | None = None  # of the previous frame, yielded or not
        with closing(self._lazy_frames()) as frames:
            for frame in frames:
                time = self._time(frame)
                if to_microseconds(time) >= end or frame.index > self._last_index:
                    self._end_time = time
                    break
                duration = frame.duration or (1 / self.frame_rate if previous_time is None else time - previous_time)
                previous_time = time
                is_due = frame.index >= next_index and to_microseconds(time) >= start
                image = self._image(frame) if is_due and self._is_selected(frame.index) else None
                if image is not None:
                    next_index = frame.index + self._config.every
                    yielded_time = time
                if yielded_time is not None:
                    self.last_duration = time + duration - yielded_time
                if image is not None:
                    yield self._frame(frame, time, image)
        if yielded_time is None:
            self._raise_no_frames(previous_time)
        elif self._end_time is not None and self._end_time > yielded_time:
            self.last_duration = self._end_time - yielded_time

    def _frame(self, frame: LazyFrame, time: Fraction, image: NDArray[np.uint8]) -> Frame:
        """Returns a frame; a picture of another size than the first one is fitted into it."""
        height, width = image.shape[:2]
        if (width, height) == (self.width, self.height):
            return Frame(frame.index, float(time), frame.pts, image, unix_time=frame.unix_time)
        if not self._has_other_sizes:
            self._has_other_sizes = True
            message = "%s: at %.3f s the size changes from %dx%d to %dx%d; frames are fitted into the first size, %s"
            sizes = self.width, self.height, width, height
            self._warn(message, self.uri, time, *sizes, "and the boxes in tables are in each frame's own pixels")
        aspect = (frame.sample_aspect_ratio or self.sample_aspect_ratio) / self.sample_aspect_ratio
        fit = Fit.into((self.width, self.height), width, height, aspect)
        fitted = fit.place(image, self.width, self.height)
        return Frame(frame.index, float(time), frame.pts, fitted, fit, unix_time=frame.unix_time)

    def _time(self, frame: LazyFrame) -> Fraction:
        """Returns the seconds from the source's first frame to a frame."""
        return (frame.pts - self._first_pts) * self.time_base

    def _refuse_to_reopen(self) -> "Source":
        raise InputError(f"{self.uri} can be read only once: give a file")

    def _image(self, frame: LazyFrame) -> NDArray[np.uint8] | None:
        try:
            return frame.to_rgb()
        except CorruptFrame as error:
            self._count_corrupt(error)
            return None

    def _count_corrupt(self, error: Exception) -> None:
        self.corrupt_packets += 1
        if self.corrupt_packets == 1:
            # Not the error's own text, which may hold the address with its password.
            self._warn("%s: corrupt data is skipped (%s)", self.uri, getattr(error, "strerror", None) or error)

    def _warn(self, message: str, *arguments: object) -> None:
        if not self._quiet:
            logger.warning(message, *arguments)

    def _tell_hdr(self, kind: str) -> None:
        self._warn("%s: it is HDR (%s), and is converted to the colors of standard video", self.uri, kind)

    def _tell_interlaced(self) -> None:
        self._warn("%s: it is interlaced, and is deinterlaced", self.uri)

    def _raise_no_frames(self, last_time: Fraction | None) -> None:
        if self.live:
            return
        if self._end_time is not None:
            raise InputError(f"{self.uri} has no frame from {self._config.start:g} s to {self._config.end:g} s")
        if last_time is not None and last_time < self._config.start:
            raise start_error(self.uri, self._config.start, last_time)
        raise InputError(f"no frame of {self.uri} can be decoded: give another file")

    def _estimate_frames(self, frame_count: int, duration: Fraction) -> int:
        """Returns about how many of `frame_count` frames, of `duration` seconds in all, will be yielded."""
        if duration <= 0 or frame_count <= 0:
            return 0
        per_microsecond = frame_count / (duration * 10**6)
        first = math.ceil(to_microseconds(self._config.start) * per_microsecond)
        stop = min(to_microseconds(self._config.end) * float(per_microsecond), frame_count)
        return max(0, math.ceil((math.ceil(stop) - first) / self._config.every))


def sanitize_filename(name: str) -> str:
    """Replaces what cannot be part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"


def check_time_range(config: SourceConfig) -> None:
    """Checks that `config.end` is after `config.start`.

    Example:
        >>> check_time_range(SourceConfig(start=2, end=1))
        Traceback (most recent call last):
        tracker.errors.InputError: the end, 1 s, is not after the start, 2 s: change one of them

    Raises:
        InputError: It is not.
    """
    if config.end <= config.start:
        raise InputError(f"the end, {config.end:g} s, is not after the start, {config.start:g} s: change one of them")


def start_error(uri: str, start: float, end: Fraction) -> InputError:
    """Returns the error for a start after the end of a source, both in seconds."""
    return InputError(f"the start, {start:g} s, is beyond the end of {uri} at {float(end):.3f} s: start earlier")
