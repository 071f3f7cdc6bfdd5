"""Reads sequences with detections and ground truth, and runs the tracker on them in memory."""

import logging
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectionFilterConfig, TrackerConfig
from tracker.data.detections import StoredDetections, read_detections
from tracker.errors import InputError
from tracker.evaluation.mot.files import MotTable, read_mot
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

log = logging.getLogger(__name__)

IMAGE_SETTINGS = ("camera_motion", "rescore")
"""Settings of the tracker that need the images: they have no effect on these sequences."""


@dataclass(frozen=True, eq=False)
class MotSequence:
    """The F frames of a sequence that are tracked: all of them, or every second one, and so on.

    Attributes:
        name: Name of the sequence.
        frames: int64 (F,), frame numbers from 1.
        times: float64 (F,), seconds from the start of the sequence.
        detections: The detections of each frame.
        gt: (M, 7), the ground truth of these frames, see `MotTable`.
        size: Width and height of the images, pixels; infinite if unknown.
    """

    name: str
    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    detections: list[Detections]
    gt: MotTable
    size: tuple[float, float]

    def subsample(self, step: int) -> "MotSequence":
        """Returns every `step`-th frame, from the first on; frames keep their numbers and times."""
        if step == 1:
            return self
        selected = slice(0, None, step)
        frames = self.frames[selected]
        gt = self.gt[np.isin(self.gt[:, 0], frames)]
        return MotSequence(self.name, frames, self.times[selected], self.detections[selected], gt, self.size)


def find_sequences(folder: Path, detections: str) -> list[Path]:
    """Finds folders in the layout of the MOTChallenge: NAME/det/det.txt, NAME/gt/gt.txt, NAME/seqinfo.ini.

    Sequences without the file of detections are left out with a warning.

    Args:
        folder: Holds a folder for each sequence, or is the folder of a single one.
        detections: Name of the file in the folder det.

    Raises:
        InputError: There is no such sequence.
    """
    try:
        candidates = [folder, *sorted(folder.iterdir())]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror} - give a folder of NAME/gt/gt.txt") from None
    with_gt = [path for path in candidates if (path / "gt" / "gt.txt").is_file()]
    if not with_gt:
        raise InputError(f"{folder} holds no NAME/gt/gt.txt: give a folder in the layout of the MOTChallenge")
    with_detections = [path for path in with_gt if (path / "det" / detections).is_file()]
    if not with_detections:
        raise InputError(f"{folder} has ground truth but no NAME/det/{detections}: give the name of an existing file")
    for path in with_gt:
        if path not in with_detections:
            log.warning("%s is left out: it has no det/%s", path.resolve().name, detections)
    return with_detections


def read_sequence(folder: Path, detections: str, filters: DetectionFilterConfig) -> MotSequence:
    """Reads a sequence.

    Args:
        folder: A result of `find_sequences`.
        detections: Name of the file in the folder det, in any format of `read_detections`.
        filters: Least score and classes of the detections.

    Raises:
        InputError: A file is damaged, or scores are not from 0 to 1.
    """
    stored = read_detections(folder / "det" / detections)
    stored = stored.filter(filters.score, filters.classes, stored.width, stored.height)
    _check_scores(stored)
    frame_times = list(stored.frame_times())
    return MotSequence(
        name=folder.resolve().name,
        frames=np.array([frame for frame, _ in frame_times], np.int64) + 1,
        times=np.array([time for _, time in frame_times], np.float64),
        detections=[stored.at(frame) for frame, _ in frame_times],
        gt=read_mot(folder / "gt" / "gt.txt"),
        size=(stored.width or inf, stored.height or inf),
    )


def _check_scores(stored: StoredDetections) -> None:
    highest = stored.detections.scores.max(initial=0)
    if highest > 1:
        raise InputError(
            f"{stored.path} holds a score of {highest:g}: scale the scores to 0 to 1, as the settings expect them"
        )


def run_tracker(sequence: MotSequence, config: TrackerConfig, fps: float = 0.0) -> MotTable:
    """Tracks the detections of a sequence, by motion alone.

    Args:
        sequence: The sequence.
        config: Settings; `IMAGE_SETTINGS` and `offline` have no effect.
        fps: Assumed frame rate, for a tracker that counts frames; 0 takes the true times of the frames.

    Returns:
        (N, 7), see `MotTable`.
    """
    tracker = DeepSort(config, (), sequence.size)
    times = np.arange(len(sequence.frames)) / fps if fps else sequence.times
    tables = [np.zeros((0, 7))]
    for frame, time, detections in zip(sequence.frames.tolist(), times.tolist(), sequence.detections, strict=True):
        tracks = tracker.update(detections, np.zeros((len(detections), 0), np.float32), time)
        frame_column = np.full(len(tracks), frame)
        tables.append(np.column_stack([frame_column, tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores]))
    return np.concatenate(tables)
