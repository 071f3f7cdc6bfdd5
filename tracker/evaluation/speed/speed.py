"""How fast a run is, and what it waits for."""

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.evaluation.speed.gpu import GpuUse
from tracker.pipeline.prefetch import QueueStats

THREADS = {
    "reading": ("decode",),
    "looking": ("detect", "embed", "classify"),
    "tracking": ("associate",),
    "writing": ("draw", "encode", "write"),
}
"""The stages that one thread of a run does, in the order in which a frame passes through them."""

ALL_CORES = "all cores"


@dataclass(frozen=True)
class Clip:
    """The frames that are measured.

    Attributes:
        name: What the user named, without a password.
        width: Pixels.
        height: Pixels.
        rate: How many of these frames the source plays in a second.
        frames: How many they are.
        end: A moment after the last of them and before the next frame, seconds.
    """

    name: str
    width: int
    height: int
    rate: float
    frames: int
    end: float


@dataclass(frozen=True)
class Cost:
    """Seconds that a frame takes in one stage while no other is at work: on the clock, and of all cores together."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Speeds:
    """How fast a run is, and why.

    Attributes:
        clip: Of what.
        device: Where the networks computed.
        backend: What computed them.
        cores: Logical ones of the machine.
        stages: By name, in the order in which a frame passes through them.
        whole: Frames per second of a run whose stages work at the same time.
        cores_used: How many cores that kept at work, on average.
        queues: How much waited between these stages.
        gpu: What the GPU did in that run.
    """

    clip: Clip
    device: str
    backend: str
    cores: int
    stages: Mapping[str, Cost]
    whole: float
    cores_used: float
    queues: Mapping[str, QueueStats]
    gpu: GpuUse

    @property
    def limits(self) -> dict[str, float]:
        """As `limits`."""
        return limits(self.stages, self.cores)

    @property
    def slowest(self) -> str:
        """What allows the least."""
        return min(self.limits, key=self.limits.__getitem__)

    @property
    def share(self) -> float:
        """How much of that the whole run reaches."""
        return self.whole / self.limits[self.slowest]

    @property
    def real_time(self) -> float:
        """Seconds of the clip that are processed in a second."""
        return self.whole / self.clip.rate


def limits(stages: Mapping[str, Cost], cores: int) -> dict[str, float]:
    """Frames per second that each of `THREADS` allows if it never waits, and `ALL_CORES` if none of them ever does."""
    busy = {name: sum(stages[stage].wall for stage in parts if stage in stages) for name, parts in THREADS.items()}
    busy[ALL_CORES] = sum(cost.cpu for cost in stages.values()) / cores
    return {name: 1 / seconds for name, seconds in busy.items() if seconds}
