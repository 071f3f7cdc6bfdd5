"""Compares whole runs on the CPU, from a video file to an annotated one and a table, with baseline pipelines."""

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

from benchmarks.backends import Job, prepare_job
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
CANDIDATES = 10  # boxes of an untrained network in an image, before NMS
UNTRAINED = "yolo11n.yaml"

_Times = tuple[float, float]
"""Wall seconds and CPU seconds of all cores, for a frame."""

RunFunction = Callable[[str, Path], None]
"""Tracks a clip into a folder, in a process of its own."""


@dataclass(frozen=True)
class BaselinePipeline:
    """A pipeline from a clip to its tracks: its name, its components, and the function that runs it."""

    name: str
    description: str
    run: RunFunction


@dataclass(frozen=True)
class Throughput:
    """The throughput of a pipeline.

    Attributes:
        name: Name of the pipeline.
        rates: Frames per second of each repetition.
        cpu_milliseconds: Median CPU time of all cores for a frame; other programs on the machine change it less.
        ratio: Median over the repetitions of our throughput over this one.
    """

    name: str
    rates: tuple[float, ...]
    cpu_milliseconds: float
    ratio: float


def available_baselines(model: str, clip: str, ultralytics: str, folder: Path) -> list[BaselinePipeline]:
    """Returns our pipeline and the baselines that are installed.

    Args:
        model: `builtin`, or an R-CNN of torchvision with random weights, the same for ours and the naive script.
        clip: The clip on whose first image the score threshold of such a network is set.
        ultralytics: Python of an environment with that package; empty for none.
        folder: Folder for the weights.

    Raises:
        InputError: The model is unknown, or there is no such Python.
    """
    if ultralytics and not Path(ultralytics).with_name("yolo").exists():
        raise InputError(f"there is no command yolo beside {ultralytics}: give the Python that has ultralytics")
    job = _prepare_job(model, clip, folder)
    options = [] if model == "builtin" else ["--weights", str(folder / "model.safetensors"), "--nms-iou", "0.5"]
    pipelines = [
        BaselinePipeline(
            OURS, f"{model}, --backend auto", partial(_run_ours, [*options, "--score", str(job.config.score)])
        )
    ]
    if not missing_packages():
        versions = f"torchvision {version_of('torchvision')}, deep-sort-realtime {version_of('deep-sort-realtime')}"
        description = f"OpenCV {version_of('opencv-python')}, {versions}: {model} frame by frame, the same weights"
        pipelines.append(BaselinePipeline("naive script", description, partial(_run_naive, job)))
    if ultralytics:
        pipelines.append(_ultralytics_pipeline(Path(ultralytics)))
    return pipelines


def missing_packages() -> list[str]:
    """Returns the packages of the naive script that are not installed."""
    return [package for package in ("deep_sort_realtime", "pkg_resources") if find_spec(package) is None]


def compare_pipelines(
    pipelines: Sequence[BaselinePipeline], clip: str, loops: int, repetitions: int
) -> list[Throughput]:
    """Runs all pipelines on a clip that is repeated several times, in turn; loading is included.

    Args:
        pipelines: Ours is among them.
        clip: A video file.
        loops: Number of repetitions of the clip in a run: the more, the less loading counts.
        repetitions: Number of runs of each pipeline.

    Raises:
        InputError: There is nothing to measure, or a run failed; see stderr.
    """
    if min(loops, repetitions) < 1:
        raise InputError("loops and repetitions must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        once, looped = f"{folder}/once.mp4", f"{folder}/looped.mp4"
        seconds = write_loop(clip, 0.0, Path(once))
        write_loop(once, (loops - 0.5) * seconds, Path(looped))
        frames = _count_frames(looped)
        times: dict[str, list[_Times]] = {pipeline.name: [] for pipeline in pipelines}
        for _ in range(repetitions):
            for pipeline in pipelines:
                wall, cpu = measure_run(pipeline.run, looped)
                times[pipeline.name].append((wall / frames, cpu / frames))
    return [_throughput(name, pipeline_times, times[OURS]) for name, pipeline_times in times.items()]


def _prepare_job(model: str, clip: str, folder: Path) -> Job:
    """Prepares the network that our run and the naive script share; its weights are written for the former."""
    threads = count_threads(0)
    job = prepare_job(model, [_first_image(clip)], threads, folder / "state.pt", ("person",), CANDIDATES)
    if model == "builtin":
        return replace(job, config=DetectorConfig(threads=threads))
    state = torch.load(job.state, weights_only=True)
    save_model(folder / "model.safetensors", {name: value.numpy() for name, value in state.items()}, job.info)
    return job


def _first_image(clip: str) -> NDArray[np.uint8]:
    with open_source(clip, SourceConfig()) as source:
        return next(iter(source)).image


def _count_frames(video: str) -> int:
    with av.open(video) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def measure_run(run: RunFunction, video: str) -> tuple[float, float]:
    """Returns the wall seconds of a run, and the CPU seconds of all cores."""
    with tempfile.TemporaryDirectory() as folder:
        start = os.times()
        run(video, Path(folder))
        end = os.times()
    cpu = end.children_user + end.children_system - start.children_user - start.children_system
    return end.elapsed - start.elapsed, cpu


def _throughput(name: str, times: Sequence[_Times], our_times: Sequence[_Times]) -> Throughput:
    ratio = median(wall / our_wall for (wall, _), (our_wall, _) in zip(times, our_times, strict=True))
    return Throughput(name, tuple(1 / wall for wall, _ in times), 1000 * median(cpu for _, cpu in times), ratio)


def _run_ours(options: Sequence[str], clip: str, folder: Path) -> None:
    outputs = ["--output", str(folder / "video.mp4"), "--output", str(folder / "tracks.csv")]
    _run_command([*COMMAND, clip, "--quiet", *outputs, *options], environment())


def _run_naive(job: Job, clip: str, folder: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=naive_pipeline, args=(job, clip, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise InputError(f"the naive script ended with exit code {process.exitcode}")


def _ultralytics_pipeline(python: Path) -> BaselinePipeline:
    """Runs the command of ultralytics, as its users do. Nothing of it is imported here; its license is not ours."""
    command = python.with_name("yolo")
    code = "from importlib.metadata import version; print(version('ultralytics'))"
    version = subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()

    def run(clip: str, folder: Path) -> None:
        options = [f"source={clip}", f"project={folder}", "save=True", "save_txt=True", "device=cpu", "verbose=False"]
        settings = {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
        _run_command([str(command), "track", f"model={UNTRAINED}", *options], {**os.environ, **settings})

    description = f"{version}, yolo track model={UNTRAINED}: untrained, it finds nothing, and its tracker is idle"
    return BaselinePipeline("ultralytics", description, run)


def _run_command(command: Sequence[str], variables: Mapping[str, str]) -> None:
    result = subprocess.run(command, stdout=subprocess.DEVNULL, env=variables)
    if result.returncode:
        raise InputError(f"{command[0]} ended with exit code {result.returncode}")
