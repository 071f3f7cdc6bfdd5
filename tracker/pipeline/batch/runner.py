"""The driver of a batch: hands the tasks to the workers, tries again what failed by chance, and keeps the manifest."""

import logging
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from tracker.config import Config
from tracker.errors import mask_passwords
from tracker.pipeline.batch.manifest import Manifest
from tracker.pipeline.batch.pieces import split_task
from tracker.pipeline.batch.pools import WorkerDied, WorkerPool
from tracker.pipeline.batch.task import Outcome, Task

logger = logging.getLogger(__name__)

_POLL = 0.5
"""Seconds between two questions whether to stop."""


class BatchMonitor:
    """Follows a batch, and can stop it; this base class does neither."""

    def on_done(self, task: Task, outcome: Outcome) -> None:
        """Called after each task, for good: a task that will be tried again is not done."""

    def on_retry(self, task: Task, reason: str) -> None:
        """Called when a task failed and will be tried again."""

    def stop_requested(self) -> bool:
        """Returns True to start no further task, and to end those that run after their current frames."""
        return False


@dataclass
class BatchRunner:
    """Runs the tasks of a batch.

    Attributes:
        pool: The workers.
        manifest: Receives the ends of the tasks.
        split: See `BatchConfig.split`; 0 for none.
        config: All settings.
        retries: How often a task is tried again whose worker died, or that a bug ended. Bad input is not tried again.
        monitor: Follows the batch.
        counts: Number of tasks by status, so far.
    """

    pool: WorkerPool
    manifest: Manifest
    config: Config
    split: float = 0.0
    retries: int = 2
    monitor: BatchMonitor = field(default_factory=BatchMonitor)
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, tasks: Sequence[Task]) -> None:
        """Runs all tasks, in order; returns when they are done, or those that ran when it was stopped.

        Raises:
            InputError: The manifest cannot be written.
        """
        waiting = deque((task, 0) for task in self._split(tasks))  # with the number of failures
        free = deque(range(self.pool.size))
        running: dict[Future[Outcome], tuple[int, Task, int]] = {}
        stopping = False
        try:
            while running or (waiting and not stopping):
                while free and waiting and not stopping:
                    worker, (task, failures) = free.popleft(), waiting.popleft()
                    running[self.pool.submit(worker, task)] = worker, task, failures
                for future in wait(running, _POLL, FIRST_COMPLETED).done:
                    worker, task, failures = running.pop(future)
                    free.append(worker)
                    again = self._finish(future, task, failures, stopping)
                    if again is not None:
                        waiting.append((again, failures + 1))
                if not stopping and self.monitor.stop_requested():
                    stopping = True
                    self.pool.stop()
        finally:
            self.manifest.write()

    def _split(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Yields the tasks, long sources in pieces where some workers would have none."""
        for task in tasks:
            yield from split_task(task, self.config, self.split, self.pool.size // len(tasks) if self.split else 0)

    def _finish(self, future: Future[Outcome], task: Task, failures: int, stopping: bool) -> Task | None:
        """Records the end of a task; returns it if it is to be tried again."""
        error = future.exception()
        if error is None:
            outcome = future.result()
        else:
            reason = _describe(error)
            if failures < self.retries and not stopping:
                self.monitor.on_retry(task, reason)
                return replace(task, attempts=task.attempts + (task.piece is None))
            outcome = Outcome("failed", reason)
        if task.piece is not None:
            return None  # one that failed is detected again with the rest of the source, whose error then counts
        self.manifest.record(task, outcome)
        self.counts[outcome.status] += 1
        self.monitor.on_done(task, outcome)
        return None


def _describe(error: BaseException) -> str:
    if isinstance(error, WorkerDied):
        return str(error)
    logger.error("a bug: %s", mask_passwords("".join(traceback.format_exception(error)).rstrip()))
    return mask_passwords(f"a bug ended it ({type(error).__name__}: {error})")
