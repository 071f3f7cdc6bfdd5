"""Whole runs, from a video file to an annotated one and a table: ours, and what a user would pick instead on a CPU."""

import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.backends import Job, prepared
from benchmarks.loop_video import write_loop
from benchmarks.naive_script import naive_pipeline
from benchmarks.processes import COMMAND, environment
from tracker.config import DetectorConfig, SourceConfig
from tracker.errors import InputError
from tracker.evaluation.speed.machine import version_of
from tracker.models.model_file import save_model
from tracker.models.runtime.device import count_threads
from tracker.video import open_source

OURS = "track"
CANDIDATES = 10  # boxes that an untrained network finds in a picture, before those that overlap are dropped
UNTRAINED = "yolo11n.yaml"

_Spent = tuple[float, float]
"""Seconds for a frame, and those of all cores together."""

Run = Callable[[str, Path], None]
"""Tracks a clip into a folder, in a process of its own."""


@dataclass(frozen=True)
class BaselinePipeline:
    """One way from a clip to its tracks, what it is made of, and how it is run."""

    name: str
    about: str
    run: Run


@dataclass(frozen=True)
class Throughput:
    """How fast one of them is.

    Attributes:
        name: Of the rival.
        rates: Frames per second of each repetition.
        cpu: Milliseconds of all cores together for a frame, median; other programs on the machine change it less.
        ratio: How many times as fast ours is, median over the repetitions.
    """

    name: str
    rates: tuple[float, ...]
    cpu: float
    ratio: float


def rivals_of(model: str, picture_of: str, ultralytics: str, folder: Path) -> list[BaselinePipeline]:
    """Ours and those that are installed.

    Args:
        model: `builtin`, or an R-CNN of torchvision's with random weights, the same for both.
        picture_of: The clip on whose first picture such a network's threshold is set.
        ultralytics: Python of an environment with that package; empty for none.
        folder: For the weights.

    Raises:
        InputError: The model is unknown, or there is no such Python.
    """
    if ultralytics and not Path(ultralytics).with_name("yolo").exists():
        raise InputError(f"there is no command yolo beside {ultralytics}: give the Python that has ultralytics")
    job = _job(model, picture_of, folder)
    options = [] if model == "builtin" else ["--weights", str(folder / "model.safetensors"), "--nms-iou", "0.5"]
    found = [
        BaselinePipeline(OURS, f"{model}, --backend auto", partial(_ours, [*options, "--score", str(job.config.score)]))
    ]
    if not missing_for_usual():
        versions = f"torchvision {version_of('torchvision')}, deep-sort-realtime {version_of('deep-sort-realtime')}"
        about = f"OpenCV {version_of('opencv-python')}, {versions}: {model} frame by frame, the same weights"
        found.append(BaselinePipeline("the usual script", about, partial(_usual, job)))
    if ultralytics:
        found.append(_ultralytics(Path(ultralytics)))
    return found


def missing_for_usual() -> list[str]:
    """Packages of the usual script that are not installed."""
    return [package for package in ("deep_sort_realtime", "pkg_resources") if find_spec(package) is None]


def compare_runs(rivals: Sequence[BaselinePipeline], clip: str, rounds: int, repetitions: int) -> list[Throughput]:
    """Lets all of them track a clip that is shown several times in a row, in turn; loading counts too.

    Args:
        rivals: Ours is among them.
        clip: A video file.
        rounds: How often it is shown: the more, the less loading counts.
        repetitions: How often each one runs.

    Raises:
        InputError: There is nothing to measure, or a run failed; it has said why on stderr.
    """
    if min(rounds, repetitions) < 1:
        raise InputError("rounds and repetitions must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        once, looped = f"{folder}/once.mp4", f"{folder}/looped.mp4"
        seconds = write_loop(clip, 0.0, Path(once))
        write_loop(once, (rounds - 0.5) * seconds, Path(looped))
        frames = _frames(looped)
        spent: dict[str, list[_Spent]] = {rival.name: [] for rival in rivals}
        for _ in range(repetitions):
            for rival in rivals:
                wall, cpu = timed(rival.run, looped)
                spent[rival.name].append((wall / frames, cpu / frames))
    return [_pace(name, each, spent[OURS]) for name, each in spent.items()]


def _job(model: str, clip: str, folder: Path) -> Job:
    """The network that our run and the usual script share; its weights are written for the former."""
    threads = count_threads(0)
    job = prepared(model, [_first_picture(clip)], threads, folder / "state.pt", ("person",), CANDIDATES)
    if model == "builtin":
        return replace(job, config=DetectorConfig(threads=threads))
    state = torch.load(job.state, weights_only=True)
    save_model(folder / "model.safetensors", {name: value.numpy() for name, value in state.items()}, job.info)
    return job


def _first_picture(clip: str) -> NDArray[np.uint8]:
    with open_source(clip, SourceConfig()) as source:
        return next(iter(source)).image


def _frames(video: str) -> int:
    with av.open(video) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def timed(run: Run, video: str) -> tuple[float, float]:
    """Seconds of a run, and of all cores together."""
    with tempfile.TemporaryDirectory() as folder:
        start = os.times()
        run(video, Path(folder))
        stop = os.times()
    busy = stop.children_user + stop.children_system - start.children_user - start.children_system
    return stop.elapsed - start.elapsed, busy


def _pace(name: str, spent: Sequence[_Spent], ours: Sequence[_Spent]) -> Throughput:
    ratio = median(theirs / mine for (theirs, _), (mine, _) in zip(spent, ours, strict=True))
    return Throughput(name, tuple(1 / wall for wall, _ in spent), 1000 * median(cpu for _, cpu in spent), ratio)


def _ours(options: Sequence[str], clip: str, folder: Path) -> None:
    outputs = ["--output", str(folder / "video.mp4"), "--output", str(folder / "tracks.csv")]
    _checked([*COMMAND, clip, "--quiet", *outputs, *options], environment())


def _usual(job: Job, clip: str, folder: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=naive_pipeline, args=(job, clip, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise InputError(f"the usual script ended with exit code {process.exitcode}")


def _ultralytics(python: Path) -> BaselinePipeline:
    """Its command, as its users call it. Nothing of it is imported here; its licence is not ours."""
    command = python.with_name("yolo")
    code = "from importlib.metadata import version; print(version('ultralytics'))"
    version = subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()

    def run(clip: str, folder: Path) -> None:
        options = [f"source={clip}", f"project={folder}", "save=True", "save_txt=True", "device=cpu", "verbose=False"]
        settings = {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
        _checked([str(command), "track", f"model={UNTRAINED}", *options], {**os.environ, **settings})

    about = f"{version}, yolo track model={UNTRAINED}: untrained, it finds nothing, and its tracker is idle"
    return BaselinePipeline("ultralytics", about, run)


def _checked(command: Sequence[str], variables: Mapping[str, str]) -> None:
    done = subprocess.run(command, stdout=subprocess.DEVNULL, env=variables)
    if done.returncode:
        raise InputError(f"{command[0]} ended with exit code {done.returncode}")
