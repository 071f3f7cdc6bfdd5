"""The results of a live source in segments by the clock: a folder for each, of which the oldest are removed."""

import logging
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from tracker.config import Config, parse_duration, parse_limit
from tracker.output import OutputFile, ResultWriter, VideoInfo, numbered_names, open_writer
from tracker.output.base import open_error
from tracker.pipeline.analysis_recorder import AnalysisRecorder
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.prefetch import BackgroundWorker
from tracker.pipeline.run_record import RunRecord
from tracker.structures.end_reason import EndReason
from tracker.structures.types import Frame, Tracks

logger = logging.getLogger(__name__)

_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_QUEUE = 8
_TIDY_SECONDS = 1.0
_RESERVE, _RESERVE_SHARE = 2**30, 0.05
"""Free bytes, and the free part of a small disk, below which a disk counts as full."""


def segment_folders(root: Path) -> list[Path]:
    """Returns the segments in a folder, the oldest one first."""
    try:
        return sorted(path for path in root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    except OSError:
        return []


class SegmentedOutputs(ResultWriter):
    """Writes the tracks of successive frames, and what the networks say of them, to the segment of their date.

    A segment has the writers, the stored detections and the record that a whole run has otherwise, in a folder of its
    own, `path`/START. A thread completes those whose time is over, and removes the oldest ones, so that frames are not
    kept waiting.
    """

    def __init__(
        self, paths: Sequence[Path], config: Config, info: VideoInfo, analyzer: FrameAnalyzer, record: RunRecord | None
    ) -> None:
        """Prepares to write; the first segment is created with the first frame.

        Args:
            paths: The files of a run without segments, which are all in one folder.
            config: All settings.
            info: Properties of the source.
            analyzer: What analyzes the frames.
            record: The record of the run; None with named outputs, which have no stored detections either.
        """
        self.path = paths[0].parent
        self._names = [path.name for path in paths]
        self._config = config
        self._length = parse_duration(config.output.segment)
        self._info = replace(info, expected_frames=round(self._length * (info.frame_rate or 25)))
        self._analyzer = analyzer
        self._record = record
        self._segment: _Segment | None = None
        self._written = self._removed = 0
        self._unfinished: set[Path] = set()
        self._worker = BackgroundWorker(_QUEUE, "segments")
        self._tidied, self._is_tidying, self._is_closed = -inf, False, False
        self._stuck: set[Path] = set()
        self._date = 0.0
        self._is_told = False

    def store(self, analysis: FrameAnalysis) -> None:
        """Stores the analysis of a frame, before its tracks are written.

        Raises:
            InputError: A file cannot be created or written.
        """
        recorder = self._at(analysis.frame).recorder
        if recorder is not None:
            recorder.write(analysis)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        self._at(frame).write(frame, tracks)

    def close(self) -> None:
        """Waits for the segments whose time is over, and completes the last one."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._segment or nullcontext(), self._worker:
            pass
        self._unfinished.clear()
        self._tidy(self._date)
        self._tell()

    def _at(self, frame: Frame) -> "_Segment":
        """Returns the segment of a frame."""
        self._date = date = frame.unix_time or 0.0
        if self._segment is None or not self._segment.begin <= date < self._segment.end:
            self._begin(date)
        elif time.monotonic() - self._tidied >= _TIDY_SECONDS and not self._is_tidying:
            self._tidied, self._is_tidying = time.monotonic(), True
            self._worker(partial(self._tidy, date))
        assert self._segment is not None
        return self._segment

    def _begin(self, date: float) -> None:
        folder = self._make_folder(date)
        self._unfinished.add(folder)
        if self._segment is not None:
            self._worker(partial(self._complete, self._segment))
            self._worker(partial(self._tidy, date))
        start = date // self._length * self._length
        # The clock is corrected by fractions of a second, back over the start too.
        period = start - self._length, start + self._length
        info, names = self._info, self._names
        self._segment = _Segment(folder, names, period, self._config, info, self._analyzer, self._record)
        self._written += 1
        self._tell()

    def _make_folder(self, date: float) -> Path:
        name = datetime.fromtimestamp(int(date), UTC).strftime("%Y%m%dT%H%M%SZ")
        for numbered in numbered_names(name):
            folder = self.path / numbered
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise open_error(folder, error) from None
            return folder
        raise AssertionError  # there is no end of numbers

    def _complete(self, segment: "_Segment") -> None:
        segment.close()
        self._unfinished.discard(segment.path)

    def _tidy(self, date: float) -> None:
        """Removes the oldest segments, as far as the settings say so."""
        self._is_tidying = False
        age, limit = parse_limit(self._config.output.keep)
        folders = self._folders()
        sizes = [_size(folder) for folder in folders] if limit < inf else [0] * len(folders)
        total = sum(sizes)
        for number, folder in enumerate(folders[:-1]):
            is_old = _start(folders[number + 1]) <= date - age  # where the next one begins, it had ended
            is_full = self._is_full()
            if folder in self._unfinished:  # not the last one, if the clock was set back
                continue
            if not (is_old or is_full or total > limit):
                return
            self._remove(folder, "the disk is nearly full" if is_full else f"--keep {self._config.output.keep}")
            total -= sizes[number]
        if self._is_full() and not self._is_told:
            self._is_told = True
            logger.warning("the disk of %s is nearly full, and there is no older segment to remove", self.path)

    def _is_full(self) -> bool:
        if self._config.output.disk_full == "stop":
            return False
        try:
            usage = shutil.disk_usage(self.path)
        except OSError:  # the folder was removed, of which the writers tell
            return False
        return usage.free < min(_RESERVE, _RESERVE_SHARE * usage.total)

    def _folders(self) -> list[Path]:
        """Returns the segments that can be removed, and the one that is written."""
        folders = [folder for folder in segment_folders(self.path) if folder not in self._stuck]
        if self._record is not None:
            return folders
        return [folder for folder in folders if any((folder / name).exists() for name in self._names)]

    def _remove(self, folder: Path, reason: str) -> None:
        """Removes a segment; from a folder that the user named, only what was written there."""
        try:
            if self._record is not None:
                shutil.rmtree(folder)
            else:
                for path in (*map(folder.joinpath, self._names), *folder.glob(".*.part")):
                    path.unlink(missing_ok=True)
                if not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            self._stuck.add(folder)
            logger.warning("cannot remove the segment %s (%s)", folder, error.strerror)
            return
        self._removed += 1
        level = logging.INFO if reason.startswith("--keep") else logging.WARNING
        logger.log(level, "removed the segment %s: %s", folder, reason)

    def _tell(self) -> None:
        """Writes into the record of the run which segments there are."""
        if self._record is not None:
            names = [folder.name for folder in segment_folders(self.path)]
            known: dict[str, Any] = {"first": names[0], "latest": names[-1]} if names else {}
            known |= {"count": len(names), "written": self._written, "removed": self._removed}
            self._record.update(segments=known)


class _Segment(OutputFile):
    """The files of one segment, for dates from `begin` to before `end`, in seconds since 1970."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        period: tuple[float, float],
        config: Config,
        info: VideoInfo,
        analyzer: FrameAnalyzer,
        record: RunRecord | None,
    ) -> None:
        self.path = folder
        self.begin, self.end = period
        self.recorder: AnalysisRecorder | None = None
        self._record: RunRecord | None = None
        self._frames = 0
        self._writers: list[ResultWriter] = []
        with ExitStack() as files:
            files.callback(self._remove_if_empty)
            if record is not None:
                self._record = record.part(folder)
                self.recorder = files.enter_context(AnalysisRecorder(config, info, analyzer, folder))
            for name in names:
                writer = open_writer(folder / name, info, analyzer.categories, config.output, overwrite=False)
                self._writers.append(files.enter_context(writer))
            self._files = files.pop_all()

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Writes a frame."""
        for writer in self._writers:
            writer.write(frame, tracks)
        self._frames += 1
        if self._record is not None:
            self._record.count(self._frames)

    def close(self) -> None:
        with self._files:
            if self.recorder is not None:
                self.recorder.finish(True)
        if self._record is not None and self._frames:
            self._record.finish(EndReason.COMPLETE, frames=self._frames)

    def _remove_if_empty(self) -> None:
        if not self._frames:
            shutil.rmtree(self.path, ignore_errors=True)


def _start(folder: Path) -> float:
    return datetime.strptime(folder.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _size(folder: Path) -> int:
    """Returns the bytes that a segment takes on its disk."""
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:  # it was just given its final name
            continue
        total += getattr(status, "st_blocks", -(-status.st_size // 512)) * 512
    return total
