"""Measures the startup time of new processes, and the time until their first tracks."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.backends import installed_backends
from benchmarks.processes import COMMAND, environment
from tracker.cli.demo import draw_clip
from tracker.errors import InputError

CLIP_SECONDS = 1.0  # processed; a track is reported from its second detection on
POLL_INTERVAL = 0.002  # seconds between two reads of the table


def startup_times(clip: str, repetitions: int) -> dict[str, list[float]]:
    """Measures the seconds of an empty program, an import of the library, its help, and a run until its first tracks.

    Args:
        clip: A video file; empty for the demo's.
        repetitions: Number of runs of each, in turn.

    Raises:
        InputError: A run failed; see stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        if not clip:
            clip = f"{folder}/demo.mp4"
            draw_clip(Path(clip))
        jobs: dict[str, Callable[[], float]] = {
            "python -c pass": partial(_run_time, [sys.executable, "-c", "pass"]),
            "import tracker": partial(_run_time, [sys.executable, "-c", "import tracker"]),
            "track --help": partial(_run_time, [*COMMAND, "--help"]),
        }
        for backend in installed_backends():
            command = [*COMMAND, str(Path(clip).resolve()), "--quiet", "--end", str(CLIP_SECONDS), "--backend", backend]
            jobs[f"first tracks, {backend}"] = partial(time_to_first_row, command, Path(folder))
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(repetitions):
            for name, job in jobs.items():
                times[name].append(job())
    return times


def _run_time(command: Sequence[str]) -> float:
    start = time.perf_counter()
    result = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment())
    if result.returncode:
        raise InputError(f"{' '.join(command)} ended with exit code {result.returncode}")
    return time.perf_counter() - start


def time_to_first_row(command: Sequence[str], folder: Path) -> float:
    """Measures the seconds until a run's table has a row below its header, or until the end without any track.

    Args:
        command: The run, without its outputs.
        folder: Folder for the table.

    Raises:
        InputError: The run failed; see stderr.
    """
    table = folder / "tracks.csv"
    table.unlink(missing_ok=True)
    start = time.perf_counter()
    with subprocess.Popen([*command, "--output", str(table)], env=environment()) as run:
        try:
            while run.poll() is None and not _has_row(table):
                time.sleep(POLL_INTERVAL)
            elapsed = time.perf_counter() - start
        except BaseException:
            run.terminate()
            raise
    if run.returncode:
        raise InputError(f"{' '.join(command)} ended with exit code {run.returncode}")
    return elapsed


def _has_row(table: Path) -> bool:
    return table.exists() and table.read_bytes().count(b"\n") > 1
