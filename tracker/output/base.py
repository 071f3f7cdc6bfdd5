"""The base class of all result writers, the description of the source that they need, and their errors."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from tracker.errors import InputError
from tracker.structures import boxes
from tracker.structures.types import Frame, Tracks


@dataclass(frozen=True)
class VideoInfo:
    """Properties of the source and of its tracks that a writer needs.

    Attributes:
        name: Name of the source; COCO file names begin with it.
        width: Of the upright image, pixels; 0 where it is unknown.
        height: As `width`.
        time_base: Seconds in one unit of `Frame.pts`.
        frame_rate: Average frames per second; timestamps do not depend on it.
        audio_path: Media file whose audio streams are copied into a video; empty for none.
        start: Time of the first frame to process, seconds since the source's first frame.
        end: Time to stop at, seconds since the source's first frame; inf for the whole source.
        has_fine_classes: True if the tracks have fine classes, for which tables have columns.
    """

    name: str
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    audio_path: str = ""
    start: float = 0.0
    end: float = float("inf")
    has_fine_classes: bool = False


class ResultWriter(ABC):
    """Writes the tracks of successive frames to the file at `path`. As a context manager it closes itself."""

    path: Path

    @abstractmethod
    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Writes one frame; its pts must be greater than that of the previous one.

        Raises:
            InputError: The file cannot be written, for example because the disk is full. Earlier frames are kept.
        """

    @abstractmethod
    def close(self) -> None:
        """Completes the file; further calls do nothing.

        Raises:
            InputError: As `write`.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()  # also after an error: what was written is of use


def clip_tracks(tracks: Tracks, width: int, height: int) -> tuple[Tracks, boxes.Floats]:
    """Returns the M' tracks that overlap the image, and their clipped boxes as every table states them.

    The boxes are (M', 4), xyxy in pixels, rounded to 1/100 pixel. A width or height that is unknown, and 0, does not
    limit them.
    """
    limits = width or math.inf, height or math.inf
    clipped = np.round(boxes.clip(tracks.boxes.astype(np.float64), *limits), 2) + 0.0  # + 0.0: no "-0.00"
    inside = boxes.area(clipped) > 0
    return tracks[inside], clipped[inside]


def open_error(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that cannot be created."""
    return InputError(f"cannot write to {path}: {_reason(error)}; choose a folder that exists and is writable")


def write_error(path: Path, error: Exception, result: str = "what was written so far is kept") -> InputError:
    """Returns the error for a file that could not be written to its end; `result` says what remains of it."""
    advice = "free some space or write to another disk, and run again"
    return InputError(f"cannot write on to {path}: {_reason(error)}; {result} - {advice}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
