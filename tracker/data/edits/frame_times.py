"""The times of a run's frames, also of those without tracks."""

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracker.data.edits.columns import numbers
from tracker.data.store import PART_SECONDS, part_paths
from tracker.errors import InputError

_Known = Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.float64]]]


class FrameTable:
    """Looks up the times of frames in the stored detections, which have every frame.

    Without stored detections, times are interpolated between frames that have tracks.
    """

    def __init__(self, folder: Path, known: _Known) -> None:
        """Takes the folder of the run, and what returns frames with tracks near a range of frames, and their times."""
        paths = part_paths(folder)
        self._paths = dict(zip((int(path.stem.partition("-")[2]) for path in paths), paths, strict=True))
        self._known = known
        self._part = lru_cache(maxsize=64)(_read_part)

    @property
    def is_complete(self) -> bool:
        """True if the run has stored every frame."""
        return bool(self._paths)

    def between(self, start: float, end: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the stored frames that are shown between two times, seconds, and their times."""
        starts = [one for one in self._paths if one + PART_SECONDS > start and one <= end]
        parts = [self._part(self._paths[one]) for one in sorted(starts)]
        none = (np.zeros(0, np.int64), np.zeros(0))
        frames, times = (np.concatenate(arrays) for arrays in zip(none, *parts, strict=True))
        inside = (times >= start) & (times <= end)
        return frames[inside], times[inside]

    def time_of(self, frame: int) -> float | None:
        """Returns the time of a stored frame, seconds; None if there is no such frame."""
        starts = sorted(self._paths)
        place = bisect_right(starts, frame, key=lambda start: int(self._part(self._paths[start])[0][0])) - 1
        if place < 0:
            return None
        frames, times = self._part(self._paths[starts[place]])
        row = int(np.searchsorted(frames, frame))
        return float(times[row]) if row < len(frames) and frames[row] == frame else None

    def times(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the times of some frames."""
        if not len(frames):
            return np.zeros(0)
        known, times = self._known(int(frames.min()), int(frames.max()) + 1)
        if len(known) and self._paths:
            known, times = self.between(times[0] - PART_SECONDS, times[-1] + PART_SECONDS)
        if not len(known):
            raise InputError("the times of these frames are not known: give frames in which the run has tracks")
        result: NDArray[np.float64] = np.interp(frames, known, times)
        return result


def _read_part(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(["frame", "time_s"])
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    frames, rows = np.unique(numbers(table["frame"]), return_index=True)
    return frames, numbers(table["time_s"])[rows]
