"""Runs that are killed at random moments and resumed, compared with one that nobody kills."""

import hashlib
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av

Hashes = dict[str, str]
_TABLES = (".csv", ".parquet", ".txt", ".json")


@dataclass
class Kills:
    """The kills of a run.

    Attributes:
        delays: Seconds from the start of the process, or from its first output, to each kill.
        lost: Frames of the growing video that could not be read after each kill, of those that the table had.
    """

    delays: list[float] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def run_whole(command: Sequence[str], folder: Path) -> float:
    """Runs a command in a folder; returns the seconds that it took."""
    start = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def run_killed(command: Sequence[str], folder: Path, kills: int, seconds: float, seed: int = 0) -> Kills:
    """Runs a command in a folder, kills it after random times below `seconds`, and lets `--resume` finish it.

    Raises:
        RuntimeError: A resumed run failed.
    """
    chance = random.Random(seed)
    done = Kills()
    arguments = list(command)
    while len(done.delays) < kills:
        delay = chance.uniform(0.2, seconds)
        process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done.delays.append(delay)
            done.lost += [lost_frames(video) for video in folder.glob("tracked/*/video.mp4")]
        else:
            if process.returncode:
                raise RuntimeError(errors.decode())
            seconds *= 0.8  # it came to its end: kill sooner, and begin again
            _forget(folder)
        arguments = [*command, "--resume"]
    finished = subprocess.run([*command, "--resume"], cwd=folder, capture_output=True, text=True)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    return done


def lost_frames(video: Path) -> int:
    """Returns how many frames of the table beside a growing video are missing in it."""
    table = video.with_name("tracks.csv")
    if not table.exists():
        return 0
    frames = [int(row.split(",")[0]) for row in table.read_text().splitlines()[1:]]
    if not frames:
        return 0
    try:
        with av.open(str(video)) as container:
            count = sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, OSError):
        count = 0
    return max(0, frames[-1] + 1 - count)


def result_hashes(folder: Path) -> Hashes:
    """Returns a hash of each table of the runs in a folder, and of the decoded frames of each video."""
    hashes: Hashes = {}
    for path in sorted(folder.glob("tracked/**/*")):
        name = str(path.relative_to(folder))
        if path.suffix in _TABLES and path.name != "run.json":
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".mp4":
            hashes[name] = _hash_frames(path)
    return hashes


def _hash_frames(path: Path) -> str:
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(f"{frame.pts} {frame.time_base}".encode())
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()


def _forget(folder: Path) -> None:
    for record in folder.glob("tracked/*/run.json"):
        record.write_text(record.read_text().replace('"status": "finished"', '"status": "running"'))
