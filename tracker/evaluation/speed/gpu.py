"""What a GPU does meanwhile, as NVIDIA's driver tells it."""

import re
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

    @property
    def lines(self) -> list[str]:
        """What to tell of it: a line, or none."""
        if not self.busy:
            return []
        busy = f"the GPU was busy for {sum(self.busy) / len(self.busy):.0%} of the time"
        return [f"{busy}; memory: {self.memory[0]:.0f} MiB at first, {max(self.memory):.0f} at most"]


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
        # Whole lines alone: the last one may be cut off, and of a part of a GPU (MIG) it says [N/A].
        for busy, memory in re.findall(r"^(\d+), (\d+)\n", said.read(), re.MULTILINE):
            seen.busy.append(float(busy) / 100)
            seen.memory.append(float(memory))
