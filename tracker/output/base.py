"""What all writers of results share: their interface, what they know of the source, and their errors."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from tracker.errors import InputError
from tracker.structures import boxes
from tracker.structures.types import Frame, Tracks


@dataclass(frozen=True)
class VideoInfo:
    """What a writer has to know of the source and of its tracks.

    Attributes:
        name: Name of the source; COCO file names begin with it.
        width: Of the upright picture, pixels; 0 where that is unknown.
        height: As `width`.
        time_base: Seconds in one unit of `Frame.pts`.
        frame_rate: Average frames per second; timestamps do not depend on it.
        audio_from: Media file whose audio streams are copied into a video; empty for none.
        start: First moment that is processed, seconds since the source's first frame.
        end: Moment that processing stops at, seconds since the source's first frame; inf for all.
        fine: Whether the tracks are `FineTracks`, which tables have columns for.
    """

    name: str
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    audio_from: str = ""
    start: float = 0.0
    end: float = float("inf")
    fine: bool = False


class ResultWriter(ABC):
    """Writes the tracks of successive frames to the file at `path`. As a context manager it closes itself."""

    path: Path

    @abstractmethod
    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Adds one frame; its pts must be above that of the frame before.

        Raises:
            InputError: The file cannot be written, say because the disk is full. What was written is kept.
        """

    @abstractmethod
    def close(self) -> None:
        """Finishes the file; further calls do nothing.

        Raises:
            InputError: As `write`.
        """

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file, also after an error: what was written is of use."""
        self.close()


def visible(tracks: Tracks, width: int, height: int) -> tuple[Tracks, boxes.Floats]:
    """The tracks that have a part inside the picture, and these parts as every table states them.

    Where a side of the picture is unknown, and 0, it is taken to have no end.

    Returns:
        The M' remaining tracks and their clipped boxes (M', 4), xyxy in pixels, rounded to 1/100 pixel.
    """
    end = width or math.inf, height or math.inf
    clipped = np.round(boxes.clip(tracks.boxes.astype(np.float64), *end), 2) + 0.0  # + 0.0: no "-0.00"
    inside = boxes.area(clipped) > 0
    return tracks[inside], clipped[inside]


def cannot_open(path: Path, error: Exception) -> InputError:
    """The sentence for a file that cannot be created."""
    return InputError(f"cannot write to {path}: {_reason(error)}; choose a folder that exists and is writable")


def cannot_write(path: Path, error: Exception, kept: str = "what was written so far is kept") -> InputError:
    """The sentence for a file that could not be written to its end."""
    return InputError(
        f"cannot write on to {path}: {_reason(error)}; {kept} - free some space or write to another disk, and run again"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
