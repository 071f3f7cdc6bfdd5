"""Pieces of a long source, in which workers detect at the same time, while one of them tracks all of it, in order.

Each piece has a folder of stored detections in the hidden folder `.pieces` of the source's results. The tracking takes
the analyses of pieces that are ready from there, and finds those that are missing itself, so that its results do not
depend on the pieces.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from math import ceil, inf
from pathlib import Path

from tracker.config import Config
from tracker.data.store import PART_SECONDS, PartReader, StoredFrame
from tracker.errors import InputError
from tracker.pipeline.analysis_recorder import AnalysisRecorder
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.batch.task import Task
from tracker.pipeline.file_run import video_info
from tracker.pipeline.resume import ResumedAnalyzer
from tracker.pipeline.tracking_run import TrackingRun
from tracker.video import Source, open_source

_FOLDER = ".pieces"
_PER_WORKER = 5
"""Most pieces for each worker."""
_TRACKING_SHARE = 0.2
"""Time of tracking a source whose detections are known and writing its video, as a part of that of detecting in it."""


def split_task(task: Task, config: Config, seconds: float, workers: int) -> list[Task]:
    """Returns the tasks for several workers in their order: pieces in which to detect, and all of the source.

    It is tracked while the last pieces are detected, which takes about as long; all workers then end at the same time.
    The task itself is returned where splitting does not help or is not possible.

    It is not possible where the analysis of a frame depends on those before it, or is not stored; where source or
    results are remote, since the workers then share no folder; and for joined recordings.

    Args:
        task: The source.
        config: All settings.
        seconds: Least length of a piece, seconds.
        workers: Number of workers that have nothing else to do.
    """
    detector = config.detector
    in_order = config.source.every > 1 or detector.detect_every > 1 or detector.realtime or detector.tiles == "follow"
    if workers < 2 or in_order or config.tracker.rescore or not config.output.store or task.results or task.more:
        return [task]
    try:
        with open_source(task.source, config.source) as source:
            length = float(source.expected_frames / source.frame_rate)
    except InputError:  # it is told when the source is tracked
        return [task]
    each = max(seconds, ceil(length / (_PER_WORKER * workers) / PART_SECONDS) * PART_SECONDS)
    starts = [config.source.start + number * each for number in range(ceil(length / each))]
    if len(starts) < 2:
        return [task]
    ends = [*starts[1:], inf]
    pieces = [
        replace(task, piece=(start, min(end, config.source.end))) for start, end in zip(starts, ends, strict=True)
    ]
    meanwhile = round(_TRACKING_SHARE * (workers - 1) * len(pieces))
    first = max(min(workers, len(pieces)), len(pieces) - meanwhile)
    return [*pieces[:first], replace(task, is_split=True), *pieces[first:]]


def detect_piece(task: Task, config: Config, load: Callable[[], FrameAnalyzer], stopped: Callable[[], bool]) -> bool:
    """Detects in a piece of a source, and stores what is found; returns False if it was stopped before the end.

    Args:
        task: The piece; one that is complete already is left as it is.
        config: All settings of the batch.
        load: Returns the networks.
        stopped: Returns True to end after the current frame.

    Raises:
        InputError: The source cannot be read, or the disk is full.
    """
    assert task.piece is not None
    start, end = task.piece
    folder = task.folder / _FOLDER / f"{round(start * 10**6):016d}"
    if folder.is_dir():
        return True
    settings = config.model_copy(update={"source": config.source.model_copy(update={"start": start, "end": end})})
    unfinished = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        with open_source(task.source, settings.source, config.detector.threads) as source:
            analyzer = load()
            run = TrackingRun(source, analyzer, settings)
            info = replace(video_info(source, config), start=config.source.start, end=config.source.end)
            with AnalysisRecorder(config, info, analyzer, unfinished) as recorder, closing(run.analyses()) as analyses:
                for analysis in analyses:
                    recorder.write(analysis)
                    if stopped():
                        return False
        if unfinished.is_dir() and not folder.exists():  # it is not where the source was tracked meanwhile
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


class PiecesAnalyzer(ResumedAnalyzer):
    """Returns the analyses of the pieces of a source that are ready, and lets the networks analyze the rest."""

    def __init__(self, analyzer: FrameAnalyzer, task: Task, source: Source) -> None:
        """Takes the networks, the task, some of whose pieces may be detected meanwhile, and its open source."""
        super().__init__(analyzer, _ReadyPieces(task), source)


class _ReadyPieces:
    """The stored frames of the pieces of a source, each from the moment on at which it is complete."""

    def __init__(self, task: Task) -> None:
        self._folder = task.folder / _FOLDER
        self._reader: PartReader | None = None
        self._name = self._ended = ""  # of the piece that is read, and of the last one that was read to its end

    def find(self, index: int) -> StoredFrame | None:
        """Returns a frame, None if it is in no complete piece; the indices of successive calls ascend."""
        while True:
            if self._reader is not None:
                frame = self._reader.find(index)
                if frame is not None:
                    return frame
                if self._reader.is_at_end:
                    self._ended, self._reader, self._name = self._name, None, ""
            # A piece before the one that is read may have been completed since.
            name = min((name for name in _complete_pieces(self._folder) if name > self._ended), default="")
            if name == self._name:
                return None
            self._reader, self._name = PartReader(self._folder / name), name


def has_pieces(task: Task) -> bool:
    """Checks whether there are pieces of a source, or will be."""
    return task.is_split or bool(_complete_pieces(task.folder / _FOLDER))


def remove_pieces(task: Task) -> None:
    """Removes the pieces of a source."""
    shutil.rmtree(task.folder / _FOLDER, ignore_errors=True)


def _complete_pieces(folder: Path) -> list[str]:
    """Returns the names of the complete pieces in a folder."""
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]
    except FileNotFoundError:
        return []
