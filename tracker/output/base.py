"""The base class of all result writers, the description of the source that they need, and their errors."""

import errno
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from tracker.errors import InputError
from tracker.structures import boxes
from tracker.structures.fit import Fit
from tracker.structures.types import Frame, Tracks

_SPACE = "free some space or write to another disk, and run again"


@dataclass(frozen=True)
class AudioSource:
    """The sound of a source, which a video gets too.

    Attributes:
        uri: The name of the source in messages, without a password.
        open: Opens the source's container at its beginning; the caller closes it. It may raise an InputError.
        clock_offsets: Seconds to add to the container's times after each restart of the source's clock, in order. They
            are read when the video is closed, so that the list may grow until then.
    """

    uri: str
    open: Callable[[], InputContainer]
    clock_offsets: Sequence[Fraction] = ()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Returns the sound of a media file."""
        return cls(str(path), partial(av.open, f"file:{path}", "r"))


@dataclass(frozen=True)
class VideoInfo:
    """Properties of the source and of its tracks that a writer needs.

    Attributes:
        name: Name of the source (see `source_name`), in tables of tracks too; COCO file names begin with it.
        width: Of the upright image, pixels; 0 where it is unknown.
        height: As `width`.
        time_base: Seconds in one unit of `Frame.pts`.
        frame_rate: Average frames per second; timestamps do not depend on it.
        audio: The sound that a video gets; None for none.
        start: Time of the first frame to process, seconds since the source's first frame.
        end: Time to stop at, seconds since the source's first frame; inf for the whole source.
        has_fine_classes: True if the tracks have fine classes, for which tables have columns.
        has_embeddings: True if the tracks have embeddings, for which .parquet files have a column.
        clip: True if tables state the part of each box inside the image; False leaves boxes that reach out as they are.
        max_age: Seconds after which a track that is not reported cannot come back.
        sample_aspect_ratio: Width of a pixel over its height, with which a player shows the video.
        has_dates: True for a live source, whose frames have a date, for which tables have a column.
        expected_frames: About how many frames come, for which a video leaves room; 0 where it is unknown.
        start_time: Date and time of the source's first frame, if tables have the column `datetime`; None without it.
    """

    name: str
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    audio: AudioSource | None = None
    start: float = 0.0
    end: float = float("inf")
    has_fine_classes: bool = False
    has_embeddings: bool = False
    clip: bool = True
    sample_aspect_ratio: Fraction = Fraction(1)
    max_age: float = float("inf")
    has_dates: bool = False
    start_time: datetime | None = None
    expected_frames: int = 0


class OutputFile(ABC):
    """A file that is being written. As a context manager it closes itself, and an earlier error is the one raised."""

    path: Path

    @abstractmethod
    def close(self) -> None:
        """Completes the file; further calls do nothing.

        Raises:
            InputError: It cannot be written any further.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
            return
        with suppress(InputError, OSError, FFmpegError):
            self.close()  # what was written is of use


class ResultWriter(OutputFile):
    """Writes the tracks of successive frames to the file at `path`."""

    @abstractmethod
    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Writes one frame; its pts must be greater than that of the previous one.

        Raises:
            InputError: The file cannot be written, for example because the disk is full. Earlier frames are kept.
        """


class EncoderError(Exception):
    """An error for images that the encoder of a video does not take; the message says which encoder and why."""


def clip_tracks(
    tracks: Tracks, width: int, height: int, fit: Fit | None = None, clip: bool = True
) -> tuple[Tracks, boxes.Floats]:
    """Returns the M' tracks that overlap the image, and their boxes as every table states them.

    The boxes are (M', 4), xyxy in pixels, rounded to 1/100 pixel, and clipped to the image if `clip`. A width or height
    that is unknown, and 0, does not limit them. Where the picture was fitted into an image of another size
    (`Frame.fit`), its own pixels count.
    """
    limits = (fit.width, fit.height) if fit else (width or math.inf, height or math.inf)
    found: boxes.Floats = tracks.boxes.astype(np.float64)
    found = np.round(fit.to_picture(found) if fit else found, 2) + 0.0  # + 0.0: no "-0.00"
    clipped = boxes.clip(found, *limits)
    inside = boxes.area(clipped) > 0
    return tracks[inside], (clipped if clip else found)[inside]


def open_error(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that cannot be created."""
    if isinstance(error, FileExistsError):
        return InputError(f"the output {path} exists: give --overwrite or another name")
    advice = _SPACE if _is_full(error) else "choose a folder that exists and is writable"
    return InputError(f"cannot write to {path}: {_reason(error)}; {_advice(error, advice)}")


def write_error(path: Path, error: Exception, result: str = "what was written so far is kept") -> InputError:
    """Returns the error for a file that could not be written to its end; `result` says what remains of it."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"cannot write on to {path}: it or its folder was removed, renamed or replaced")
    advice = _advice(error, _SPACE if _is_full(error) else "look at the disk and the folder, and run again")
    return InputError(f"cannot write on to {path}: {_reason(error)}; {result} - {advice}")


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _advice(error: Exception, of_the_system: str) -> str:
    """Returns the advice on an error: one of the system, of the encoder, or of FFmpeg's muxer."""
    if isinstance(error, OSError):
        return of_the_system
    if isinstance(error, EncoderError):
        return "name only tables as outputs, or give smaller images"
    return "its container does not take this; try another suffix, such as .mkv"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
