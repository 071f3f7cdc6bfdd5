"""Describes the machine and the installed versions, on which measured speeds depend."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch


def machine() -> str:
    """Returns the processor, its number of cores, and the GPUs."""
    return f"{_processor()}, {os.cpu_count()} logical cores, {', '.join(gpu_names()) or 'no CUDA GPU'}"


def gpu_names() -> list[str]:
    """Returns the names of the CUDA devices."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def load_average() -> float:
    """Returns the load average of the last minute; 0 if the system does not have one."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def version_of(package: str) -> str:
    """Returns the installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a folder that is not installed
        return "unknown"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
