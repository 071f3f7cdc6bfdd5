"""Tables of the MOTChallenge: det.txt, gt.txt, and what trackers write."""

import csv
from array import array
from math import nan
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from tracker.data.detections.rows import DetectionTable, RowReader, TableInfo, stored_from
from tracker.data.detections.seqinfo import sequence_of
from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.mot_classes import CLASSES
from tracker.errors import InputError


def read_mot(file: TextIO, path: Path, fps: float) -> StoredDetections:
    """Reads `frame,id,x,y,w,h,score` and what follows; frame counts from 1, the id is not looked at.

    All are persons, unless the file is ground truth in the manner of MOT16: nine columns, of which the last two are a
    class id and a visibility. Of that the rows with a score of 0, which are not to be considered, are left out.

    Args:
        file: The opened file.
        path: Its name.
        fps: Frame rate where there is no `seqinfo.ini`, frames per second.

    Raises:
        InputError: A row is broken; says which line.
    """
    reader = RowReader()
    extra = array("d")  # of each row: number of columns, class id, visibility
    table = csv.reader(file)
    for row in table:
        if row:
            numbers = _numbers(row, f"{path}, line {table.line_num}")
            x, y, width, height, score = numbers[2:7]
            box = x, y, x + width, y + height
            reader.add(table.line_num, int(numbers[0]) - 1, nan, box, score, 0)
            extra.extend((len(row), *numbers[7:9]) if len(row) == 9 else (len(row), nan, nan))
    rows = reader.rows()
    sequence = sequence_of(path, fps)
    classes = _classes(np.array(extra, np.float64).reshape(-1, 3))
    if len(classes):
        rows = DetectionTable(rows.frames, rows.times, rows.boxes, rows.scores, classes, rows.places)
        rows.labels[rows.scores == 0] = -1
    about = TableInfo(
        path=path,
        name=sequence.name,
        categories=CLASSES if len(classes) else CLASSES[:1],
        frame_rate=sequence.frame_rate,
        length=sequence.length,
        width=sequence.width,
        height=sequence.height,
    )
    return stored_from(rows, about)


def _numbers(row: list[str], where: str) -> list[float]:
    if len(row) < 7:
        raise InputError(f"{where}: {len(row)} columns, where frame,id,x,y,w,h,score are 7; mend or remove it")
    try:
        numbers = [float(text) for text in row]
    except ValueError as error:
        raise InputError(f"{where}: {error}; mend or remove it") from None
    if not numbers[0].is_integer() or numbers[0] < 1:
        raise InputError(f"{where}: {row[0]!r} is no number of a frame, which count from 1; mend or remove it")
    return numbers


def _classes(extra: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (R,) of ground truth in the manner of MOT16, from the (R, 3) of `read_mot`; (0,) of anything else."""
    columns, ids, visibility = extra.T
    known = (columns == 9) & (ids >= 1) & (ids <= len(CLASSES)) & (ids % 1 == 0)
    if not (known & (visibility >= 0) & (visibility <= 1)).all():
        return np.zeros(0, np.int64)
    return extra[:, 1].astype(np.int64) - 1
