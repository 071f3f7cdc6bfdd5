"""Measures the latency of one association update of several trackers, and their identity metrics."""

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

from benchmarks.other_trackers import OURS, Entry, FrameTracks, TrackerUnderTest
from benchmarks.synthetic import GroundTruth, Stream, frames_of, make_stream
from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import combined_metrics
from tracker.evaluation.speed.machine import machine, version_of
from tracker.pipeline.run_record import versions
from tracker.structures.boxes import xyxy_to_xywh


@dataclass(frozen=True)
class Result:
    """The result of one tracker on one stream.

    Attributes:
        name: Name of the tracker.
        milliseconds: For each repetition, the median CPU time of an update over the second half of the stream.
        wall: For each repetition, wall time over CPU time of all updates: 1 on an idle machine, more while other
            programs run, less if the tracker runs on several cores at once.
        ratio: Median over the repetitions of its time over that of our tracker with embeddings.
        identity_metrics: IDF1 in percent and IDSW, the number of id switches; empty without trackeval.
    """

    name: str
    milliseconds: tuple[float, ...]
    wall: tuple[float, ...]
    ratio: float
    identity_metrics: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """The results of all trackers on the stream of a number of objects, in the order of the trackers."""

    objects: int
    frames: int
    results: tuple[Result, ...]


def compare(entries: Sequence[Entry], objects: int, repetitions: int = 3) -> Comparison:
    """Runs every tracker on the same stream, one after the other, `repetitions` times.

    Inputs are built before the clock starts, and results are read while it is stopped. The clock is the CPU time of the
    process: on a busy machine slow updates are interrupted more often than fast ones, which distorts wall time. Each
    repetition starts with another tracker, so that none always runs after the same one.

    Args:
        entries: The trackers; `OURS` must be among them.
        objects: Number of objects in the stream.
        repetitions: Number of runs of each tracker.

    Raises:
        InputError: There is nothing to run.
    """
    if repetitions < 1:
        raise InputError(f"repetitions must be at least 1, got {repetitions}")
    stream = make_stream(objects, frames_of(max(objects, 1)))
    runs: dict[str, list[_Run]] = {entry.name: [] for entry in entries}
    for repetition in range(repetitions):
        first = repetition % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            runs[entry.name].append(_run(entry.make(stream)))
    our_runs = runs[OURS.name]
    results = tuple(_result(name, tracker_runs, our_runs, stream) for name, tracker_runs in runs.items())
    return Comparison(objects, len(stream.detections), results)


@dataclass(frozen=True, eq=False)
class _Run:
    """A run of a tracker on a stream: median CPU milliseconds, wall time over CPU time, tracks of each frame."""

    milliseconds: float
    wall: float
    tracks: list[FrameTracks]


def _run(tracker: TrackerUnderTest) -> _Run:
    times: list[tuple[float, float]] = []
    tracks: list[FrameTracks] = []
    gc.collect()
    gc.freeze()  # some trackers' inputs are millions of objects, which the garbage collector would search
    try:
        for arguments in tracker.inputs:
            start = perf_counter(), process_time()
            result = tracker.update(*arguments)
            end = perf_counter(), process_time()
            times.append((end[0] - start[0], end[1] - start[1]))
            tracks.append(tracker.read(result))
    finally:
        gc.unfreeze()
    wall, cpu = zip(*times, strict=True)
    return _Run(1000 * median(cpu[len(cpu) // 2 :]), sum(wall) / sum(cpu), tracks)


def _result(name: str, runs: Sequence[_Run], our_runs: Sequence[_Run], stream: Stream) -> Result:
    return Result(
        name=name,
        milliseconds=tuple(run.milliseconds for run in runs),
        wall=tuple(run.wall for run in runs),
        ratio=median(run.milliseconds / our_run.milliseconds for run, our_run in zip(runs, our_runs, strict=True)),
        identity_metrics=identity_metrics(runs[0].tracks, stream.gt),
    )


def identity_metrics(tracks: Sequence[FrameTracks], gt: GroundTruth) -> dict[str, float]:
    """Computes IDF1 in percent and IDSW of tracks against float64 (F, N, 4) true boxes; empty without trackeval."""
    if find_spec("trackeval") is None:
        return {}
    gt_tracks = [(np.arange(len(boxes)), boxes) for boxes in gt]
    metrics = combined_metrics({"stream": (_mot_table(tracks), _mot_table(gt_tracks))})
    return {name: metrics[name] for name in ("IDF1", "IDSW")}


def _mot_table(frames: Sequence[FrameTracks]) -> NDArray[np.float64]:
    """Returns the columns of the MOTChallenge: frame from 1, id, x, y, width, height, confidence."""
    tables = [
        np.column_stack([np.full(len(ids), frame), ids, xyxy_to_xywh(boxes), np.ones(len(ids))])
        for frame, (ids, boxes) in enumerate(frames, start=1)
    ]
    return np.concatenate(tables)


def benchmark_conditions(entries: Sequence[Entry], missing: Mapping[str, str]) -> dict[str, Any]:
    """Returns machine, versions and threads, and the missing trackers with the reason."""
    packages = sorted({entry.package for entry in entries} - {"tracker"})
    return {
        "machine": machine(),
        "versions": versions() | {package: version_of(package) for package in packages},
        "threads": _threads(),
        "thread_limits": {name: value for name, value in os.environ.items() if name.endswith("_THREADS")},
        "gallery_size": TrackerConfig().gallery_size,
        "missing": dict(missing),
    }


def as_json(comparisons: Sequence[Comparison], benchmark_conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all measurements, for a JSON file."""
    return {**benchmark_conditions, "comparisons": [asdict(comparison) for comparison in comparisons]}


def _threads() -> int:
    """Returns the number of threads of this process; 0 if the system does not tell it."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0
