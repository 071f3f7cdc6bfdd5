"""Several sources at the same time: one set of networks, and of each source the same results as alone."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, ParamSpec

from tracker.config import Config
from tracker.errors import InputError
from tracker.output import numbered, remove_if_empty, results_folder
from tracker.pipeline.analyzer import check_config
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.file_run import Looker, RunResult, Watcher, run_to_files
from tracker.pipeline.networks import Pipeline
from tracker.video import kind_of, name_of, open_source

P = ParamSpec("P")
Spec = str | Path | int

Begin = Callable[[int], tuple[Watcher, Looker]]
"""Is called before a source is opened, with its place among all; gives what watches it, in a thread of its own."""


def track_all_to_files(
    sources: Sequence[Spec], config: Config, begin: Begin = lambda _: (lambda *_: True, lambda *_: True)
) -> Generator[tuple[int, RunResult | InputError]]:
    """Tracks several sources at the same time, and writes of each what `track_to_files` writes of it alone.

    The networks are loaded once and look at frames of several sources together. Cameras and addresses are all tracked
    at once, of the others `config.source.max_parallel`; memory is that of so many runs.

    Args:
        sources: Each as for `track`. The results of one are in tracked/NAME/, of a second one of the same name in
            tracked/NAME-2/.
        config: The settings for all of them. Outputs that it names must hold {name}.
        begin: See `Begin`. Where a watcher ends a run, sources that have not begun are left out.

    Yields:
        When a source is done, its place in `sources`, and its outcome or the error that ended it; the others go on.
        Leaving the loop early ends them all: what was written so far is kept and plays.

    Raises:
        InputError: The settings, an address, or the networks cannot be used for any of them, or single pictures were
            given.
    """
    check_config(config)
    _check_pictures(sources)
    _check_outputs(config, len(sources))
    yield from _MultiSourceRunner(sources, config, begin).results()


def _check_pictures(sources: Sequence[Spec]) -> None:
    pictures = [Path(source) for source in sources if not isinstance(source, int) and kind_of(source) == "picture"]
    if len(pictures) > 1:
        pattern = pictures[0].with_name(f"*{pictures[0].suffix}")
        raise InputError(
            f"{pictures[0]} and {len(pictures) - 1} more are single pictures, each a source of its own: give their "
            f"folder, or a pattern in quotes, such as '{pattern}'"
        )


def _check_outputs(config: Config, count: int) -> None:
    for place in (*config.output.output, *filter(None, [config.output.detections])):
        if count > 1 and "{name}" not in place:
            named = Path(place).with_name(f"{{name}}{Path(place).suffix}")
            raise InputError(
                f"{count} sources cannot all be written to {place}: give '{named}', where {{name}} stands for the "
                "name of each, or leave it out"
            )


def distinct_names(sources: Sequence[Spec]) -> list[str]:
    """The names of sources; what comes later under the same name gets a number.

    Raises:
        InputError: As `name_of`.
    """
    names: list[str] = []
    for source in sources:
        names.append(next(name for name in numbered(name_of(source)) if name not in names))
    return names


class _Cancelled(Exception):
    """Ends a run at once."""


class _MultiSourceRunner:
    """Runs over several sources, each in a thread of its own; the caller's thread begins them and loads networks."""

    def __init__(self, sources: Sequence[Spec], config: Config, begin: Begin) -> None:
        self._sources = sources
        self._names = distinct_names(sources)
        self._config = config
        self._begin = begin
        kinds = [kind_of(source) for source in sources]
        self._files = [
            Path(str(path)).expanduser() for path, kind in zip(sources, kinds, strict=True) if kind == "video"
        ]
        # What goes on as long as it likes need not wait for others to end.
        self._endless = [kind in ("camera", "address") for kind in kinds]
        self._waiting = deque(sorted(range(len(sources)), key=lambda number: not self._endless[number]))
        self._running: dict[Future[RunResult], int] = {}
        self._folders: list[Path] = []
        self._needed: Future[None] = Future()  # is done when a run needs the networks
        self._host: Future[DynamicBatcher] = Future()
        self._stop_starting = Event()  # no other run is to begin
        self._over = Event()  # all are to end at once

    def results(self) -> Generator[tuple[int, RunResult | InputError]]:
        with ExitStack() as stack:
            networks = stack.enter_context(ExitStack())
            pool = stack.enter_context(ThreadPoolExecutor(max(1, len(self._sources)), "track"))
            stack.callback(self._end)
            while self._begin_some(pool):
                awaited: list[Future[Any]] = [*self._running, *([] if self._host.done() else [self._needed])]
                for done in wait(awaited, return_when=FIRST_COMPLETED).done:
                    if done in self._running:
                        yield self._running.pop(done), _result(done)
                    else:
                        pipeline = networks.enter_context(Pipeline(self._config))
                        self._host.set_result(networks.enter_context(DynamicBatcher(pipeline)))

    def _begin_some(self, pool: ThreadPoolExecutor) -> bool:
        """Begins runs for which there is room; whether any is going on then."""
        while self._waiting and not self._stop_starting.is_set() and self._has_room(self._waiting[0]):
            number = self._waiting.popleft()
            watch, look = self._begin(number)
            try:
                folder = results_folder(self._config.output, name_of(self._sources[number]), self._folders)
            except InputError as error:
                run: Future[RunResult] = Future()
                run.set_exception(error)
            else:
                self._folders += [folder] if folder else []
                run = pool.submit(self._run, number, self._cancellable(watch), self._cancellable(look), folder)
            self._running[run] = number
        return bool(self._running)

    def _has_room(self, number: int) -> bool:
        files = sum(not self._endless[other] for other in self._running.values())
        return self._endless[number] or files < self._config.source.max_parallel

    def _run(self, number: int, watch: Watcher, look: Looker, folder: Path | None) -> RunResult:
        config = self._config.naming(self._names[number])
        with ExitStack() as stack:
            stack.callback(remove_if_empty, folder)
            source = stack.enter_context(open_source(self._sources[number], config.source, config.detector.threads))
            return run_to_files(source, self._files, config, partial(self._load, config), watch, look, folder)

    def _load(self, config: Config) -> BatcherClient:
        with suppress(InvalidStateError):  # another run was the first one
            self._needed.set_result(None)
        return BatcherClient(self._host.result(), config.output)

    def _cancellable(self, ask: Callable[P, bool]) -> Callable[P, bool]:
        """The same question, by whose answers no other run is begun, and which is not asked after the end of all."""

        def asked(*arguments: P.args, **named: P.kwargs) -> bool:
            if self._over.is_set():
                raise _Cancelled
            if ask(*arguments, **named):
                return True
            self._stop_starting.set()
            return False

        return asked

    def _end(self) -> None:
        self._over.set()
        self._host.cancel()
        # An interrupt in the pool's own wait would make Python take its threads for ended.
        wait(self._running)


def _result(run: Future[RunResult]) -> RunResult | InputError:
    error = run.exception()
    return error if isinstance(error, InputError) else run.result()
