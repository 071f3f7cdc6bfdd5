"""Detections from MOTChallenge files: det.txt, gt.txt, and results of trackers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.detections.rows import DetectionTable, TableInfo, to_stored_detections
from tracker.data.detections.seqinfo import read_seqinfo
from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.mot_classes import CLASSES
from tracker.data.mot_file import MotRows, read_mot_file
from tracker.structures.boxes import xywh_to_xyxy


def read_mot_detections(path: Path, fps: float) -> StoredDetections:
    """Reads the boxes and scores of a MOTChallenge file; `tracker.data.mot_file` describes it.

    All are persons, unless the file is ground truth of MOT16 or later: nine columns, of which the last two are class
    and visibility. Of ground truth, rows with a score of 0, which do not count, are left out. Without a `seqinfo.ini`,
    there are `fps` frames per second.

    Raises:
        InputError: A row is malformed; says which line.
    """
    rows = read_mot_file(path)
    sequence = read_seqinfo(path, fps)
    labels = _ground_truth_labels(rows)
    is_ground_truth = len(labels) > 0
    table = DetectionTable(
        frames=rows.frames,
        times=np.full(len(rows.frames), np.nan),
        boxes=np.asarray(xywh_to_xyxy(rows.boxes), np.float64),
        scores=rows.scores,
        labels=np.where(rows.scores == 0, -1, labels) if is_ground_truth else np.zeros_like(rows.frames),
        positions=rows.lines,
    )
    info = TableInfo(
        path=path,
        name=sequence.name,
        categories=CLASSES if is_ground_truth else CLASSES[:1],
        frame_rate=sequence.frame_rate,
        length=sequence.length,
        width=sequence.width,
        height=sequence.height,
    )
    return to_stored_detections(table, info)


def _ground_truth_labels(rows: MotRows) -> NDArray[np.int64]:
    """Returns the labels (R,) of ground truth of MOT16 or later, or (0,) for any other file."""
    class_ids, visibility, _ = rows.extras.T
    is_class = rows.has_class & (class_ids >= 1) & (class_ids <= len(CLASSES)) & (class_ids % 1 == 0)
    if not (is_class & (visibility >= 0) & (visibility <= 1)).all():
        return np.zeros(0, np.int64)
    return np.asarray(class_ids - 1, np.int64)
