"""Where networks run, and how pictures get there."""

from collections.abc import Sequence

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
