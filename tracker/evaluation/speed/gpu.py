"""Monitors an NVIDIA GPU with nvidia-smi."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile

import torch

from tracker.models.runtime.device import AnyDevice

INTERVAL_MS = 200  # milliseconds between two samples


@dataclass
class GpuUsage:
    """Samples of the use of a GPU; empty if it is not one of NVIDIA's.

    Attributes:
        utilization: Fraction of the time before each sample during which a kernel ran on the GPU.
        memory: MiB in use at each sample, of all programs.
    """

    utilization: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Text for a report: one line, or none."""
        if not self.utilization:
            return []
        mean = sum(self.utilization) / len(self.utilization)
        memory = f"{self.memory[0]:.0f} MiB at first, {max(self.memory):.0f} at most"
        return [f"the GPU was busy for {mean:.0%} of the time; memory: {memory}"]


@contextmanager
def monitor_gpu(device: AnyDevice) -> Iterator[GpuUsage]:
    """Samples the use of a CUDA device within a with block; the samples are available after its end."""
    usage = GpuUsage()
    tool = shutil.which("nvidia-smi") if device.type == "cuda" else None
    if tool is None:
        yield usage
        return
    index = torch.device(str(device)).index or torch.cuda.current_device()
    gpu_id = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    options = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    with TemporaryFile("w+") as output:
        with subprocess.Popen(
            [tool, "--id", gpu_id, *options, "--loop-ms", str(INTERVAL_MS)], stdout=output
        ) as process:
            try:
                yield usage
            finally:
                process.terminate()
        output.seek(0)
        # Only complete lines: the last one may be cut off; for a part of a GPU (MIG) the values are [N/A].
        for utilization, memory in re.findall(r"^(\d+), (\d+)\n", output.read(), re.MULTILINE):
            usage.utilization.append(float(utilization) / 100)
            usage.memory.append(float(memory))
