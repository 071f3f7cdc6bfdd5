"""The rows of a file of detections: collected as numbers, checked, and sorted by frame."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.detections.stored_detections import StoredDetections
from tracker.errors import InputError
from tracker.structures.boxes import area
from tracker.structures.types import Detections

MAX_FRAMES = 10**8
"""Frame numbers from here on are refused as mistakes, since every frame before them would be processed."""


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """The R rows of a file."""

    frames: NDArray[np.int64]  # (R,), from 0
    times: NDArray[np.float64]  # (R,), seconds; NaN where the file states none
    boxes: NDArray[np.float64]  # (R, 4), xyxy in pixels
    scores: NDArray[np.float64]  # (R,)
    labels: NDArray[np.int64]  # (R,); -1 in a row that only names a frame
    positions: NDArray[np.int64]  # (R,), the number of the line or the annotation, from 1


class TableBuilder:
    """Collects rows one by one as numbers, 72 bytes each, without Python objects."""

    def __init__(self) -> None:
        self._integers = array("q")  # frame, label, position
        self._reals = array("d")  # time, x1, y1, x2, y2, score

    def add(self, position: int, frame: int, time: float, box: Sequence[float], score: float, label: int) -> None:
        """Adds a row; the arguments are those of `DetectionTable`."""
        # Numbers of frames that are refused later must fit into the array.
        self._integers.extend((max(-1, min(frame, MAX_FRAMES)), label, position))
        self._reals.extend((time, *box, score))

    def build(self) -> DetectionTable:
        integers = np.array(self._integers, np.int64).reshape(-1, 3)
        reals = np.array(self._reals, np.float64).reshape(-1, 6)
        return DetectionTable(integers[:, 0], reals[:, 0], reals[:, 1:5], reals[:, 5], integers[:, 1], integers[:, 2])


@dataclass(frozen=True)
class TableInfo:
    """The description of a file: everything besides its rows, as in `StoredDetections`."""

    path: Path
    name: str
    categories: tuple[str, ...]
    frame_rate: Fraction  # frames per second, where the rows state no times
    unit: str = "line"  # what `DetectionTable.positions` counts: line, annotation
    length: int = 0  # number of frames of the sequence; 0 where it is unknown
    width: int = 0
    height: int = 0
    covers_all_frames: bool = False
    sparse: bool = False  # the frames that the file names may be every n-th of the sequence


def to_stored_detections(table: DetectionTable, info: TableInfo) -> StoredDetections:
    """Checks rows and sorts them by frame; boxes without area are dropped."""
    if not len(table.frames):
        raise InputError(f"{info.path} holds no rows: give a file of detections")
    _check(table, info)
    order = np.argsort(table.frames, kind="stable")
    frames, first_rows = np.unique(table.frames[order], return_index=True)
    times = table.times[order][first_rows]
    has_times = not np.isnan(table.times).any()
    rate = info.frame_rate
    if has_times:
        _check_times(table, order, info)
        rate = _average_rate(frames, times) or rate
    else:
        times = frames * rate.denominator / rate.numerator
    boxes = table.boxes.astype(np.float32)
    rows = order[(table.labels[order] >= 0) & (area(boxes[order]) > 0)]
    offsets = np.append(np.searchsorted(table.frames[rows], frames), len(rows))
    sparse = info.sparse and len(frames) > 1
    return StoredDetections(
        path=info.path,
        name=info.name,
        categories=info.categories,
        frames=frames,
        times=times,
        offsets=offsets.astype(np.int64),
        detections=Detections(boxes[rows], table.scores[rows].astype(np.float32), table.labels[rows]),
        first=0 if info.length else int(frames[0]),
        last=max(int(frames[-1]), info.length - 1),
        step=gcd(*np.unique(np.diff(frames)).tolist()) if sparse else 1,
        covers_all_frames=info.covers_all_frames,
        has_times=has_times,
        frame_rate=rate,
        width=info.width,
        height=info.height,
    )


def _average_rate(frames: NDArray[np.int64], times: NDArray[np.float64]) -> Fraction:
    """Returns frames per second, or 0 for a single frame."""
    if len(frames) < 2:
        return Fraction(0)
    return Fraction(float((frames[-1] - frames[0]) / (times[-1] - times[0]))).limit_denominator(1001)


def _check(table: DetectionTable, info: TableInfo) -> None:
    is_detection = table.labels >= 0
    size = table.boxes[:, 2:] - table.boxes[:, :2]
    with np.errstate(over="ignore"):
        finite = np.isfinite(table.boxes.astype(np.float32)).all(1) & np.isfinite(table.scores.astype(np.float32))
    _refuse(is_detection & ~finite, table, info, "the box and its score must be finite numbers")
    _refuse(is_detection & (size < 0).any(1), table, info, "the box has a negative width or height")
    _refuse(table.frames < 0, table, info, "the number of the frame is too small")
    if not info.covers_all_frames:
        _refuse(table.frames >= MAX_FRAMES, table, info, f"the number of the frame is not below {MAX_FRAMES:,}")


def _check_times(table: DetectionTable, order: NDArray[np.int64], info: TableInfo) -> None:
    """Checks that rows of one frame have one time, and later frames later times."""
    steps, gaps = np.diff(table.frames[order]), np.diff(table.times[order])
    wrong = np.zeros(len(order), bool)
    wrong[order[1:]] = ((steps == 0) & (gaps != 0)) | ((steps > 0) & (gaps <= 0))
    _refuse(wrong, table, info, "the time does not fit those of the other frames")


def _refuse(wrong: NDArray[np.bool_], table: DetectionTable, info: TableInfo, reason: str) -> None:
    if wrong.any():
        raise InputError(f"{info.path}, {info.unit} {table.positions[np.argmax(wrong)]}: {reason}; mend or remove it")
