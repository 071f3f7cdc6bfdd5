"""Pieces of a long source, in which workers detect at the same time; one of them then tracks all of it, in order.

Each piece has a folder of stored detections in the hidden folder `.pieces` of the source's results. The tracking takes
the analyses from there and finds those that are missing itself, so that its results do not depend on the pieces.
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
from tracker.data.store import PART_SECONDS, PartReader, part_paths
from tracker.errors import InputError
from tracker.pipeline.analysis_recorder import AnalysisRecorder
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.batch.task import Task
from tracker.pipeline.file_run import video_info
from tracker.pipeline.resume import ResumedAnalyzer
from tracker.pipeline.tracking_run import TrackingRun
from tracker.video import Source, open_source

_FOLDER = ".pieces"


def split_task(task: Task, config: Config, seconds: float, workers: int) -> list[Task]:
    """Returns the pieces of a task for several workers; none where splitting does not help or is not possible.

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
        return []
    try:
        with open_source(task.source, config.source) as source:
            length = float(source.expected_frames / source.frame_rate)
    except InputError:  # it is told when the source is tracked
        return []
    each = max(seconds, ceil(length / workers / PART_SECONDS) * PART_SECONDS)
    starts = [config.source.start + number * each for number in range(ceil(length / each))]
    if len(starts) < 2:
        return []
    ends = [*starts[1:], inf]
    return [replace(task, piece=(start, min(end, config.source.end))) for start, end in zip(starts, ends, strict=True)]


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
        if not folder.exists():
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


class PiecesAnalyzer(ResumedAnalyzer):
    """Returns the analyses of the pieces of a source, and lets the networks analyze the rest."""

    def __init__(self, analyzer: FrameAnalyzer, task: Task, source: Source) -> None:
        """Takes the networks, the task whose pieces are there, and its open source."""
        super().__init__(analyzer, PartReader(_gather(task)), source)


def has_pieces(task: Task) -> bool:
    """Checks whether there are pieces of a source."""
    return any((task.folder / _FOLDER).glob("*/detections/*.parquet"))


def remove_pieces(task: Task) -> None:
    """Removes the pieces of a source."""
    shutil.rmtree(task.folder / _FOLDER, ignore_errors=True)


def _gather(task: Task) -> Path:
    """Moves the parts of all pieces into one folder, in order; returns the folder that has them."""
    pieces = task.folder / _FOLDER
    target = pieces / "all" / "detections"
    target.mkdir(parents=True, exist_ok=True)
    for number, folder in enumerate(sorted(pieces.glob("[0-9]*"))):
        if folder.suffix != ".part":
            for part in part_paths(folder):
                os.replace(part, target / f"part-{number:04d}{part.stem.removeprefix('part-'):0>8}.parquet")
    return target.parent
