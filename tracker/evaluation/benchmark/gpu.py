"""What a GPU does meanwhile, as NVIDIA's driver tells it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile

import torch

INTERVAL = 200  # milliseconds between two looks


@dataclass
class GpuUse:
    """What was seen of a GPU; empty where there is none of NVIDIA's.

    Attributes:
        busy: Share of the time before each look in which something ran on it.
        memory: MiB in use at each look, of all programs.
    """

    busy: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.busy:
            return "not seen"
        mean = sum(self.busy) / len(self.busy)
        return f"busy for {mean:.0%} of the time, {self.memory[0]:.0f} MiB at first and {max(self.memory):.0f} at most"


@contextmanager
def gpu_use(device: torch.device) -> Iterator[GpuUse]:
    """Looks at a CUDA device while something is done; what it gives is filled in at the end."""
    seen = GpuUse()
    tool = shutil.which("nvidia-smi") if device.type == "cuda" else None
    if tool is None:
        yield seen
        return
    number = torch.cuda.current_device() if device.index is None else device.index
    which = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
    asked = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    with TemporaryFile("w+") as said:
        with subprocess.Popen([tool, "--id", which, *asked, "--loop-ms", str(INTERVAL)], stdout=said) as process:
            try:
                yield seen
            finally:
                process.terminate()
        said.seek(0)
        lines = said.read().split("\n")[:-1]  # it may be stopped in the middle of the last one
        for busy, memory in (line.split(",") for line in lines if "N/A" not in line):  # of a part of a GPU
            seen.busy.append(float(busy) / 100)
            seen.memory.append(float(memory))
