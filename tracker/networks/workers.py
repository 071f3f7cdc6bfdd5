"""Threads that compute one picture each."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch

from tracker.networks.allocation import keep_memory


def picture_workers(device: torch.device, threads: int, name: str) -> ThreadPoolExecutor:
    """Threads for work on pictures, on the CPU each with one core to itself.

    A picture that is computed alone, by one thread on one core, gives the same bits however many others are
    computed beside it. Two cores on one picture could split its sums in another way than one does.

    Args:
        device: Where the networks run; devices other than the CPU get one thread.
        threads: How many on the CPU, 0 for as many as there are cores.
        name: Of the threads, for debuggers.
    """
    if device.type != "cpu":
        return ThreadPoolExecutor(1, name)
    keep_memory()
    return ThreadPoolExecutor(count_threads(threads), name, initializer=_one_core)


def count_threads(threads: int) -> int:
    """How many threads that is; 0 stands for as many as there are cores."""
    return threads or os.cpu_count() or 1


def _one_core() -> None:
    torch.set_num_threads(1)
