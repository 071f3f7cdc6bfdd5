"""Stages that work at the same time: bounded queues between threads, each with an owner that ends it.

An error in a thread is raised where its results are taken.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


@dataclass
class QueueStats:
    """The fill of a queue between two stages: a full one waits for its consumer, an empty one for its producer.

    Attributes:
        size: Most items that can wait.
        highest: Most items that did wait.
        samples: How often the fill was recorded: whenever an item was taken, or handed over.
        total: Sum of the recorded fills.
    """

    size: int
    highest: int = 0
    samples: int = 0
    total: int = 0

    @property
    def mean(self) -> float:
        """Mean fill."""
        return self.total / max(self.samples, 1)

    def record(self, waiting: int) -> None:
        """Records how many items wait now."""
        self.highest = max(self.highest, waiting)
        self.samples += 1
        self.total += waiting


def prefetch(
    items: Generator[T], size: int, name: str, queue_stats: dict[str, QueueStats] | None = None
) -> Generator[T]:
    """Yields the items of a generator, computed in a thread before they are asked for.

    The thread starts with the first item that is asked for. Closing this generator, which happens too when it ends or
    fails, waits for the item that is being computed, ends the thread, and closes `items`.

    Args:
        items: Computes the items; nothing else may use it any more.
        size: Most items that are being computed or wait; 0 computes each when it is asked for, without a thread.
        name: Name of the thread and of the queue.
        queue_stats: Receives the fill of the queue under its name.

    Raises:
        BaseException: Raised by `items`, after all items before that.

    Example:
        >>> list(prefetch((n * n for n in range(4)), 2, "squares"))
        [0, 1, 4, 9]
    """
    with closing(items):
        if size:
            yield from _computed_ahead(items, size, name, _stats(queue_stats, size, name))
        else:
            yield from items


def _stats(queue_stats: dict[str, QueueStats] | None, size: int, name: str) -> QueueStats:
    """Returns the statistics of a queue; a source that is read twice has one for both times."""
    return QueueStats(size) if queue_stats is None else queue_stats.setdefault(name, QueueStats(size))


def _computed_ahead(items: Iterator[T], size: int, name: str, stats: QueueStats) -> Generator[T]:
    computed = taken = 0

    def compute() -> list[T]:
        nonlocal computed
        item = list(islice(items, 1))
        computed += len(item)
        return item

    with ThreadPoolExecutor(1, name) as pool:
        waiting = deque(pool.submit(compute) for _ in range(size))
        try:
            stats.record(computed - taken)
            while item := waiting[0].result():
                waiting.popleft()
                taken += 1
                waiting.append(pool.submit(compute))
                yield item.pop()  # and keep no reference to it
                stats.record(computed - taken)
        finally:
            # An interrupt in the pool's own wait would make Python believe that the thread has ended.
            wait([future for future in waiting if not future.cancel()])


class BackgroundWorker:
    """Runs functions in one thread, in the order in which they are handed over.

    Leaving it as a context manager waits until everything that was handed over has run, after an error too, and ends
    the thread. After a function that raised, no further one is run.
    """

    def __init__(self, size: int, name: str, queue_stats: dict[str, QueueStats] | None = None) -> None:
        """Starts without work.

        Args:
            size: Most functions that are handed over and have not run; 0 runs each at once, without a thread.
            name: Name of the thread and of the queue.
            queue_stats: Receives the fill of the queue under its name.
        """
        self._size = size
        self._stats = _stats(queue_stats if size else None, size, name)
        self._pool = ThreadPoolExecutor(1, name)
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def __call__(self, function: Callable[[], None]) -> None:
        """Hands a function over, once the queue has space for it.

        Raises:
            BaseException: Raised by an earlier function; this one is then not run.
        """
        if not self._size:
            function()
            return
        self._stats.record(sum(not future.done() for future in self._waiting))
        self._wait_for_all_but(self._size - 1)
        self._waiting.append(self._pool.submit(self._run, function))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pool:
            if error is None:  # otherwise the first error is the one to raise
                self._wait_for_all_but(0)

    def _wait_for_all_but(self, left: int) -> None:
        while self._waiting and (len(self._waiting) > left or self._waiting[0].done()):
            self._waiting.popleft().result()

    def _run(self, function: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            function()
        except BaseException:
            self._failed = True
            raise
