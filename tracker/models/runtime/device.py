"""Where networks run, and how pictures get there."""

import ctypes
import logging
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.errors import InputError


def choose_device(name: str) -> torch.device:
    """A device by name: auto, cpu, cuda, cuda:N or mps. Auto is the first GPU where there is one.

    Raises:
        InputError: The name is unknown or this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(
        device.type
    )
    if count is None:
        raise InputError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps")
    if (device.index or 0) >= count:
        raise InputError(f"this machine has no device {name!r} (PyTorch sees {count} of the kind {device.type})")
    return device


def in_half(precision: str, device: torch.device) -> bool:
    """Whether networks compute in half precision; `precision` is auto, fp32 or half."""
    return precision == "half" or (precision == "auto" and device.type == "cuda")


def upload(images: Sequence[NDArray[np.uint8]], device: torch.device) -> list[torch.Tensor]:
    """Pictures (H, W, 3) RGB -> uint8 tensors (3, H, W) on a device, on the CPU without a copy.

    To a CUDA device they go from page-locked memory: nobody waits until they are there.
    """
    arrays = [image if image.flags.writeable else image.copy() for image in images]  # torch shares no others
    tensors = [torch.from_numpy(array) for array in arrays]
    if device.type == "cuda":
        tensors = [tensor.pin_memory() for tensor in tensors]
    return [tensor.to(device, non_blocking=True).permute(2, 0, 1) for tensor in tensors]


log = logging.getLogger(__name__)

# Numbers of mallopt's parameters in glibc's malloc.h, and their values.
SETTINGS = {
    -4: 0,  # M_MMAP_MAX: no block gets pages of its own, which would be returned with it and come back zeroed
    -1: 512 * 2**20,  # M_TRIM_THRESHOLD: bytes free at the end of the heap from which they are returned
    -2: 64 * 2**20,  # M_TOP_PAD: bytes by which the heap grows beyond what is asked for
    -8: 1,  # M_ARENA_MAX: threads share one heap, for one of their own would be returned whenever it is empty
}


def keep_memory() -> None:
    """Lets this process keep memory that networks give back, for the next layer; once it is done, again does nothing.

    A layer's result takes megabytes. Blocks of that size glibc takes from the system, and returns at once, page by
    page. Other C libraries do otherwise and are left alone, and so is glibc where a variable MALLOC_... or
    GLIBC_TUNABLES is set: then the user has decided.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = ctypes.CDLL(None).mallopt
    refused = [number for number, value in SETTINGS.items() if not mallopt(number, value)]
    if refused:
        log.info("the C library does not know the settings %s of its memory", refused)


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
