"""Tracking of several sources at the same time with one set of networks; each gets the results that it gets alone."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Any

from tracker.config import Config
from tracker.errors import InputError
from tracker.output import make_results_folder, numbered_names, remove_empty_folder
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.file_run import FileRun, RunResult
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.tracking_run import check_config
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source, source_kind, source_name

Uri = str | Path | int

MonitorFactory = Callable[[int], RunMonitor]
"""Called before a source is opened, with its index; returns its monitor, which is called from another thread."""


def track_all_to_files(
    sources: Sequence[Uri], config: Config, monitor: MonitorFactory = lambda _: RunMonitor()
) -> Generator[tuple[int, RunResult | InputError]]:
    """Tracks several sources at the same time, and writes for each what `track_to_files` writes for it alone.

    The networks are loaded once and analyze frames of several sources together. Cameras and addresses are all tracked
    at once, of the other sources `config.source.max_parallel`; memory is that of so many runs.

    Args:
        sources: See `track`. The results of one are in tracked/NAME/, of a second one of the same name in
            tracked/NAME-2/.
        config: The settings for all of them. Outputs that it names must contain {name}.
        monitor: See `MonitorFactory`. Once a monitor stops its run, no further source is started.

    Yields:
        When a source is done, its index in `sources`, and its result or the error that ended it; the others go on.
        Leaving the loop early ends them all: what was written so far is kept and plays.

    Raises:
        InputError: The settings, an address, or the networks cannot be used for any of them, or single images were
            given.

    Example:
        >>> from tracker import Config, track_all_to_files
        >>> for number, result in track_all_to_files(["a.mp4", "b.mp4"], Config()):  # doctest: +SKIP
        ...     print(number, result)
    """
    check_config(config)
    _check_images(sources)
    _check_outputs(config, len(sources))
    yield from _MultiSourceRunner(sources, config, monitor).results()


def _check_images(sources: Sequence[Uri]) -> None:
    images = [Path(source) for source in sources if not isinstance(source, int) and source_kind(source) == "image"]
    if len(images) > 1:
        pattern = images[0].with_name(f"*{images[0].suffix}")
        raise InputError(
            f"{images[0]} and {len(images) - 1} more are single images, each a source of its own: give their "
            f"folder, or a pattern in quotes, such as '{pattern}'"
        )


def _check_outputs(config: Config, count: int) -> None:
    for path in (*config.output.output, *filter(None, [config.output.detections])):
        if count > 1 and "{name}" not in path:
            with_name = Path(path).with_name(f"{{name}}{Path(path).suffix}")
            raise InputError(
                f"{count} sources cannot all be written to {path}: give '{with_name}', where {{name}} stands for the "
                "name of each, or leave it out"
            )


def distinct_names(sources: Sequence[Uri]) -> list[str]:
    """Returns the names of sources; a later one of the same name gets a number.

    Raises:
        InputError: See `source_name`.
    """
    names: list[str] = []
    for source in sources:
        names.append(next(name for name in numbered_names(source_name(source)) if name not in names))
    return names


class _Cancelled(Exception):
    """Ends a run at once."""


class _CancellableMonitor(RunMonitor):
    """Passes everything on to another monitor, until all runs are cancelled."""

    def __init__(self, monitor: RunMonitor, runner: "_MultiSourceRunner") -> None:
        self._monitor = monitor
        self._runner = runner

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
        return False


class _MultiSourceRunner:
    """Runs over several sources, each in a thread; the caller's thread starts them and loads the networks."""

    def __init__(self, sources: Sequence[Uri], config: Config, monitor: MonitorFactory) -> None:
        self._sources = sources
        self._names = distinct_names(sources)
        self._config = config
        self._monitor = monitor
        kinds = [source_kind(source) for source in sources]
        self._files = [
            Path(str(path)).expanduser() for path, kind in zip(sources, kinds, strict=True) if kind == "video"
        ]
        # A source without an end need not wait for others to end.
        self._endless = [kind in ("camera", "url") for kind in kinds]
        self._waiting = deque(sorted(range(len(sources)), key=lambda number: not self._endless[number]))
        self._running: dict[Future[RunResult], int] = {}
        self._folders: list[Path] = []
        self._networks_needed: Future[None] = Future()  # done when the first run needs the networks
        self._batcher: Future[DynamicBatcher] = Future()
        self._no_more = Event()  # no further run is to be started
        self._cancelled = Event()  # all runs are to end at once

    def results(self) -> Generator[tuple[int, RunResult | InputError]]:
        """Yields index and result of each source that is done."""
        with ExitStack() as stack:
            networks = stack.enter_context(ExitStack())
            pool = stack.enter_context(ThreadPoolExecutor(max(1, len(self._sources)), "track"))
            stack.callback(self._cancel)
            while self._start_some(pool):
                awaited: list[Future[Any]] = list(self._running)
                if not self._batcher.done():
                    awaited.append(self._networks_needed)
                done = wait(awaited, return_when=FIRST_COMPLETED).done.pop()
                if done in self._running:
                    yield self._running.pop(done), _result(done)
                else:
                    analyzer = networks.enter_context(NetworkAnalyzer(self._config))
                    self._batcher.set_result(networks.enter_context(DynamicBatcher(analyzer)))

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
            monitor = _CancellableMonitor(self._monitor(number), self)
            try:
                folder = make_results_folder(self._config.output, source_name(self._sources[number]), self._folders)
            except InputError as error:
                run: Future[RunResult] = Future()
                run.set_exception(error)
            else:
                self._folders += [folder] if folder else []
                run = pool.submit(self._run, number, monitor, folder)
            self._running[run] = number
        return bool(self._running)

    def _may_start(self, number: int) -> bool:
        files = sum(not self._endless[other] for other in self._running.values())
        return self._endless[number] or files < self._config.source.max_parallel

    def _run(self, number: int, monitor: RunMonitor, folder: Path | None) -> RunResult:
        config = self._config.with_name(self._names[number])
        with ExitStack() as stack:
            stack.callback(remove_empty_folder, folder)
            source = stack.enter_context(open_source(self._sources[number], config.source, config.detector.threads))
            return FileRun(source, config, self._load, monitor, self._files, folder).run()

    def _load(self) -> BatcherClient:
        with suppress(InvalidStateError):  # another run was the first one
            self._networks_needed.set_result(None)
        return BatcherClient(self._batcher.result())

    def _cancel(self) -> None:
        self._cancelled.set()
        self._batcher.cancel()
        # An interrupt in the pool's own wait would make Python believe that its threads have ended.
        wait(self._running)


def _result(run: Future[RunResult]) -> RunResult | InputError:
    error = run.exception()
    return error if isinstance(error, InputError) else run.result()
