"""Measures the memory of a run, and whether it grows with the length of the video."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loop_video import write_loop
from benchmarks.processes import COMMAND, environment
from tracker.errors import InputError
from tracker.evaluation.speed.gpu import GpuUsage, monitor_gpu
from tracker.models.runtime import choose_device

INTERVAL = 2.0  # seconds between two samples
WARM_UP, COOL_DOWN = 0.2, 0.95  # fractions of a run that bound its steady part, without loading and finishing files


@dataclass(frozen=True)
class LongRun:
    """The memory of a long run.

    Attributes:
        minutes: Length of the video.
        elapsed: Seconds of the run, with loading.
        start: Resident memory at `WARM_UP`, MiB.
        end: Resident memory at `COOL_DOWN`, MiB.
        peak: Largest sample, MiB.
        slope: Growth between these two, least squares, MiB for each hour of video.
        slope_error: Standard error of `slope`.
        queues: Fill levels of the queues, from the record of the run.
        gpu: GPU use.
    """

    minutes: float
    elapsed: float
    start: float
    end: float
    peak: float
    slope: float
    slope_error: float
    queues: Mapping[str, Mapping[str, float]]
    gpu: GpuUsage


def peak_memory(clip: str) -> int:
    """Measures the peak memory of a run that writes a video and a table, in a process of its own, MiB.

    Raises:
        InputError: The run failed; see stderr.
    """
    code = "import sys, resource; from tracker.cli.app import main\ntry: main(sys.argv[1:])\n"
    code += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    with tempfile.TemporaryDirectory() as folder:
        outputs = ["--output", f"{folder}/video.mp4", "--output", f"{folder}/tracks.csv"]
        command = [sys.executable, "-c", code, clip, "--quiet", *outputs]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment())
    _check_exit_code(run.returncode, clip)
    return int(run.stdout.split()[-1])


def long_run(clip: str, minutes: float, options: Sequence[str] = ()) -> LongRun:
    """Tracks a repeated clip in one run, in a process of its own, and samples its memory.

    Args:
        clip: A video file.
        minutes: Least length of the video; it is processed as fast as possible.
        options: More command-line arguments.

    Raises:
        InputError: The clip cannot be read, the run failed, or this system does not tell the memory of a process.
    """
    if not Path("/proc/self/statm").exists():
        raise InputError("the memory of another process is read from /proc, which this system does not have")
    with tempfile.TemporaryDirectory() as folder:
        looped = Path(folder) / f"looped{Path(clip).suffix}"
        seconds = write_loop(clip, 60 * minutes, looped)
        command = [*COMMAND, str(looped), "--quiet", *options]
        with (
            monitor_gpu(choose_device("auto")) as gpu,
            subprocess.Popen(command, cwd=folder, env=environment()) as process,
        ):
            try:
                samples = _sample_memory(process)
            except BaseException:
                process.terminate()
                raise
        _check_exit_code(process.returncode, clip)
        record = json.loads((Path(folder) / "tracked" / "looped" / "run.json").read_text())
    return summarize(samples, seconds / 60, record["queues"], gpu)


def summarize(
    samples: Sequence[tuple[float, float]], minutes: float, queues: Mapping[str, Any], gpu: GpuUsage
) -> LongRun:
    """Summarizes the samples of a long run.

    Args:
        samples: Seconds since the start, and MiB, of each sample.
        minutes: Length of the video.
        queues: Fill levels of the queues, from the record of the run.
        gpu: GPU use.

    Raises:
        InputError: There are too few samples.
    """
    times, sizes = np.array(samples).reshape(-1, 2).T
    duration = times.max(initial=0)
    steady = (times >= WARM_UP * duration) & (times <= COOL_DOWN * duration)
    if steady.sum() < 4:
        raise InputError(f"a run of {duration:.0f} s is too short to tell how memory grows: more --minutes")
    slope, slope_error = fit_trend(times[steady], sizes[steady])
    hours = minutes / 60 / times[-1]  # of video processed in a second
    return LongRun(
        minutes,
        times[-1],
        sizes[steady][0],
        sizes[steady][-1],
        sizes.max(),
        slope / hours,
        slope_error / hours,
        dict(queues),
        gpu,
    )


def fit_trend(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Fits a straight line, and returns its slope and the standard error of the slope.

    The residuals are taken as autocorrelated noise: the more each one is correlated with the one before, the fewer of
    them are independent. Source: Santer et al. 2000, doi 10.1029/1999JD901105, equations 3 to 6.
    """
    x, y = np.asarray(times) - np.mean(times), np.asarray(values) - np.mean(values)
    slope = float(x @ y / (x @ x))
    residuals = y - slope * x
    power = float(residuals @ residuals)
    if power <= 1e-12 * max(float(y @ y), 1e-12):
        return slope, 0.0
    autocorrelation = min(max(float(residuals[1:] @ residuals[:-1]) / power, 0.0), 0.99)
    effective_count = len(x) * (1 - autocorrelation) / (1 + autocorrelation)
    return slope, math.sqrt(power / max(effective_count - 2, 1) / float(x @ x))


def _sample_memory(process: "subprocess.Popen[bytes]") -> list[tuple[float, float]]:
    samples: list[tuple[float, float]] = []
    start = time.monotonic()
    while process.poll() is None:
        samples.append((time.monotonic() - start, resident_memory(process.pid)))
        try:
            process.wait(INTERVAL)
        except subprocess.TimeoutExpired:
            continue
    return [sample for sample in samples if sample[1]]


def resident_memory(pid: int) -> float:
    """Returns the resident memory of a process, MiB; 0 if it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _check_exit_code(code: int, clip: str) -> None:
    if code:
        raise InputError(f"the run of {clip} ended with exit code {code}")
