"""How much memory a run takes, and whether that grows with the length of the video."""

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
from tracker.evaluation.speed.gpu import GpuUse, gpu_use
from tracker.models.runtime import choose_device

INTERVAL = 2.0  # seconds between two looks at the memory
WARM_UP, WIND_UP = 0.2, 0.95  # shares of a long run before and after which it does other things: loads, finishes files


@dataclass(frozen=True)
class LongRun:
    """The memory of a long run.

    Attributes:
        minutes: Of video.
        elapsed: Seconds that the run took, with loading.
        start: Resident memory at `WARM_UP`, MiB.
        end: At `WIND_UP`, MiB.
        peak: At any look, MiB.
        slope: By which it grew between these two, least squares, MiB for each hour of video.
        error: Standard error of that.
        queues: Of the run's record.
        gpu: What was seen of the GPU.
    """

    minutes: float
    elapsed: float
    start: float
    end: float
    peak: float
    slope: float
    error: float
    queues: Mapping[str, Mapping[str, float]]
    gpu: GpuUse


def peak_memory(clip: str) -> int:
    """Peak memory of a run that writes a video and a table, in a process of its own, MiB.

    Raises:
        InputError: The run failed; it has said why on stderr.
    """
    code = "import sys, resource; from tracker.cli.app import main\ntry: main(sys.argv[1:])\n"
    code += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    with tempfile.TemporaryDirectory() as folder:
        outputs = ["--output", f"{folder}/video.mp4", "--output", f"{folder}/tracks.csv"]
        command = [sys.executable, "-c", code, clip, "--quiet", *outputs]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment())
    _check(run.returncode, clip)
    return int(run.stdout.split()[-1])


def long_run(clip: str, minutes: float, options: Sequence[str] = ()) -> LongRun:
    """Tracks a clip again and again in one run, in a process of its own, and looks at its memory meanwhile.

    Args:
        clip: A video file.
        minutes: Of video, at least; it is processed as fast as the machine can.
        options: More of the command line.

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
            gpu_use(choose_device("auto")) as gpu,
            subprocess.Popen(command, cwd=folder, env=environment()) as process,
        ):
            try:
                samples = _sampled(process)
            except BaseException:
                process.terminate()
                raise
        _check(process.returncode, clip)
        record = json.loads((Path(folder) / "tracked" / "looped" / "run.json").read_text())
    return summarised(samples, seconds / 60, record["queues"], gpu)


def summarised(
    samples: Sequence[tuple[float, float]], minutes: float, queues: Mapping[str, Any], gpu: GpuUse
) -> LongRun:
    """A long run in figures.

    Args:
        samples: Seconds since its start, and MiB, at each look.
        minutes: Of video.
        queues: Of its record.
        gpu: What was seen of the GPU.

    Raises:
        InputError: There are too few samples.
    """
    times, sizes = np.array(samples).reshape(-1, 2).T
    whole = times.max(initial=0)
    warm = (times >= WARM_UP * whole) & (times <= WIND_UP * whole)
    if warm.sum() < 4:
        raise InputError(f"a run of {whole:.0f} s is too short to tell how memory grows: more --minutes")
    slope, error = trend(times[warm], sizes[warm])
    hours = minutes / 60 / times[-1]  # of video for a second
    return LongRun(
        minutes,
        times[-1],
        sizes[warm][0],
        sizes[warm][-1],
        sizes.max(),
        slope / hours,
        error / hours,
        dict(queues),
        gpu,
    )


def trend(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Slope of the straight line through values, and its standard error.

    What remains beside the line is taken for noise that remembers: the more each deviation is like the one before,
    the fewer of them count. Source: Santer et al. 2000, doi 10.1029/1999JD901105, equations 3 to 6.
    """
    x, y = np.asarray(times) - np.mean(times), np.asarray(values) - np.mean(values)
    slope = float(x @ y / (x @ x))
    left = y - slope * x
    power = float(left @ left)
    if power <= 1e-12 * max(float(y @ y), 1e-12):
        return slope, 0.0
    memory = min(max(float(left[1:] @ left[:-1]) / power, 0.0), 0.99)
    count = len(x) * (1 - memory) / (1 + memory)
    return slope, math.sqrt(power / max(count - 2, 1) / float(x @ x))


def _sampled(process: "subprocess.Popen[bytes]") -> list[tuple[float, float]]:
    samples: list[tuple[float, float]] = []
    start = time.monotonic()
    while process.poll() is None:
        samples.append((time.monotonic() - start, _resident(process.pid)))
        try:
            process.wait(INTERVAL)
        except subprocess.TimeoutExpired:
            continue
    return [sample for sample in samples if sample[1]]


def _resident(number: int) -> float:
    """Resident memory of a process, MiB; 0 where it has just ended."""
    try:
        pages = int(Path(f"/proc/{number}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _check(code: int, clip: str) -> None:
    if code:
        raise InputError(f"the run of {clip} ended with exit code {code}")
