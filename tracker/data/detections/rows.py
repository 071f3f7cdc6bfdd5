"""The rows of a file of detections: gathered as numbers, checked, and put in order of frames."""

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

MOST_FRAMES = 10**8
"""Frame numbers from here on are taken for mistakes, as the frames before them would have to be gone through."""


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """What the rows of a file say, R of them.

    Attributes:
        frames: int64 (R,), counted from 0.
        times: float64 (R,), seconds; NaN where the file states none.
        boxes: float64 (R, 4), xyxy in pixels.
        scores: float64 (R,).
        labels: int64 (R,); -1 in a row that only names a frame.
        places: int64 (R,), number of the line or the annotation, from 1.
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    places: NDArray[np.int64]


class RowReader:
    """Takes the rows of a text file one by one and keeps them as numbers: 72 bytes each, no objects."""

    def __init__(self) -> None:
        self._whole = array("q")  # frame, label, place
        self._real = array("d")  # time, x1, y1, x2, y2, score

    def add(self, place: int, frame: int, time: float, box: Sequence[float], score: float, label: int) -> None:
        """Takes a row; see `DetectionTable`."""
        # Numbers beyond what is believed of a frame stay so, but fit into the array.
        self._whole.extend((max(-1, min(frame, MOST_FRAMES)), label, place))
        self._real.extend((time, *box, score))

    def rows(self) -> DetectionTable:
        """All rows so far."""
        whole = np.array(self._whole, np.int64).reshape(-1, 3)
        real = np.array(self._real, np.float64).reshape(-1, 6)
        return DetectionTable(whole[:, 0], real[:, 0], real[:, 1:5], real[:, 5], whole[:, 1], whole[:, 2])


@dataclass(frozen=True)
class TableInfo:
    """What is known of a file beside its rows.

    Attributes:
        path: The file.
        name: Of the sequence.
        categories: Class names by label.
        frame_rate: Frames per second, where the rows state no times.
        unit: What `DetectionTable.places` count: line, annotation.
        length: Frames of the sequence, from number 0; 0 where that is unknown.
        width: As in `StoredDetections`.
        height: As in `StoredDetections`.
        complete: As in `StoredDetections`.
        sparse: Whether the frames that the file names may be every n-th.
    """

    path: Path
    name: str
    categories: tuple[str, ...]
    frame_rate: Fraction
    unit: str = "line"
    length: int = 0
    width: int = 0
    height: int = 0
    complete: bool = False
    sparse: bool = False


def stored_from(rows: DetectionTable, about: TableInfo) -> StoredDetections:
    """Checks rows and puts them in order; boxes without area are dropped.

    Raises:
        InputError: There are none, a number is not finite, a box has a negative size, or a time contradicts another.
    """
    if not len(rows.frames):
        raise InputError(f"{about.path} holds no rows: give a file of detections")
    _check(rows, about)
    order = np.argsort(rows.frames, kind="stable")
    frames, first_rows = np.unique(rows.frames[order], return_index=True)
    times = rows.times[order][first_rows]
    timed = not np.isnan(rows.times).any()
    rate = about.frame_rate
    if timed:
        _check_times(rows, order, about)
        rate = _average_rate(frames, times) or rate
    else:
        times = frames * rate.denominator / rate.numerator
    boxes = rows.boxes.astype(np.float32)
    solid = order[(rows.labels[order] >= 0) & (area(boxes[order]) > 0)]
    between = np.append(np.searchsorted(rows.frames[solid], frames), len(solid))
    sparse = about.sparse and len(frames) > 1
    return StoredDetections(
        path=about.path,
        name=about.name,
        categories=about.categories,
        frames=frames,
        times=times,
        offsets=between.astype(np.int64),
        detections=Detections(boxes[solid], rows.scores[solid].astype(np.float32), rows.labels[solid]),
        first=0 if about.length else int(frames[0]),
        last=max(int(frames[-1]), about.length - 1),
        step=gcd(*np.unique(np.diff(frames)).tolist()) if sparse else 1,
        complete=about.complete,
        timed=timed,
        frame_rate=rate,
        width=about.width,
        height=about.height,
    )


def _average_rate(frames: NDArray[np.int64], times: NDArray[np.float64]) -> Fraction:
    """Frames per second; 0 where that cannot be told."""
    if len(frames) < 2:
        return Fraction(0)
    return Fraction(float((frames[-1] - frames[0]) / (times[-1] - times[0]))).limit_denominator(1001)


def _check(rows: DetectionTable, about: TableInfo) -> None:
    found = rows.labels >= 0
    size = rows.boxes[:, 2:] - rows.boxes[:, :2]
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.boxes.astype(np.float32)).all(1) & np.isfinite(rows.scores.astype(np.float32))
    _refuse(found & ~finite, rows, about, "the box and its score must be finite numbers")
    _refuse(found & (size < 0).any(1), rows, about, "the box has a negative width or height")
    _refuse(rows.frames < 0, rows, about, "the number of the frame is too small")
    if not about.complete:
        _refuse(rows.frames >= MOST_FRAMES, rows, about, f"the number of the frame is not below {MOST_FRAMES:,}")


def _check_times(rows: DetectionTable, order: NDArray[np.int64], about: TableInfo) -> None:
    """Rows of one frame have one time, and later frames later ones."""
    steps, gaps = np.diff(rows.frames[order]), np.diff(rows.times[order])
    wrong = np.zeros(len(order), bool)
    wrong[order[1:]] = ((steps == 0) & (gaps != 0)) | ((steps > 0) & (gaps <= 0))
    _refuse(wrong, rows, about, "the time does not fit those of the other frames")


def _refuse(wrong: NDArray[np.bool_], rows: DetectionTable, about: TableInfo, why: str) -> None:
    if wrong.any():
        raise InputError(f"{about.path}, {about.unit} {rows.places[np.argmax(wrong)]}: {why}; mend or remove it")
