"""A worker of a batch: it tracks one source after the other with networks that are loaded once."""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from tracker.config import Config
from tracker.data.claims import claim
from tracker.errors import InputError
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.batch.pieces import PiecesAnalyzer, detect_piece, has_pieces, remove_pieces
from tracker.pipeline.batch.plan import finished_outcome, matching_run, source_fingerprint
from tracker.pipeline.batch.remote import fetch_record, local_source, publish
from tracker.pipeline.batch.task import Outcome, Status, Task, settings_hash
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.file_run import FileRun
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.run_result import RunResult
from tracker.structures.end_reason import EndReason
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source, source_name
from tracker.video.joined import JoinedFiles

_PATIENCE = 60.0
"""Seconds to wait for a folder that a worker of a killed driver is still leaving."""
_STATUS: dict[EndReason, Status] = {EndReason.COMPLETE: "done", EndReason.STOPPED: "stopped"}


class BatchWorker:
    """Tracks the sources of a batch; `stop` may be called from any thread or signal handler.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.mp4").write_text("no video")
        ...     worker = BatchWorker(Config(), "worker 1")
        ...     worker.run(Task(f"{folder}/a.mp4", Path(folder, "source=a"), "")).status
        8
        'failed'
    """

    def __init__(self, config: Config, name: str) -> None:
        """Takes all settings, and a name for the manifest; networks are loaded when they are first needed."""
        self._config = config.with_overwrite()  # of what an earlier attempt left
        self._name = name
        self._settings = settings_hash(config)
        self._stopped = Event()
        self._resources = ExitStack()
        self._batcher: DynamicBatcher | None = None

    def run(self, task: Task) -> Outcome:
        """Tracks a source; a run that was begun goes on where it stopped, and one that is finished is left as it is.

        Raises:
            Exception: A bug.
        """
        start = time.perf_counter()
        monitor = _TaskMonitor(self._stopped)
        try:
            if task.piece is None:
                self._wait_for_folder(task)
            task = replace(task, fingerprint=source_fingerprint([task.source, *task.more]))
            if task.piece is None:
                fetch_record(task)
            if (outcome := finished_outcome(task, self._settings)) is not None:
                publish(task)
                return outcome
            if task.piece is not None:
                done = detect_piece(task, self._config, self._load, self._stopped.is_set)
                return Outcome("done" if done else "stopped", worker=self._name)
            end, reason = self._track(task, monitor).end, ""
            status = _STATUS.get(end, "truncated")
            if status != "stopped":
                remove_pieces(task)
                publish(task)
        except InputError as error:
            status, reason = "failed", str(error)
        elapsed = time.perf_counter() - start
        return Outcome(status, reason, monitor.frames, monitor.seconds, elapsed, self._name, task.fingerprint)

    def stop(self) -> None:
        """Lets the source that is being tracked end after its current frame, such that it can be resumed."""
        self._stopped.set()

    def close(self) -> None:
        """Ends the networks' threads."""
        self._resources.close()

    def _track(self, task: Task, monitor: RunMonitor) -> RunResult:
        config = self._config
        task.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(_remove_if_empty, task)
            path = stack.enter_context(local_source(task))
            source = stack.enter_context(_open(path, task, config))
            load = partial(self._load_for, task, source) if has_pieces(task) else self._load
            run = FileRun(source, config, load, monitor, source.files, task.folder)
            run.resumed = matching_run(task, self._settings)
            return run.run()

    def _wait_for_folder(self, task: Task) -> None:
        """Waits until nobody else writes to the folder of a task, as a worker does whose driver was just killed."""
        deadline = time.monotonic() + _PATIENCE
        while task.folder.is_dir():
            try:
                with claim(task.folder):
                    return
            except InputError:
                if time.monotonic() > deadline or self._stopped.wait(0.2):
                    raise

    def _load(self) -> FrameAnalyzer:
        """Returns the networks, which the run does not close."""
        if self._batcher is None:
            analyzer = self._resources.enter_context(NetworkAnalyzer(self._config))
            self._batcher = self._resources.enter_context(DynamicBatcher(analyzer))
        return BatcherClient(self._batcher)

    def _load_for(self, task: Task, source: Source) -> FrameAnalyzer:
        return PiecesAnalyzer(self._load(), task, source)


def _open(path: Path, task: Task, config: Config) -> Source:
    """Opens the source of a task, whose first file is at `path`."""
    threads = config.detector.threads
    if task.more:
        paths = [path, *map(Path, task.more)]
        return JoinedFiles(paths, task.source, source_name(task.source), config.source, threads)
    source = open_source(path, config.source, threads)
    source.uri = task.source
    return source


def _remove_if_empty(task: Task) -> None:
    with suppress(OSError):  # it holds results, or is gone
        task.folder.rmdir()


class _TaskMonitor(RunMonitor):
    """Counts the frames of a source, and ends its run once the worker is stopped."""

    def __init__(self, stopped: Event) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._stopped = stopped

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        self.frames += 1
        self.seconds = frame.time

    def stop_requested(self) -> bool:
        return self._stopped.is_set()
