"""Workers of a batch as actors of a Ray cluster, which places them by their resources and starts dead ones again."""

import logging
import socket
from concurrent.futures import Future
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from tracker.config import Config
from tracker.errors import InputError
from tracker.pipeline.batch.pools import WorkerDied, WorkerPool, share_cores
from tracker.pipeline.batch.task import Outcome, Task

log = logging.getLogger(__name__)
_ray: Any = ray  # whose types know neither `nodes` nor all options of actors
_CORES = 4
"""Cores of a worker where there are no GPUs and nobody says how many workers there are."""
_ANSWER = 10.0
"""Seconds for a node to answer."""
_TOLD_AFTER, _PLACING = 60.0, 900.0
"""Seconds for the cluster to start the workers, after which it is told that they are waited for, and at most: one that
adds machines as they are needed takes minutes."""


class RayPool(WorkerPool):
    """Workers on the nodes of a Ray cluster: one for each GPU, or else for each group of cores.

    Sources and results have to be under the same paths on all nodes. The workers end with the driver.
    """

    def __init__(self, config: Config, size: int, address: str, actor: type | None = None) -> None:
        """Connects to a cluster, and places the workers.

        Args:
            config: All settings.
            size: Number of workers; 0 for as many as there are GPUs, or groups of 4 cores.
            address: `local` for a cluster on this machine that ends with the batch, `auto` for the one that runs here,
                or the address of a node.
            actor: The class of the actors, which takes what `RayWorker` does; None for that one.

        Raises:
            InputError: There is no such cluster, or it is too small.
        """
        _check_reachable(address)
        try:
            # In "local", a cluster that runs on this machine already is left alone.
            options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, RayError, OSError, ValueError, RuntimeError) as error:
            text = str(error).splitlines()[0]
            raise InputError(f"--ray {address}: there is no Ray cluster that can be reached ({text})") from None
        try:
            nodes = [node["Resources"] for node in _ray.nodes() if node["Alive"]]
            gpus = int(sum(node.get("GPU", 0) for node in nodes))
            cores = [int(node.get("CPU", 0)) for node in nodes]
            self.size = size or gpus or max(1, sum(cores) // _CORES)
            each = cores_of_workers(cores, self.size)
            if not each:
                raise InputError(f"--workers {self.size}: the Ray cluster has {sum(cores)} cores, one for each at most")
            options = {"num_cpus": each, "num_gpus": min(1.0, gpus / self.size)}
            shared = share_cores(config, each, 1)
            # Two calls at a time, since `stop` comes while `run` is at work.
            options |= {"max_restarts": -1, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
            remote = _ray.remote(**options)(actor or RayWorker)
            self._actors = [remote.remote(shared, number + 1) for number in range(self.size)]
            ready = [each.name.remote() for each in self._actors]
            if (started := len(ray.wait(ready, num_returns=self.size, timeout=_TOLD_AFTER)[0])) < self.size:
                log.warning("waiting for the Ray cluster, which has started %d of %d workers", started, self.size)
                started = len(ray.wait(ready, num_returns=self.size, timeout=_PLACING - _TOLD_AFTER)[0])
            if started < self.size:
                raise InputError(f"the Ray cluster did not start {self.size} workers within {_PLACING:g} s: give fewer")
        except BaseException:
            ray.shutdown()
            raise

    def submit(self, worker: int, task: Task) -> Future[Outcome]:
        outcome: Future[Outcome] = Future()
        actor = self._actors[worker]

        def pass_on(ended: Future[Outcome]) -> None:
            if not _is_death(ended.exception()):
                _pass_on(ended, outcome)
                return
            # Until the worker has started again, Ray would refuse each further try at once.
            restarted = actor.name.options(max_task_retries=-1).remote()
            restarted.future().add_done_callback(lambda _: _pass_on(ended, outcome))

        actor.run.remote(task).future().add_done_callback(pass_on)
        return outcome

    def stop(self) -> None:
        for actor in self._actors:
            actor.stop.remote()

    def close(self) -> None:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises an InputError for an address at which nobody answers, which Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray {address}: there is no Ray cluster that can be reached ({error})") from None


def cores_of_workers(cores: list[int], workers: int) -> int:
    """Returns how many cores each worker can have on nodes of so many cores; 0 if there are too few.

    Example:
        >>> cores_of_workers([16, 8], workers=3), cores_of_workers([1, 1], workers=2), cores_of_workers([2], workers=4)
        (8, 1, 0)
    """
    return next((each for each in range(max(cores, default=0), 0, -1) if sum(n // each for n in cores) >= workers), 0)


def _is_death(error: BaseException | None) -> bool:
    """Returns True for the error of a worker that died, and not for one that its task raised."""
    return isinstance(error, RayActorError | RayError) and not isinstance(error, RayTaskError)


def _pass_on(ended: Future[Outcome], outcome: Future[Outcome]) -> None:
    error = ended.exception()
    if error is None:
        outcome.set_result(ended.result())
    elif _is_death(error):
        outcome.set_exception(WorkerDied("its worker died: it was killed, ran out of memory, or its node was lost"))
    else:
        outcome.set_exception(error)


class RayWorker:
    """A `BatchWorker` on a node."""

    def __init__(self, config: Config, number: int) -> None:
        from tracker.pipeline.batch.worker import BatchWorker  # the driver does not need the networks

        self._name = f"{socket.gethostname()}:{number}"
        self._worker = BatchWorker(config, self._name)

    def name(self) -> str:
        return self._name

    def run(self, task: Task) -> Outcome:
        return self._worker.run(task)

    def stop(self) -> None:
        self._worker.stop()
