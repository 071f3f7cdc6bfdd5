"""Runs that are killed at random moments and resumed, compared with one that nobody kills."""

import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av

Hashes = dict[str, str]
TRACK = (sys.executable, "-m", "tracker")
_TABLES = (".csv", ".parquet", ".txt", ".json")


@dataclass
class Kills:
    """The kills of some runs.

    Attributes:
        delays: Seconds from the start of the process to each kill.
        lost: Frames that the growing video lacked after each kill, of those of the table beside it.
        folders: The folder of results at each kill: none, begun (no table yet), growing, or complete.
        finished: Number of runs that came to their end, each compared with the whole one.
    """

    delays: list[float] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    finished: int = 0


def compare_killed_runs(clips: Sequence[str], flags: Sequence[str], kills: int, seed: int = 0) -> Iterator[str]:
    """Tracks clips with `track`, whole and with so many kills; yields lines that say what was found.

    Raises:
        RuntimeError: A run failed, or its results are not those of the whole run.
    """
    with tempfile.TemporaryDirectory() as root:
        whole, killed = Path(root, "whole"), Path(root, "killed")
        whole.mkdir()
        killed.mkdir()
        command = [*TRACK, *(str(Path(clip).resolve()) for clip in clips), *flags]
        seconds = run_whole(command, whole)
        yield f"{len(clips)} sources, {' '.join(flags) or 'no flags'}: {seconds:.1f} s without a kill"
        found = run_killed(command, killed, kills, seconds, result_hashes(whole), seed)
        stages = ", ".join(f"{found.folders.count(stage)} {stage}" for stage in dict.fromkeys(found.folders))
        yield f"  {kills} kills (results then: {stages}), {found.finished} runs finished, all with the same bytes"
        if found.lost:
            yield f"  frames lost of {len(found.lost)} growing videos: {_spread(found.lost)}"


def run_whole(command: Sequence[str], folder: Path) -> float:
    """Runs a command in a folder; returns the seconds that it took."""
    start = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def run_killed(
    command: Sequence[str], folder: Path, kills: int, seconds: float, expected: Hashes, seed: int = 0
) -> Kills:
    """Runs a command in a folder, and kills it and what resumes it after random times below `seconds`.

    A run that comes to its end is compared with `expected`, and begun anew until there are enough kills.

    Raises:
        RuntimeError: A run failed, or its results are not the expected ones.
    """
    chance = random.Random(seed)
    done = Kills()
    while len(done.delays) < kills or not done.finished or (folder / "tracked").exists():
        resume = ["--resume"] if list(folder.glob("tracked/*/run.json")) else []
        process = subprocess.Popen(
            [*command, *resume], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        delay = chance.uniform(0.2, seconds) if len(done.delays) < kills else None
        try:
            _, errors = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done.delays.append(delay or 0.0)
            done.folders.append(_stage(folder))
            done.lost += [lost_frames(video) for video in folder.glob("tracked/*/video.mp4")]
            continue
        if process.returncode:
            raise RuntimeError(errors)
        if differing := _differences(result_hashes(folder), expected):
            raise RuntimeError(f"not the bytes of the whole run: {', '.join(differing)}")
        done.finished += 1
        shutil.rmtree(folder / "tracked")
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


def _differences(found: Hashes, expected: Hashes) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def _stage(folder: Path) -> str:
    records = list(folder.glob("tracked/*/run.json"))
    if not records:
        return "none"
    if all('"status": "finished"' in record.read_text() for record in records):
        return "complete"
    return "growing" if list(folder.glob("tracked/*/tracks.csv")) else "begun"


def _spread(numbers: Sequence[int]) -> str:
    ordered = sorted(numbers)
    return f"median {ordered[len(ordered) // 2]}, most {ordered[-1]}"


def _hash_frames(path: Path) -> str:
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(f"{frame.pts} {frame.time_base}".encode())
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()
