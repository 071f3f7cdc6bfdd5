"""Prefetching and background work in threads: order, bounds, errors, and the end of all threads."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial

import pytest

from tracker.pipeline.prefetch import BackgroundWorker, QueueStats, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def numbers(
    count: int, computed: list[int], closed: list[str], error: type[BaseException] | None = None
) -> Generator[int]:
    try:
        for number in range(count):
            computed.append(number)
            yield number
        if error is not None:
            raise error("after the last")
    finally:
        closed.append("closed")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("size", [1, 3])
def test_items_come_in_order_and_no_more_are_computed_than_the_size_allows(size: int) -> None:
    computed: list[int] = []
    with closing(prefetch(numbers(20, computed, []), size, "numbers")) as items:
        for taken, item in enumerate(items, 1):
            assert item == taken - 1
            most = min(taken + size, 20)
            wait_until(lambda most=most: len(computed) == most)  # type: ignore[misc]
            time.sleep(0.002)
            assert len(computed) == most
    assert taken == 20


def test_size_0_needs_no_thread() -> None:
    computed: list[int] = []
    closed: list[str] = []
    before = set(threading.enumerate())
    with closing(prefetch(numbers(9, computed, closed), 0, "numbers")) as items, BackgroundWorker(0, "work") as worker:
        for item in items:
            worker(partial(computed.append, 10 * item))
            assert computed[-2:] == [item, 10 * item] and set(threading.enumerate()) <= before
            if item == 4:
                break
    assert closed == ["closed"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_comes_after_the_items_before_it(error: type[BaseException]) -> None:
    closed: list[str] = []
    received: list[int] = []
    with pytest.raises(error, match="after the last"):
        received.extend(prefetch(numbers(5, [], closed, error), 2, "numbers"))
    assert received == list(range(5)) and closed == ["closed"]


def test_leaving_early_closes_the_items() -> None:
    computed: list[int] = []
    closed: list[str] = []
    items = prefetch(numbers(99, computed, closed), 4, "numbers")
    assert next(items) == 0
    items.close()
    assert len(computed) < 7 and closed == ["closed"]
    unused = prefetch(numbers(99, computed, closed), 4, "numbers")
    unused.close()
    assert len(computed) < 7


def test_prefetching_from_a_prefetching_generator() -> None:
    closed: list[str] = []

    def doubled(items: Generator[int]) -> Generator[int]:
        with closing(items):
            yield from (2 * item for item in items)

    inner = prefetch(numbers(99, [], closed), 2, "inner")
    with closing(prefetch(doubled(inner), 1, "outer")) as items:
        assert [next(items) for _ in range(9)] == list(range(0, 18, 2))
    assert closed == ["closed"]


def test_a_program_that_ends_with_items_left_does_not_hang() -> None:
    code = "from tracker.pipeline.prefetch import prefetch; i = prefetch((n for n in range(9)), 2, 'n'); print(next(i))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")


def test_work_is_done_in_order_and_the_queue_is_bounded() -> None:
    done: list[int] = []
    gate = threading.Semaphore(0)

    def work(number: int) -> None:
        assert gate.acquire(timeout=30)
        done.append(number)

    with BackgroundWorker(3, "work") as worker:
        for number in range(10):
            if number >= 3:
                gate.release()
            worker(partial(work, number))
            assert len(done) >= number - 2
        gate.release(3)
    assert done == list(range(10))


def test_an_error_ends_the_work_and_is_raised_to_the_owner() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 2:
            raise ValueError("number 2")
        done.append(number)

    with pytest.raises(ValueError, match="number 2"), BackgroundWorker(4, "work") as worker:
        for number in range(99):
            worker(partial(work, number))
    with pytest.raises(ValueError, match="number 2"), BackgroundWorker(4, "work") as worker:
        worker(partial(work, 1))
        worker(partial(work, 2))
    assert done == [0, 1, 1]


def test_after_an_error_of_the_owner_the_work_is_finished_and_that_error_raised() -> None:
    done: list[int] = []
    with pytest.raises(KeyError), BackgroundWorker(4, "work") as worker:
        worker(partial(done.append, 1))
        worker(partial(done.append, 2))
        worker(partial(int, "not a number"))  # type: ignore[arg-type]
        raise KeyError
    assert done == [1, 2]


def test_the_queue_of_a_slow_consumer_is_full() -> None:
    computed: list[int] = []
    queue_stats: dict[str, QueueStats] = {}
    with closing(prefetch(numbers(20, computed, []), 3, "numbers", queue_stats)) as items:
        for taken, _ in enumerate(items, 1):
            wait_until(lambda taken=taken: len(computed) == min(taken + 3, 20))  # type: ignore[misc]
            time.sleep(0.005)
    stats = queue_stats["numbers"]
    assert (stats.size, stats.highest, stats.samples) == (3, 3, 21)
    assert 2 < stats.mean < 3  # it is empty at first, and drains at the end


def test_the_queue_of_a_slow_producer_is_empty() -> None:
    def slow() -> Generator[int]:
        for number in range(10):
            time.sleep(0.02)
            yield number

    queue_stats: dict[str, QueueStats] = {}
    assert list(prefetch(slow(), 3, "slow", queue_stats)) == list(range(10))
    assert queue_stats["slow"].mean < 0.5


def test_the_fill_of_a_worker() -> None:
    gate = threading.Semaphore(0)
    queue_stats: dict[str, QueueStats] = {}
    with BackgroundWorker(3, "work", queue_stats) as worker:
        for _ in range(3):  # finds 0, 1 and 2 unfinished
            worker(partial(gate.acquire, timeout=30))  # type: ignore[arg-type]
        gate.release(3)
    assert (queue_stats["work"].samples, queue_stats["work"].highest, queue_stats["work"].mean) == (3, 2, 1.0)


def test_without_a_thread_there_is_no_queue() -> None:
    queue_stats: dict[str, QueueStats] = {}
    assert list(prefetch(numbers(3, [], []), 0, "numbers", queue_stats)) == [0, 1, 2]
    with BackgroundWorker(0, "work", queue_stats) as worker:
        worker(lambda: None)
    assert queue_stats == {}
