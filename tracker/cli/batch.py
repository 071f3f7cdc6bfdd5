"""`track batch SOURCES`: tracks many files by several workers, and does only what is missing when called again."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from tracker.cli import options
from tracker.cli.console import print_report, report_console, say, say_error
from tracker.cli.progress import ProgressDisplay, ProgressTask
from tracker.cli.signals import SignalState, stop_signals
from tracker.config import BatchConfig, Config, ResultConfig
from tracker.data.claims import claim
from tracker.errors import InputError
from tracker.pipeline.batch.manifest import NAME, Manifest
from tracker.pipeline.batch.plan import Plan, plan_batch
from tracker.pipeline.batch.remote import is_remote, work_folder
from tracker.pipeline.batch.runner import BatchMonitor, BatchRunner
from tracker.pipeline.batch.task import Outcome, Task
from tracker.pipeline.thresholds import with_stored_thresholds

if TYPE_CHECKING:
    from tracker.pipeline.batch.pools import WorkerPool

app = options.CommandApp(name="batch")

Results = Annotated[ResultConfig, options.section("Output")]


@app.default
def batch(
    sources: Annotated[
        tuple[str, ...],
        options.help_text(
            "Video files, folders of videos, or quoted patterns such as 'videos/**/*.mp4' or 's3://bucket/*.mp4'."
        ),
    ],
    /,
    *,
    results: Annotated[
        str,
        Parameter(
            name=("--output", "-o"),
            help="Folder of the results, also s3://BUCKET/NAME: source=NAME/ for each source, and manifest.parquet.",
        ),
    ] = "results",
    dry_run: Annotated[bool, options.help_text("Only tell what would be done.")] = False,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    batch_settings: Annotated[BatchConfig, options.section("Batch")] = BatchConfig(),
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: Results = ResultConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    options.set_quiet(quiet)
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output)
    settings = with_stored_thresholds(settings)
    remote = results.rstrip("/") if is_remote(results) else ""
    folder = work_folder(remote, batch_settings.work) if remote else Path(results).expanduser()
    if dry_run and not remote:
        _print_plan(plan_batch(sources, Manifest(folder / NAME), settings, batch_settings.join_gap))
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the results: {error.strerror}") from None
    with claim(folder):
        manifest = Manifest(folder / NAME, remote)
        if dry_run:
            _print_plan(plan_batch(sources, manifest, settings, batch_settings.join_gap))
            return 0
        plan = plan_batch(sources, manifest, settings, batch_settings.join_gap)
        manifest.write()
        interrupted = _run(plan, manifest, settings, batch_settings, quiet) if plan.todo else 0
    rows = [manifest.get(source) for source in (*(row.source for row in plan.kept), *(t.source for t, _ in plan.todo))]
    counts = Counter(row.status or "not started" for row in rows if row)
    if not quiet:
        _print_results(plan, manifest, counts)
    return interrupted or (0 if counts["done"] == len(rows) else 2)


def _run(plan: Plan, manifest: Manifest, config: Config, settings: BatchConfig, quiet: bool) -> int:
    """Runs the tasks of a plan; returns the exit code of the signal that stopped it, or 0."""
    tasks = [task for task, _ in plan.todo]
    with _open_pool(config, settings, len(tasks)) as pool, stop_signals() as signals, ProgressDisplay(quiet) as display:
        monitor = _ConsoleMonitor(signals, display, len(tasks))
        BatchRunner(pool, manifest, config, settings.split, settings.retries, monitor).run(tasks)
    return signals.exit_code


def _open_pool(config: Config, settings: BatchConfig, tasks: int) -> "WorkerPool":
    size = settings.workers if settings.split else min(settings.workers, tasks)  # no more than can have work
    if settings.ray:
        from tracker.pipeline.batch.ray_pool import RayPool  # of an extra

        return RayPool(config, size, settings.ray)
    from tracker.pipeline.batch.pools import ProcessPool

    return ProcessPool(config, size or 1)


class _ConsoleMonitor(BatchMonitor):
    """Shows how many tasks are done, prints those that failed, and stops the batch on a signal."""

    def __init__(self, signals: SignalState, display: ProgressDisplay, total: int) -> None:
        self._signals = signals
        self._task = ProgressTask(display, "sources")
        self._total = total
        self._done = 0
        signals.graceful = True

    def on_done(self, task: Task, outcome: Outcome) -> None:
        self._done += 1
        self._task.update(self._done, self._total, f"{self._done}/{self._total} sources")
        if outcome.status == "failed":
            say_error(f"track: {_with_source(task.source, outcome.reason)}")

    def on_retry(self, task: Task, reason: str) -> None:
        say_error(f"track: {_with_source(task.source, reason)}; it is tried again")

    def stop_requested(self) -> bool:
        return self._signals.signal != 0


def _with_source(source: str, reason: str) -> str:
    text = " ".join(reason.split())
    return text if source in text else f"{source}: {text}"


def _print_plan(plan: Plan) -> None:
    say(*(f"would track {task.source} into {task.results or task.folder}: {reason}" for task, reason in plan.todo))
    say(f"{len(plan.todo)} to track, {len(plan.kept)} done already")


def _print_results(plan: Plan, manifest: Manifest, counts: Counter[str]) -> None:
    before = len(plan.kept)
    shown: Sequence[tuple[str, int]] = [(status, n) for status, n in counts.most_common() if n]
    lines = [", ".join(f"{n} {status}" for status, n in shown) + (f" ({before} by earlier calls)" if before else "")]
    table = Table(box=None, pad_edge=False)
    for title in ("source", "status", "attempts", "reason"):
        table.add_column(title, justify="right" if title == "attempts" else "left")
    wrong = [row for task, _ in plan.todo if (row := manifest.get(task.source)) and row.status != "done"]
    wrong += [row for row in plan.kept if row.status != "done"]
    for row in wrong:
        table.add_row(row.source, row.status or "not started", str(row.attempts), " ".join(row.reason.split()))
    print_report(report_console(), [*lines, *([table] if wrong else []), f"wrote {_place(manifest)}"])


def _place(manifest: Manifest) -> str:
    return f"{manifest.results}/{NAME}" if manifest.results else str(manifest.path)
