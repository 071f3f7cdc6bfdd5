"""Devices of networks, the upload of images to them, and the threads that run networks on the CPU."""

import ctypes
import logging
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Settings of glibc's allocator: numbers of mallopt's parameters in malloc.h, and their values.
MALLOPT = {
    -4: 0,  # M_MMAP_MAX: no block is mapped separately, which would be returned when freed and come back zeroed
    -1: 512 * 2**20,  # M_TRIM_THRESHOLD: free bytes at the end of the heap from which they are returned
    -2: 64 * 2**20,  # M_TOP_PAD: bytes by which the heap grows beyond the request
    -8: 1,  # M_ARENA_MAX: threads share one heap, because a thread's own heap is returned whenever it is empty
}


class AnyDevice(Protocol):
    """A device of a network: PyTorch's, or the CPU without PyTorch. Its text is the device's name."""

    @property
    def type(self) -> str:
        """The kind of device: cpu, cuda or mps."""


class Cpu(NamedTuple):
    """The CPU, where no PyTorch is needed."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


def find_device(name: str) -> AnyDevice:
    """Returns the device of a name like `choose_device`, but the CPU without importing PyTorch.

    Raises:
        InputError: The name is unknown, this machine has no such device, or PyTorch is not installed.

    Example:
        >>> str(find_device("cpu"))
        'cpu'
    """
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return Cpu()
    require_torch(f"the device {name}")
    return choose_device(name)


def require_torch(what: str) -> None:
    """Checks that PyTorch is installed.

    Raises:
        InputError: It is not, and `what` needs it.
    """
    missing = [package for package in ("torch", "torchvision") if find_spec(package) is None]
    if missing:
        raise InputError(f"{what} needs the package {missing[0]}: pip install torch torchvision")


def _may_have_gpu() -> bool:
    """Returns False where PyTorch, which takes seconds to import, would find no GPU."""
    if find_spec("torch") is None:
        return False
    if "torch" in sys.modules:
        return choose_device("auto").type != "cpu"
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return Path("/dev/kfd").exists() or _has_cuda()  # ROCm or CUDA


def _has_cuda() -> bool:
    """Returns True if there is a CUDA driver. To ask it for devices would keep forked processes from using them."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(name: str) -> "torch.device":
    """Returns PyTorch's device of a name: auto, cpu, cuda, cuda:N or N, or mps; auto is the first GPU if there is one.

    Raises:
        InputError: The name is unknown or this machine has no such device.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(f"cuda:{name}" if name.isdecimal() else name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(
        device.type
    )
    if count is None:
        raise InputError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps")
    if (device.index or 0) >= count:
        raise InputError(f"this machine has no device {name!r} (PyTorch sees {count} of type {device.type})")
    return device


def use_half_precision(precision: str, device: AnyDevice) -> bool:
    """Returns True if networks run in half precision; `precision` is auto, fp32 or half."""
    return precision == "half" or (precision == "auto" and device.type == "cuda")


def upload(images: Sequence[NDArray[np.uint8]], device: "torch.device") -> "list[torch.Tensor]":
    """Converts images (H, W, 3) RGB to uint8 tensors (3, H, W) on a device; on the CPU without a copy.

    Uploads to a CUDA device come from page-locked memory and are asynchronous.
    """
    import torch

    arrays = [image if image.flags.writeable else image.copy() for image in images]  # torch needs writable arrays
    tensors = [torch.from_numpy(array) for array in arrays]
    if device.type == "cuda":
        tensors = [tensor.pin_memory() for tensor in tensors]
    return [tensor.to(device, non_blocking=True).permute(2, 0, 1) for tensor in tensors]


def tune_malloc() -> None:
    """Makes this process reuse memory that layers free, instead of returning it to the system; may be called twice.

    A layer's output takes megabytes. By default glibc requests blocks of that size from the system and returns them at
    once, page by page. Other C libraries behave differently and are not changed. Neither is glibc if an environment
    variable MALLOC_... or GLIBC_TUNABLES is set: then the user has decided.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = ctypes.CDLL(None).mallopt
    refused = [parameter for parameter, value in MALLOPT.items() if not mallopt(parameter, value)]
    if refused:
        log.info("the C library does not support the malloc settings %s", refused)


def inference_executor(device: AnyDevice, threads: int, name: str) -> ThreadPoolExecutor:
    """Returns threads that run networks on images, on the CPU each on one core.

    One thread on one core computes the same bits for an image however many other images are computed at the same time.
    Two cores on one image could split its sums in another way than one does.

    Args:
        device: The device of the networks; devices other than the CPU get one thread.
        threads: Number of threads on the CPU, 0 for the number of cores.
        name: Prefix of the threads' names, for debuggers.
    """
    if device.type != "cpu":
        return ThreadPoolExecutor(1, name)
    tune_malloc()
    return ThreadPoolExecutor(count_threads(threads), name, initializer=_use_one_core)


def count_threads(threads: int) -> int:
    """Returns the number of threads that a setting means; 0 means one per core."""
    return threads or os.cpu_count() or 1


def _use_one_core() -> None:
    if torch := sys.modules.get("torch"):  # otherwise there is nothing that PyTorch computes
        torch.set_num_threads(1)
