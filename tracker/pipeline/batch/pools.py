"""Workers of a batch as processes of this machine, and the interface that those of a Ray cluster share."""

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Self

from tracker.config import Config
from tracker.pipeline.batch.task import Outcome, Task


class WorkerDied(Exception):
    """An error for a worker that ended in the middle of a task: it was killed, or a library crashed."""


class WorkerPool(ABC):
    """Workers by number, each of which does one task at a time. A worker that died is replaced by a new one.

    Attributes:
        size: Number of workers.
    """

    size: int

    @abstractmethod
    def submit(self, worker: int, task: Task) -> Future[Outcome]:
        """Hands a task to a worker that has none.

        The future raises `WorkerDied`, or the error of a bug; the worker can have another task all the same.
        """

    @abstractmethod
    def stop(self) -> None:
        """Asks all workers to end their tasks after the current frames."""

    @abstractmethod
    def close(self) -> None:
        """Ends the workers, also in the middle of their tasks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProcessPool(WorkerPool):
    """Workers that are processes of this machine."""

    def __init__(self, config: Config, size: int) -> None:
        """Takes all settings and the number of workers, which share the CPU's cores; they start with their tasks."""
        self.size = size
        self._config = share_cores(config, os.cpu_count() or 1, size)
        self._pools: list[ProcessPoolExecutor | None] = [None] * size
        self._pids: list[int] = [0] * size
        self._busy: set[int] = set()

    def submit(self, worker: int, task: Task) -> Future[Outcome]:
        outcome: Future[Outcome] = Future()
        self._busy.add(worker)
        try:
            done = self._pool(worker).submit(_run, task)
        except BrokenProcessPool:  # it died while it had no task
            self._end(worker)
            done = self._pool(worker).submit(_run, task)
        done.add_done_callback(lambda ended: self._pass_on(worker, ended, outcome))
        return outcome

    def stop(self) -> None:
        for pid in filter(None, self._pids):
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        for worker, pid in enumerate(self._pids):
            if worker in self._busy and pid:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for pool in filter(None, self._pools):
            pool.shutdown()

    def _pool(self, worker: int) -> ProcessPoolExecutor:
        """Returns the process of a worker, a pool of one: where it dies, the pools of the others live on."""
        pool = self._pools[worker]
        if pool is None:
            context = multiprocessing.get_context("spawn")  # threads of libraries do not survive a fork
            arguments = self._config, f"{os.uname().nodename if hasattr(os, 'uname') else 'local'}:{worker + 1}"
            pool = self._pools[worker] = ProcessPoolExecutor(1, context, _start, arguments)
            pool.submit(os.getpid).add_done_callback(lambda pid: self._set_pid(worker, pid))
        return pool

    def _set_pid(self, worker: int, pid: Future[int]) -> None:
        if not pid.cancelled() and pid.exception() is None:
            self._pids[worker] = pid.result()

    def _pass_on(self, worker: int, ended: Future[Outcome], outcome: Future[Outcome]) -> None:
        self._busy.discard(worker)
        error = ended.exception() if not ended.cancelled() else WorkerDied("it was ended")
        if isinstance(error, BrokenProcessPool):
            self._end(worker)
            error = WorkerDied("its worker died: it was killed, ran out of memory, or a library crashed")
        if error is None:
            outcome.set_result(ended.result())
        else:
            outcome.set_exception(error)

    def _end(self, worker: int) -> None:
        pool, self._pools[worker], self._pids[worker] = self._pools[worker], None, 0
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def share_cores(config: Config, cores: int, workers: int) -> Config:
    """Returns settings with which each of several workers uses its part of the cores, unless they say how many.

    Example:
        >>> share_cores(Config(), cores=16, workers=4).detector.threads
        4
    """
    if config.detector.threads:
        return config
    detector = config.detector.model_copy(update={"threads": max(1, cores // workers)})
    return config.model_copy(update={"detector": detector})


_worker: Any = None  # of this process, if it is one of a pool


def _start(config: Config, name: str) -> None:
    """Prepares a process for its tasks."""
    global _worker
    from tracker.pipeline.batch.worker import BatchWorker  # the driver does not need the networks

    _worker = BatchWorker(config, name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the driver too, which decides
    signal.signal(signal.SIGTERM, lambda *_: _worker.stop())
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _run(task: Task) -> Outcome:
    outcome: Outcome = _worker.run(task)
    return outcome
