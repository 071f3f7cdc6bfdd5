"""Tracking of several sources at the same time with one set of networks; each gets the results that it gets alone."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Any

from tracker.config import Config
from tracker.data.claims import claim
from tracker.data.files import is_special
from tracker.errors import InputError, mask_passwords
from tracker.output import CombinedTable, combined_table_path, make_results_folder, remove_empty_folder
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.file_run import FileRun
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.resume import StartedRun
from tracker.pipeline.run_result import RunResult
from tracker.pipeline.source_list import PlannedSource, Uri, expand_sources, plan_sources
from tracker.pipeline.stage_timer import StageTimer
from tracker.pipeline.tracking_run import check_config
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source

logger = logging.getLogger(__name__)

MonitorFactory = Callable[[int], RunMonitor]
"""Called before a source is opened, with its index; returns its monitor, which is called from another thread."""


def track_all_to_files(
    sources: Sequence[Uri],
    config: Config,
    monitor: MonitorFactory = lambda _: RunMonitor(),
    resumed: Mapping[str, StartedRun] = {},
) -> Generator[tuple[int, RunResult | InputError]]:
    """Tracks several sources at the same time, and writes for each what `track_to_files` writes for it alone.

    The networks are loaded once and analyze frames of several sources together. Cameras and addresses are all tracked
    at once, of the other sources `config.source.max_parallel`; memory is that of so many runs.

    Args:
        sources: See `track`; a folder of videos stands for these (see `expand_sources`). The results of one are in
            tracked/NAME/, of a second one of the same name in tracked/NAME-2/.
        config: The settings for all of them. Outputs that it names must contain {name}.
        resumed: The runs that go on, by source; their settings are the config.
        monitor: See `MonitorFactory`. Once a monitor stops its run, no further source is started.

    Yields:
        When a source is done, its index in `expand_sources(sources)`, and its result or the error that ended it; the
        others go on. Leaving the loop early ends them all: what was written so far is kept and plays.

    Raises:
        InputError: The settings or the networks cannot be used for any of them, or single images were given.
        Exception: A bug ended a source. It is logged at once, and raised when the others are done.

    Example:
        >>> from tracker import Config, track_all_to_files
        >>> for number, result in track_all_to_files(["a.mp4", "b.mp4"], Config()):  # doctest: +SKIP
        ...     print(number, result)
    """
    check_config(config)
    sources = expand_sources(sources)
    _check_outputs(config, len(sources))
    yield from _MultiSourceRunner(plan_sources(sources), config, monitor, resumed).results()


def _check_outputs(config: Config, count: int) -> None:
    for path in (*config.output.output, *filter(None, [config.output.detections])):
        if count > 1 and "{name}" not in path:
            with_name = Path(path).with_name(f"{{name}}{Path(path).suffix}")
            raise InputError(
                f"{count} sources cannot all be written to {path}: give '{with_name}', where {{name}} stands for the "
                "name of each, or leave it out"
            )


class _Cancelled(Exception):
    """Ends a run at once."""


class _CancellableMonitor(RunMonitor):
    """Passes everything on to another monitor, until all runs are cancelled."""

    def __init__(self, monitor: RunMonitor, runner: "_MultiSourceRunner") -> None:
        self._monitor = monitor
        self._runner = runner

    def on_start(self, source: Source, timer: StageTimer) -> None:
        self._monitor.on_start(source, timer)

    def on_first_pass(self, source: Source, frame: Frame) -> None:
        self._runner.check_cancelled()
        self._monitor.on_first_pass(source, frame)

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        self._runner.check_cancelled()
        self._monitor.on_frame(source, frame, tracks)

    def stop_requested(self) -> bool:
        if self._monitor.stop_requested():
            self._runner.stop_starting()
            return True
        return self._runner.is_cancelled


class _MultiSourceRunner:
    """Runs over several sources, each in a thread; the caller's thread starts them and loads the networks."""

    def __init__(
        self,
        sources: Sequence[PlannedSource],
        config: Config,
        monitor: MonitorFactory,
        resumed: Mapping[str, StartedRun],
    ) -> None:
        self._resumed = resumed
        self._sources = sources
        self._config = config
        self._monitor = monitor
        self._files = [planned.file for planned in sources if planned.file is not None]
        # A source without an end need not wait for others to end.
        self._waiting = deque(sorted(range(len(sources)), key=lambda number: not sources[number].is_endless))
        self._running: dict[Future[RunResult], int] = {}
        self._folders: list[Path] = []
        self._networks_needed: Future[None] = Future()  # done when the first run needs the networks
        self._batcher: Future[DynamicBatcher] = Future()
        self._no_more = Event()  # no further run is to be started
        self._cancelled = Event()  # all runs are to end at once
        self._table: CombinedTable | None = None

    def results(self) -> Generator[tuple[int, RunResult | InputError]]:
        """Yields index and result of each source that is done; raises the first bug at the end."""
        bugs: list[BaseException] = []
        with ExitStack() as stack:
            self._table = self._open_table(stack)
            networks = stack.enter_context(ExitStack())
            pool = stack.enter_context(ThreadPoolExecutor(max(1, len(self._sources)), "track"))
            stack.callback(self._cancel)
            while self._start_some(pool):
                awaited: list[Future[Any]] = list(self._running)
                if not self._batcher.done():
                    awaited.append(self._networks_needed)
                done = wait(awaited, return_when=FIRST_COMPLETED).done.pop()
                if done not in self._running:
                    analyzer = networks.enter_context(NetworkAnalyzer(self._config))
                    self._batcher.set_result(networks.enter_context(DynamicBatcher(analyzer)))
                    continue
                number = self._running.pop(done)
                result = self._result(number, done)
                if isinstance(result, RunResult | InputError):
                    yield number, result
                else:
                    bugs.append(result)
        if bugs:
            raise bugs[0]

    def _open_table(self, stack: ExitStack) -> CombinedTable | None:
        path = combined_table_path(self._config.output, self._files)
        if path is None:
            return None
        names = [planned.uri for planned in self._sources]
        if not is_special(path):
            stack.enter_context(claim(path))
        has_fine_classes, output = bool(self._config.appearance.classify), self._config.output
        return stack.enter_context(CombinedTable(path, names, has_fine_classes, output.overwrite, output.datetime))

    def _result(self, number: int, run: Future[RunResult]) -> RunResult | BaseException:
        """Returns the result of a run that has ended, or the error that ended it."""
        error = run.exception()
        try:
            if self._table is not None:
                self._table.finish(number)
        except InputError as table_error:
            error = error or table_error
        if error is not None and not isinstance(error, InputError):
            uri, kind, text = self._sources[number].uri, type(error).__name__, mask_passwords(str(error))
            logger.error("a bug ended %s (%s: %s); the others go on", uri, kind, text)
        return error or run.result()

    @property
    def is_cancelled(self) -> bool:
        """True if all runs are to end at once."""
        return self._cancelled.is_set()

    def check_cancelled(self) -> None:
        """Raises `_Cancelled` if all runs are to end at once."""
        if self._cancelled.is_set():
            raise _Cancelled

    def stop_starting(self) -> None:
        """Starts no further run."""
        self._no_more.set()

    def _start_some(self, pool: ThreadPoolExecutor) -> bool:
        """Starts as many runs as may run now; returns True if any is running."""
        while self._waiting and not self._no_more.is_set() and self._may_start(self._waiting[0]):
            number = self._waiting.popleft()
            planned = self._sources[number]
            monitor = _CancellableMonitor(self._monitor(number), self)
            try:
                if planned.error:
                    raise planned.error
                resumed = self._resumed.get(str(planned.source))
                folder = resumed.folder if resumed else self._make_folder(planned)
            except InputError as error:
                run: Future[RunResult] = Future()
                run.set_exception(error)
            else:
                self._folders += [folder] if folder else []
                run = pool.submit(self._run, number, monitor, folder)
            self._running[run] = number
        return bool(self._running)

    def _make_folder(self, planned: PlannedSource) -> Path | None:
        reserved = [*self._folders, *(run.folder for run in self._resumed.values())]
        return make_results_folder(self._config.output, planned.folder_name, reserved, planned.uri)

    def _may_start(self, number: int) -> bool:
        files = sum(not self._sources[other].is_endless for other in self._running.values())
        return self._sources[number].is_endless or files < self._config.source.max_parallel

    def _run(self, number: int, monitor: RunMonitor, folder: Path | None) -> RunResult:
        planned = self._sources[number]
        config = self._config.with_name(planned.name)
        with ExitStack() as stack:
            stack.callback(remove_empty_folder, folder)
            source = stack.enter_context(open_source(planned.source, config.source, config.detector.threads))
            run = FileRun(source, config, self._load, monitor, self._files, folder, table=self._table, number=number)
            run.resumed = self._resumed.get(str(planned.source))
            return run.run()

    def _load(self) -> BatcherClient:
        with suppress(InvalidStateError):  # another run was the first one
            self._networks_needed.set_result(None)
        return BatcherClient(self._batcher.result())

    def _cancel(self) -> None:
        self._cancelled.set()
        self._batcher.cancel()
        # An interrupt in the pool's own wait would make Python believe that its threads have ended.
        wait(self._running)
