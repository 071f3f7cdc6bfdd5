"""The time that `track batch` takes with one worker and with two: many clips, and one long clip in pieces."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.killed_runs import Hashes, result_hashes
from benchmarks.loop_video import write_loop
from tracker.errors import InputError


def compare_workers(clip: Path, copies: int, minutes: float, repetitions: int, ray: str) -> Iterator[str]:
    """Tracks copies of a clip, and a long clip that repeats it, with one worker and with two in turn; yields lines.

    Each worker has one thread, as on a core of its own.

    Raises:
        InputError: A run failed.
    """
    with tempfile.TemporaryDirectory() as root:
        many, long = Path(root, "many"), Path(root, "long")
        many.mkdir()
        long.mkdir()
        for number in range(copies):
            shutil.copy(clip, many / f"{number:02d}{clip.suffix}")
        write_loop(str(clip), 60 * minutes, long / f"long{clip.suffix}")
        flags = ["--threads", "1", *(["--ray", ray] if ray else [])]
        one, two = _compare(many, [*flags, "--split", "0"], repetitions)
        yield f"{copies} clips: {one:.1f} s with one worker, {two:.1f} s with two: {one / two:.2f} times as fast"
        one, two = _compare(long, [*flags, "--split", "10"], repetitions)
        yield f"{minutes:g} minutes: {one:.1f} s with one worker, {two:.1f} s in pieces, {two / one:.2f} of it"


def _compare(videos: Path, flags: Sequence[str], repetitions: int) -> tuple[float, float]:
    """Returns the least seconds with one worker and with two, whose results have to be the same."""
    times: dict[int, list[float]] = {1: [], 2: []}
    hashes: list[Hashes] = []
    for _ in range(repetitions):
        for workers, seconds in times.items():
            results = videos.with_name("tracked")
            command = [sys.executable, "-m", "tracker", "batch", str(videos), "--output", str(results)]
            start = time.perf_counter()
            ended = subprocess.run([*command, "--workers", str(workers), *flags], capture_output=True, text=True)
            seconds.append(time.perf_counter() - start)
            if ended.returncode:
                raise InputError(ended.stderr.strip() or ended.stdout.strip())
            hashes.append({k: v for k, v in result_hashes(videos.parent).items() if "manifest" not in k})
            shutil.rmtree(results)
    if any(each != hashes[0] for each in hashes):
        raise InputError("the results depend on the number of workers")
    return min(times[1]), min(times[2])
