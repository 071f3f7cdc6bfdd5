"""What figures of speed depend on: the machine, and the versions of what computes."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch


def machine() -> str:
    """The processor, its cores, and the GPUs."""
    return f"{_processor()}, {os.cpu_count()} logical cores, {', '.join(gpus()) or 'no CUDA GPU'}"


def gpus() -> list[str]:
    """Names of the CUDA devices."""
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def load_average() -> float:
    """How many programs wanted a core during the last minute, on average; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def version_of(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
