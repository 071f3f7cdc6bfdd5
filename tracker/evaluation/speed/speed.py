"""Metrics of the speed of a run, and its bottleneck."""

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.evaluation.speed.gpu import GpuUsage
from tracker.pipeline.prefetch import QueueStats

THREADS = {
    "reading": ("decode",),
    "detecting": ("detect", "embed", "classify"),
    "tracking": ("associate",),
    "writing": ("draw", "encode", "write"),
}
"""The stages of each thread of a run, in the order in which a frame passes through them."""

ALL_CORES = "all cores"


@dataclass(frozen=True)
class Clip:
    """The frames that are measured.

    Attributes:
        name: Source as the user gave it, without a password.
        width: Pixels.
        height: Pixels.
        frame_rate: Frames per second of the source, counting only the measured frames.
        frames: Number of frames.
        end: A time after the last frame and before the next one, seconds.
    """

    name: str
    width: int
    height: int
    frame_rate: float
    frames: int
    end: float


@dataclass(frozen=True)
class StageCost:
    """Latency of a stage, seconds for a frame while no other stage runs: wall time, and CPU time of all cores."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class SpeedReport:
    """The speed of a run.

    Attributes:
        clip: The measured frames.
        device: Device of the networks.
        backend: Backend of the networks.
        cores: Number of logical cores of the machine.
        stages: Latencies by stage, in the order in which a frame passes through them.
        throughput: Frames per second of a run whose stages work at the same time.
        cores_used: Mean number of cores that the run used.
        queues: Fill levels of the queues between the stages.
        gpu: GPU use during that run.
    """

    clip: Clip
    device: str
    backend: str
    cores: int
    stages: Mapping[str, StageCost]
    throughput: float
    cores_used: float
    queues: Mapping[str, QueueStats]
    gpu: GpuUsage

    @property
    def throughput_limits(self) -> dict[str, float]:
        """Limits of the throughput by thread, see the function `throughput_limits`."""
        return throughput_limits(self.stages, self.cores)

    @property
    def bottleneck(self) -> str:
        """Name of the lowest limit."""
        return min(self.throughput_limits, key=self.throughput_limits.__getitem__)

    @property
    def efficiency(self) -> float:
        """Fraction of the lowest limit that the run reaches."""
        return self.throughput / self.throughput_limits[self.bottleneck]

    @property
    def real_time_factor(self) -> float:
        """Seconds of the clip that are processed in a second."""
        return self.throughput / self.clip.frame_rate


def throughput_limits(stages: Mapping[str, StageCost], cores: int) -> dict[str, float]:
    """Returns the frames per second that each of `THREADS` allows if it never waits, and that all cores allow."""
    seconds_by_thread = {
        name: sum(stages[stage].wall for stage in thread_stages if stage in stages)
        for name, thread_stages in THREADS.items()
    }
    seconds_by_thread[ALL_CORES] = sum(cost.cpu for cost in stages.values()) / cores
    return {name: 1 / seconds for name, seconds in seconds_by_thread.items() if seconds}
