"""Threads that work ahead of and behind their owner: order, bounds, errors, and that none is left."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial

import pytest

from tracker.pipeline.prefetch import BackgroundWorker, Fills, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def numbers(count: int, made: list[int], closed: list[str], error: type[BaseException] | None = None) -> Generator[int]:
    try:
        for number in range(count):
            made.append(number)
            yield number
        if error is not None:
            raise error("after the last")
    finally:
        closed.append("closed")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("room", [1, 3])
def test_items_come_in_order_and_no_more_are_made_than_there_is_room_for(room: int) -> None:
    made: list[int] = []
    with closing(prefetch(numbers(20, made, []), room, "numbers")) as items:
        for taken, item in enumerate(items, 1):
            assert item == taken - 1
            most = min(taken + room, 20)
            until(lambda most=most: len(made) == most)  # type: ignore[misc]
            time.sleep(0.002)
            assert len(made) == most
    assert taken == 20


def test_without_room_there_is_no_thread() -> None:
    made: list[int] = []
    closed: list[str] = []
    before = threading.active_count()
    with closing(prefetch(numbers(9, made, closed), 0, "numbers")) as items, BackgroundWorker(0, "work") as later:
        for item in items:
            later(partial(made.append, 10 * item))
            assert made[-2:] == [item, 10 * item] and threading.active_count() == before
            if item == 4:
                break
    assert closed == ["closed"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_comes_after_the_items_before_it(error: type[BaseException]) -> None:
    closed: list[str] = []
    got: list[int] = []
    with pytest.raises(error, match="after the last"):
        got.extend(prefetch(numbers(5, [], closed, error), 2, "numbers"))
    assert got == list(range(5)) and closed == ["closed"]


def test_leaving_early_closes_the_items() -> None:
    made: list[int] = []
    closed: list[str] = []
    items = prefetch(numbers(99, made, closed), 4, "numbers")
    assert next(items) == 0
    items.close()
    assert len(made) < 7 and closed == ["closed"]
    unused = prefetch(numbers(99, made, closed), 4, "numbers")
    unused.close()
    assert len(made) < 7


def test_one_thread_ahead_of_another() -> None:
    closed: list[str] = []

    def doubled(items: Generator[int]) -> Generator[int]:
        with closing(items):
            yield from (2 * item for item in items)

    inner = prefetch(numbers(99, [], closed), 2, "inner")
    with closing(prefetch(doubled(inner), 1, "outer")) as items:
        assert [next(items) for _ in range(9)] == list(range(0, 18, 2))
    assert closed == ["closed"]


def test_a_program_that_ends_with_items_left_does_not_hang() -> None:
    code = "from tracker.pipeline.prefetch import ahead; i = ahead((n for n in range(9)), 2, 'n'); print(next(i))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")


def test_work_is_done_in_order_and_never_far_behind() -> None:
    done: list[int] = []
    gate = threading.Semaphore(0)

    def work(number: int) -> None:
        assert gate.acquire(timeout=30)
        done.append(number)

    with BackgroundWorker(3, "work") as later:
        for number in range(10):
            if number >= 3:
                gate.release()
            later(partial(work, number))
            assert len(done) >= number - 2
        gate.release(3)
    assert done == list(range(10))


def test_after_an_error_nothing_more_is_done_and_the_owner_hears_of_it() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 2:
            raise ValueError("number 2")
        done.append(number)

    with pytest.raises(ValueError, match="number 2"), BackgroundWorker(4, "work") as later:
        for number in range(99):
            later(partial(work, number))
    with pytest.raises(ValueError, match="number 2"), BackgroundWorker(4, "work") as later:
        later(partial(work, 1))
        later(partial(work, 2))
    assert done == [0, 1, 1]


def test_the_owners_error_leaves_nothing_undone_and_goes_before_others() -> None:
    done: list[int] = []
    with pytest.raises(KeyError), BackgroundWorker(4, "work") as later:
        later(partial(done.append, 1))
        later(partial(done.append, 2))
        later(partial(int, "no number"))  # type: ignore[arg-type]
        raise KeyError
    assert done == [1, 2]


def test_a_full_queue_waits_for_who_takes_from_it() -> None:
    made: list[int] = []
    queue_stats: Fills = {}
    with closing(prefetch(numbers(20, made, []), 3, "numbers", queue_stats)) as items:
        for taken, _ in enumerate(items, 1):
            until(lambda taken=taken: len(made) == min(taken + 3, 20))  # type: ignore[misc]
            time.sleep(0.005)
    fill = queue_stats["numbers"]
    assert (fill.room, fill.highest, fill.asked) == (3, 3, 21)
    assert 2 < fill.mean < 3  # nothing was there at first, and ever less at the end


def test_an_empty_queue_waits_for_who_fills_it() -> None:
    def slow() -> Generator[int]:
        for number in range(10):
            time.sleep(0.02)
            yield number

    queue_stats: Fills = {}
    assert list(prefetch(slow(), 3, "slow", queue_stats)) == list(range(10))
    assert queue_stats["slow"].mean < 0.5


def test_how_far_work_is_behind() -> None:
    gate = threading.Semaphore(0)
    queue_stats: Fills = {}
    with BackgroundWorker(3, "work", queue_stats) as later:
        for _ in range(3):  # meets 0, 1 and 2 that are not done
            later(partial(gate.acquire, timeout=30))  # type: ignore[arg-type]
        gate.release(3)
    assert (queue_stats["work"].asked, queue_stats["work"].highest, queue_stats["work"].mean) == (3, 2, 1.0)


def test_what_has_no_thread_has_no_queue() -> None:
    queue_stats: Fills = {}
    assert list(prefetch(numbers(3, [], []), 0, "numbers", queue_stats)) == [0, 1, 2]
    with BackgroundWorker(0, "work", queue_stats) as later:
        later(lambda: None)
    assert queue_stats == {}
