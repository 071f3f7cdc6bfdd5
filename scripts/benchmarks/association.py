"""The time of one association update, ours and others' in turn, and how well each kept the identities meanwhile."""

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.other_trackers import OURS, Entry, Found, TrackerUnderTest
from benchmarks.synthetic import Stream, Truth, frames_of, make_stream
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import score_tracks
from tracker.evaluation.speed.machine import machine, version_of
from tracker.pipeline.run_record import versions
from tracker.structures.boxes import xyxy_to_xywh


@dataclass(frozen=True)
class Result:
    """One tracker on one stream.

    Attributes:
        name: Of the tracker.
        milliseconds: For each repetition, the median CPU time of an update over the second half of the stream.
        wall: For each repetition, wall time over CPU time of all updates: 1 on an idle machine, more where others
            run on it, less where the tracker runs on several cores at once.
        ratio: Median over the repetitions of its time over that of our tracker with embeddings.
        identity: IDF1 in percent and IDSW, the number of identity switches; empty without trackeval.
    """

    name: str
    milliseconds: tuple[float, ...]
    wall: tuple[float, ...]
    ratio: float
    identity: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """All trackers on the stream of so many objects, in the order in which they were given."""

    objects: int
    frames: int
    results: tuple[Result, ...]


def compare(entries: Sequence[Entry], objects: int, repetitions: int = 3) -> Comparison:
    """Runs every tracker through the same stream, one after the other, and all of that `repetitions` times.

    What a tracker is given is built before the clock starts, and what it returns is read while the clock stands.
    The clock is that of the process's CPU time: on a busy machine wall time would punish long updates, which are
    interrupted, more than short ones, which fit between two interruptions. Each repetition starts with another
    tracker, so that none always follows the same one.

    Args:
        entries: The trackers; `OURS` must be among them.
        objects: How many objects the stream holds.
        repetitions: How often each tracker runs.

    Raises:
        InputError: There is nothing to run.
    """
    if repetitions < 1:
        raise InputError(f"a measurement needs a repetition, got {repetitions}")
    stream = make_stream(objects, frames_of(max(objects, 1)))
    runs: dict[str, list[_Run]] = {entry.name: [] for entry in entries}
    for repetition in range(repetitions):
        first = repetition % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            runs[entry.name].append(_run(entry.make(stream)))
    ours = runs[OURS.name]
    results = tuple(_result(name, theirs, ours, stream) for name, theirs in runs.items())
    return Comparison(objects, len(stream.detections), results)


@dataclass(frozen=True, eq=False)
class _Run:
    """A tracker's way through a stream: median CPU milliseconds, wall over CPU time, and what each frame showed."""

    milliseconds: float
    wall: float
    found: list[Found]


def _run(contestant: TrackerUnderTest) -> _Run:
    spent: list[tuple[float, float]] = []
    found: list[Found] = []
    gc.collect()
    gc.freeze()  # the inputs are millions of objects for some trackers: not theirs to search for garbage
    try:
        for arguments in contestant.inputs:
            start = perf_counter(), process_time()
            result = contestant.update(*arguments)
            stop = perf_counter(), process_time()
            spent.append((stop[0] - start[0], stop[1] - start[1]))
            found.append(contestant.read(result))
    finally:
        gc.unfreeze()
    wall, cpu = zip(*spent, strict=True)
    return _Run(1000 * median(cpu[len(cpu) // 2 :]), sum(wall) / sum(cpu), found)


def _result(name: str, theirs: Sequence[_Run], ours: Sequence[_Run], stream: Stream) -> Result:
    return Result(
        name=name,
        milliseconds=tuple(run.milliseconds for run in theirs),
        wall=tuple(run.wall for run in theirs),
        ratio=median(run.milliseconds / other.milliseconds for run, other in zip(theirs, ours, strict=True)),
        identity=identity(theirs[0].found, stream.truth),
    )


def identity(found: Sequence[Found], truth: Truth) -> dict[str, float]:
    """IDF1 in percent and IDSW of tracks against float64 (F, N, 4) true boxes; empty where trackeval is missing."""
    if find_spec("trackeval") is None:
        return {}
    true = [(np.arange(len(boxes)), boxes) for boxes in truth]
    scores = score_tracks({"stream": (_rows(found), _rows(true))})
    return {name: scores[name] for name in ("IDF1", "IDSW")}


def _rows(frames: Sequence[Found]) -> NDArray[np.float64]:
    """MOTChallenge's columns: frame from 1, id, x, y, width, height, confidence."""
    rows = [
        np.column_stack([np.full(len(ids), n), ids, xyxy_to_xywh(boxes), np.ones(len(ids))])
        for n, (ids, boxes) in enumerate(frames, start=1)
    ]
    return np.concatenate(rows)


def conditions(entries: Sequence[Entry], missing: Mapping[str, str]) -> dict[str, Any]:
    """What figures depend on: machine, versions, threads; and which trackers were left out, and why."""
    packages = sorted({entry.package for entry in entries} - {"tracker"})
    return {
        "machine": machine(),
        "versions": versions() | {package: version_of(package) for package in packages},
        "threads": _threads(),
        "thread_limits": {name: value for name, value in os.environ.items() if name.endswith("_THREADS")},
        "gallery_size": TrackerConfig().gallery_size,
        "missing": dict(missing),
    }


def as_json(comparisons: Sequence[Comparison], conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was measured, as JSON can hold it."""
    return {**conditions, "comparisons": [asdict(comparison) for comparison in comparisons]}


def _threads() -> int:
    """Threads that this process really has; 0 where the system does not say."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0
