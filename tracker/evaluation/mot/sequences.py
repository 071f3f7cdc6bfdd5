"""Sequences of which both the detections and the truth are known, to be tracked in memory as often as one likes."""

import logging
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import FoundConfig, TrackerConfig
from tracker.data.detections import StoredDetections, read_detections
from tracker.errors import InputError
from tracker.evaluation.mot.files import Rows, read_mot
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

log = logging.getLogger(__name__)

PICTURES = ("camera_motion", "rescore")
"""Settings that look at the pictures, which are not here: they do nothing."""


@dataclass(frozen=True, eq=False)
class MotSequence:
    """The F frames of a sequence that are looked at: all of them, or every second one, and so on.

    Attributes:
        name: Of the sequence.
        frames: int64 (F,), their numbers, from 1.
        times: float64 (F,), seconds from the start of the sequence.
        detections: What was found in each of them.
        truth: (M, 7) rows of the truth in these frames.
        size: Width and height of the pictures, pixels; infinite where they are unknown.
    """

    name: str
    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    detections: list[Detections]
    truth: Rows
    size: tuple[float, float]

    def every(self, step: int) -> "MotSequence":
        """Every so many-th of its frames, from the first on; they keep their numbers and times."""
        if step == 1:
            return self
        kept = slice(0, None, step)
        frames = self.frames[kept]
        truth = self.truth[np.isin(self.truth[:, 0], frames)]
        return MotSequence(self.name, frames, self.times[kept], self.detections[kept], truth, self.size)


def find_sequences(folder: Path, detections: str) -> list[Path]:
    """Folders of sequences in the layout of the MOTChallenge: NAME/det/det.txt, NAME/gt/gt.txt, NAME/seqinfo.ini.

    Sequences without the file of detections are left out, and the log says so.

    Args:
        folder: Holds a folder for each sequence, or is that of a single one.
        detections: Name of the file in the folder det.

    Raises:
        InputError: There is no such sequence.
    """
    try:
        inside = [folder, *sorted(folder.iterdir())]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror} - give a folder of NAME/gt/gt.txt") from None
    true = [place for place in inside if (place / "gt" / "gt.txt").is_file()]
    if not true:
        raise InputError(f"{folder} holds no NAME/gt/gt.txt: give a folder in the layout of the MOTChallenge")
    kept = [place for place in true if (place / "det" / detections).is_file()]
    if not kept:
        raise InputError(f"{folder} has the truth, but no NAME/det/{detections}: give the name of a file that is there")
    for place in true:
        if place not in kept:
            log.warning("%s is left out: it has no det/%s", place.resolve().name, detections)
    return kept


def read_sequence(place: Path, detections: str, found: FoundConfig) -> MotSequence:
    """Reads the sequence in a folder.

    Args:
        place: One of `find_sequences`.
        detections: As `find_sequences`; in any form that `read_detections` takes.
        found: Which detections count.

    Raises:
        InputError: A file is damaged, or scores are not from 0 to 1.
    """
    stored = read_detections(place / "det" / detections)
    stored = stored.chosen(found.score, found.classes, stored.width, stored.height)
    _check_scores(stored)
    moments = list(stored.moments())
    return MotSequence(
        name=place.resolve().name,
        frames=np.array([frame for frame, _ in moments], np.int64) + 1,
        times=np.array([time for _, time in moments], np.float64),
        detections=[stored.at(frame) for frame, _ in moments],
        truth=read_mot(place / "gt" / "gt.txt"),
        size=(stored.width or inf, stored.height or inf),
    )


def _check_scores(stored: StoredDetections) -> None:
    highest = stored.detections.scores.max(initial=0)
    if highest > 1:
        raise InputError(
            f"{stored.path} holds a score of {highest:g}, and the settings are about scores from 0 to 1: scale them"
        )


def follow(sequence: MotSequence, config: TrackerConfig, rate: float = 0.0) -> Rows:
    """Tracks the detections of a sequence, by motion alone.

    Args:
        sequence: What was found, and when.
        config: Settings; those of `PICTURES` do nothing, nor does `offline`.
        rate: Take the frames as so many per second, whenever they really were, as a tracker does that counts frames;
            0 for their times.

    Returns:
        (N, 7) rows as `score_tracks` takes them.
    """
    tracker = DeepSort(config, (), sequence.size)
    times = np.arange(len(sequence.frames)) / rate if rate else sequence.times
    rows = [np.zeros((0, 7))]
    for frame, time, detections in zip(sequence.frames.tolist(), times.tolist(), sequence.detections, strict=True):
        tracks = tracker.update(detections, np.zeros((len(detections), 0), np.float32), time)
        number = np.full(len(tracks), frame)
        rows.append(np.column_stack([number, tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores]))
    return np.concatenate(rows)
