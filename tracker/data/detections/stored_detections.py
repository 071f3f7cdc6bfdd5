"""Stored detections of one sequence, by frame."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tracker.data.store.schema import StoreInfo
from tracker.errors import InputError, did_you_mean
from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections

_ROUNDING = 1.0
"""Pixels by which a box that was clipped to the image may reach out of it: formats count pixels from 0 or from 1."""


@dataclass(frozen=True, eq=False)
class StoredDetections:
    """The detections of a file. Frames count from 0, whatever the file counts from.

    Attributes:
        path: The file.
        name: Name of the sequence; can be part of a file name.
        categories: Class names by label.
        frames: int64 (F,), the frames that the file names, ascending.
        times: float64 (F,), seconds from the start of the source, ascending.
        offsets: int64 (F + 1,), the detections of `frames[i]` are those from `offsets[i]` to `offsets[i + 1]`.
        detections: All of them, by frame, in the file's order within a frame.
        first: The first frame of the sequence, at most `frames[0]`.
        last: The last frame of the sequence, at least `frames[-1]`.
        step: Frames of the sequence are `step` apart, and `first` is one of them.
        covers_all_frames: `frames` are all frames of the sequence. Otherwise the others have no detections.
        has_times: The file states the times; otherwise they follow from `frame_rate`.
        frame_rate: Frames per second.
        width: Width of the images, pixels; 0 where it is unknown.
        height: As `width`.
        filtered_out: Number of detections that `filter` left out.
        run_info: Properties of the run of which `path` is the folder; None where it is a file.
    """

    path: Path
    name: str
    categories: tuple[str, ...]
    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    offsets: NDArray[np.int64]
    detections: Detections
    first: int
    last: int
    step: int
    covers_all_frames: bool
    has_times: bool
    frame_rate: Fraction
    width: int
    height: int
    filtered_out: int = 0
    run_info: StoreInfo | None = None

    def at(self, frame: int) -> Detections:
        """Returns the detections of a frame."""
        row = int(np.searchsorted(self.frames, frame))
        if row == len(self.frames) or self.frames[row] != frame:
            return Detections.empty()
        return self.detections[int(self.offsets[row]) : int(self.offsets[row + 1])]

    def frame_times(self) -> Iterator[tuple[int, float]]:
        """Yields all frames of the sequence and their times, seconds."""
        if self.covers_all_frames:
            for row in range(len(self.frames)):
                yield int(self.frames[row]), float(self.times[row])
        else:
            for frame in range(self.first, self.last + 1, self.step):
                yield frame, self._time(frame)

    def count(self) -> int:
        """Returns the number of frames that `frame_times` yields."""
        return len(self.frames) if self.covers_all_frames else (self.last - self.first) // self.step + 1

    def has_frame(self, frame: int) -> bool:
        """Checks whether a frame of the source belongs to the sequence, so that a detector has processed it."""
        if not self.covers_all_frames:
            return (frame - self.first) % self.step == 0
        row = int(np.searchsorted(self.frames, frame))
        return row < len(self.frames) and int(self.frames[row]) == frame

    def duration(self) -> float:
        """Returns the seconds from the first frame of the sequence to the end of its last one, approximately."""
        return self._time(self.last) - self._time(self.first) + float(self.step / self.frame_rate)

    def filter(
        self,
        score: float,
        classes: tuple[str, ...],
        width: int,
        height: int,
        class_scores: Mapping[str, float] = MappingProxyType({}),
    ) -> "StoredDetections":
        """Returns the detections of some classes, with a minimum score, and at least partly inside the image.

        Args:
            score: Minimum score.
            classes: Their names; empty for all.
            width: Width of the image, pixels; 0 where it is unknown.
            height: As `width`.
            class_scores: Minimum scores of some classes, by name, in place of `score`.

        Raises:
            InputError: A name is not among the file's classes.
        """
        for name in classes:
            if name not in self.categories:
                raise InputError(f"{self.path}: unknown class {name!r}{did_you_mean(name, list(self.categories))}")
        labels = [label for label, name in enumerate(self.categories) if not classes or name in classes]
        least = np.array([class_scores.get(name, score) for name in self.categories], np.float32)  # as scores are
        keep = (self.detections.scores >= least[self.detections.labels]) & np.isin(self.detections.labels, labels)
        if width and height:
            keep &= area(clip(self.detections.boxes, width, height)) > 0
        num_kept = np.concatenate([[0], np.cumsum(keep)])
        return replace(
            self,
            detections=self.detections[keep],
            offsets=num_kept[self.offsets],
            filtered_out=self.filtered_out + int((~keep).sum()),
        )

    def reaches_out(self, width: int, height: int) -> bool:
        """Checks whether boxes reach out of images of width x height pixels, so that they state hidden parts too.

        Less than a pixel is rounding. A width or height that is unknown, and 0, is never left.
        """
        boxes = self.detections.boxes
        limits = np.array([width or np.inf, height or np.inf]) + _ROUNDING
        return bool((boxes[:, :2] < -_ROUNDING).any() or (boxes[:, 2:] > limits).any())

    def _time(self, frame: int) -> float:
        """Returns the time of any frame, seconds; linearly interpolated between the frames that the file names."""
        if not self.has_times:
            return float(frame / self.frame_rate)
        row = min(int(np.searchsorted(self.frames, frame)), len(self.frames) - 1)
        if self.frames[row] == frame or row == 0:
            return float(self.times[row])
        (f0, f1), (t0, t1) = self.frames[row - 1 : row + 1].tolist(), self.times[row - 1 : row + 1].tolist()
        return float(t0 + (t1 - t0) * (frame - f0) / (f1 - f0))
