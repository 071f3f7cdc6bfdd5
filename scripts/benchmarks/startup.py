"""How long it takes until something is seen: each time in a fresh process."""

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

SECONDS = 1.0  # of the clip: a track is reported from its second detection on
POLL = 0.002  # seconds between two looks at the table


def startup_times(clip: str, repetitions: int) -> dict[str, list[float]]:
    """Seconds until a program without anything, the library, the help, and a run's first row of tracks are there.

    Args:
        clip: A video file; empty for the demo's.
        repetitions: How often each is started; they take turns.

    Raises:
        InputError: A run failed; it has said why on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        if not clip:
            clip = f"{folder}/demo.mp4"
            draw_clip(Path(clip))
        jobs: dict[str, Callable[[], float]] = {
            "python -c pass": partial(_until_the_end, [sys.executable, "-c", "pass"]),
            "import tracker": partial(_until_the_end, [sys.executable, "-c", "import tracker"]),
            "track --help": partial(_until_the_end, [*COMMAND, "--help"]),
        }
        for backend in installed_backends():
            run = [*COMMAND, str(Path(clip).resolve()), "--quiet", "--end", str(SECONDS), "--backend", backend]
            jobs[f"first tracks, {backend}"] = partial(until_the_first_row, run, Path(folder))
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(repetitions):
            for name, job in jobs.items():
                times[name].append(job())
    return times


def _until_the_end(command: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment())
    if done.returncode:
        raise InputError(f"{' '.join(command)} ended with exit code {done.returncode}")
    return time.perf_counter() - start


def until_the_first_row(command: Sequence[str], folder: Path) -> float:
    """Seconds until a run's table has a row below its head; where no track is found, until the end.

    Args:
        command: The run, without its outputs.
        folder: For the table.

    Raises:
        InputError: The run failed; it has said why on stderr.
    """
    table = folder / "tracks.csv"
    table.unlink(missing_ok=True)
    start = time.perf_counter()
    with subprocess.Popen([*command, "--output", str(table)], env=environment()) as run:
        try:
            while run.poll() is None and not _has_a_row(table):
                time.sleep(POLL)
            elapsed = time.perf_counter() - start
        except BaseException:
            run.terminate()
            raise
    if run.returncode:
        raise InputError(f"{' '.join(command)} ended with exit code {run.returncode}")
    return elapsed


def _has_a_row(table: Path) -> bool:
    return table.exists() and table.read_bytes().count(b"\n") > 1
