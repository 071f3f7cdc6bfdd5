"""Two stages at once: bounded queues between threads, each with one owner, who ends it and hears of its errors."""

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
    """How much waited between two stages: a full queue waits for who takes from it, an empty one for who fills it.

    Attributes:
        room: Most that can wait.
        highest: Most that did.
        asked: How often somebody looked: whenever something was taken, or handed over.
        waited: What waited at these moments, in all.
    """

    room: int
    highest: int = 0
    asked: int = 0
    waited: int = 0

    @property
    def mean(self) -> float:
        """What waited on average."""
        return self.waited / max(self.asked, 1)

    def note(self, waiting: int) -> None:
        """Counts a look at the queue."""
        self.highest = max(self.highest, waiting)
        self.asked += 1
        self.waited += waiting


Fills = dict[str, QueueStats]
"""By the name of a queue. One that has no thread, since each item is done when it is asked for, has none."""


def prefetch(items: Generator[T], room: int, name: str, queue_stats: Fills | None = None) -> Generator[T]:
    """The items, computed in a thread of their own before they are asked for.

    The thread begins with the first item that is asked for. Closing this generator, which its exhaustion and its errors
    do too, waits for the item in work, ends the thread, and closes `items`.

    Args:
        items: What is computed; nobody else may touch it any more.
        room: Most items that are in work or wait to be taken; 0 computes each when it is asked for, without a thread.
        name: Of the thread, for debuggers, and of the queue.
        queue_stats: Where to note how full the queue is.

    Raises:
        BaseException: What `items` raised, after all items before that.
    """
    with closing(items):
        if room:
            yield from _computed(items, room, name, _fill(queue_stats, room, name))
        else:
            yield from items


def _fill(queue_stats: Fills | None, room: int, name: str) -> QueueStats:
    """The note on a queue; a source that is read twice has one for both times."""
    return QueueStats(room) if queue_stats is None else queue_stats.setdefault(name, QueueStats(room))


def _computed(items: Iterator[T], room: int, name: str, fill: QueueStats) -> Generator[T]:
    made = taken = 0

    def compute() -> list[T]:
        nonlocal made
        item = list(islice(items, 1))
        made += len(item)
        return item

    with ThreadPoolExecutor(1, name) as pool:
        waiting = deque(pool.submit(compute) for _ in range(room))
        try:
            fill.note(made - taken)
            while item := waiting[0].result():
                waiting.popleft()
                taken += 1
                waiting.append(pool.submit(compute))
                yield item.pop()  # and keep no hold of it
                fill.note(made - taken)
        finally:
            # An interrupt in the pool's own wait would make Python take the thread for ended.
            wait([future for future in waiting if not future.cancel()])


class BackgroundWorker:
    """Does work in a thread of its own, in the order in which it is handed over.

    A context manager: leaving it waits until all that was handed over is done, after an error too, and ends the thread.
    After work that raised no more is done.
    """

    def __init__(self, room: int, name: str, queue_stats: Fills | None = None) -> None:
        """Starts without work.

        Args:
            room: Most pieces of work that are handed over and not done; 0 does each at once, without a thread.
            name: Of the thread, for debuggers, and of the queue.
            queue_stats: Where to note how full the queue is.
        """
        self._room = room
        self._fill = _fill(queue_stats if room else None, room, name)
        self._pool = ThreadPoolExecutor(1, name)
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def __call__(self, work: Callable[[], None]) -> None:
        """Hands work over, once there is room for it.

        Raises:
            BaseException: What earlier work raised; this is then not done.
        """
        if not self._room:
            work()
            return
        self._fill.note(sum(not future.done() for future in self._waiting))
        self._wait_for_all_but(self._room - 1)
        self._waiting.append(self._pool.submit(self._do, work))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pool:
            if error is None:  # else the first error is the one to tell
                self._wait_for_all_but(0)

    def _wait_for_all_but(self, left: int) -> None:
        while self._waiting and (len(self._waiting) > left or self._waiting[0].done()):
            self._waiting.popleft().result()

    def _do(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except BaseException:
            self._failed = True
            raise
