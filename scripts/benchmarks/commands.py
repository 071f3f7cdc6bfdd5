"""The measurements of `scripts/benchmark.py`, as lines of text that come as soon as they are known."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from cyclopts import Parameter

from tracker.config import Config, load_config
from tracker.errors import InputError
from tracker.pipeline.run_record import versions, write_record


def stages(clip: str, frames: int = 300, /) -> Iterator[str]:
    """Frames per second of each stage alone, and of whole runs, on the first frames of a clip."""
    from tracker.evaluation.speed.machine import machine
    from tracker.evaluation.speed.stages import first_frames, stage_speeds

    yield machine()
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    speeds = stage_speeds(clip, *first_frames(clip, Config(), frames), Config())
    for stage, cost in speeds.stages.items():
        yield f"{stage:10s} {1 / cost.wall:8.1f} frames/s  {1000 * cost.wall:7.2f} ms/frame"
    yield f"{'whole':10s} {speeds.whole:8.1f} frames/s  {speeds.share:7.1%} of what {speeds.slowest} would allow"


def memory(*clips: str, minutes: float = 0.0) -> Iterator[str]:
    """Peak memory of a run for each clip, in a process of its own; of a long run, whether memory grows.

    Args:
        clips: Video files.
        minutes: Loop each clip to a video of so many minutes, and look at the memory meanwhile.

    Raises:
        InputError: A run failed; it has said why on stderr.
    """
    from benchmarks.memory import long_run, peak_memory

    for clip in clips:
        if not minutes:
            yield f"{clip}: peak memory {peak_memory(clip)} MiB"
            continue
        run = long_run(clip, minutes)
        yield f"{clip}: {run.minutes:.1f} minutes of video in {run.elapsed:.0f} s"
        yield f"  resident: {run.start:.0f} MiB after the warm-up, {run.end:.0f} before the end, {run.peak:.0f} at most"
        yield f"  growth: {run.slope:+.1f} MiB for each hour of video, standard error {run.error:.1f}"
        for line in run.gpu.lines:
            yield f"  {line}"
        for name, queue in run.queues.items():
            yield f"  queue {name}: {queue['highest']} of {queue['room']} at most, {queue['mean']:.1f} on average"


def startup(clip: str = "", /, *, repetitions: int = 5) -> Iterator[str]:
    """Seconds until a fresh process has imported the package, shown its help, and found a clip's first tracks.

    Args:
        clip: A video file; without it the demo's clip.
        repetitions: How often each is started, in turn.

    Raises:
        InputError: A run failed; it has said why on stderr.
    """
    from benchmarks.startup import startup_times

    yield f"median of {repetitions} fresh processes, seconds (fastest, slowest)"
    for name, times in startup_times(clip, repetitions).items():
        yield f"{name:26s}{median(times):8.2f} ({min(times):.2f}, {max(times):.2f})"


def association(
    *objects: int,
    repetitions: int = 3,
    json: Annotated[Path | None, Parameter(help="File for all figures.")] = None,
    plot: Annotated[Path | None, Parameter(help="File for a chart, .png or .svg.")] = None,
) -> Iterator[str]:
    """Time of one update with 10 50 100 300 1000 objects (or others), for this tracker and for those that are here.

    Raises:
        InputError: There is nothing to measure, or no place or no means for the results.
    """
    from benchmarks.association import as_json, compare, conditions
    from benchmarks.other_trackers import available
    from benchmarks.report import check_chart, draw_chart, headline, table
    from benchmarks.synthetic import OBJECTS

    for path in (json, plot):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent} for {path.name}: make it first")
    if plot is not None:
        check_chart(plot)
    entries, missing = available()
    facts = conditions(entries, missing)
    yield headline(facts)
    comparisons = []
    for number in objects or OBJECTS:
        comparisons.append(compare(entries, number, repetitions))
        yield "\n" + table(comparisons[-1])
    if json is not None:
        write_record(json, as_json(comparisons, facts))
        yield f"\nwrote {json}"
    if plot is not None:
        draw_chart(comparisons, facts, plot)
        yield f"\nwrote {plot}"


def rivals(
    clip: str,
    /,
    *,
    model: str = "builtin",
    ultralytics: str = "",
    rounds: int = 3,
    repetitions: int = 3,
    json: Annotated[Path | None, Parameter(help="File for all figures.")] = None,
) -> Iterator[str]:
    """Whole runs on the CPU, from a video to an annotated one and a table: ours, and what a user would pick instead.

    Args:
        clip: A video file.
        model: builtin, or an R-CNN of torchvision's with random weights, the same for us and for the usual script.
        ultralytics: Python of an environment in which that package is installed.
        rounds: How often a run shows the clip; loading counts too, and the less so the longer a run is.
        repetitions: How often each one runs, in turn.
        json: File for all figures.

    Raises:
        InputError: A run failed; it has said why on stderr. Or there is no place for the results.
    """
    from benchmarks.end_to_end import compare_runs, missing_for_usual, rivals_of
    from tracker.evaluation.speed.machine import machine

    if json is not None and not json.parent.is_dir():
        raise InputError(f"there is no folder {json.parent} for {json.name}: make it first")
    with tempfile.TemporaryDirectory() as folder:
        found = rivals_of(model, clip, ultralytics, Path(folder))
        yield machine()
        yield ", ".join(f"{name} {version}" for name, version in versions().items())
        for rival in found:
            yield f"{rival.name}: {rival.about}"
        for package in missing_for_usual():
            yield f"left out: the usual script (no package {package}: pip install 'tracker[benchmark]')"
        paces = compare_runs(found, clip, rounds, repetitions)
    yield f"\n{'':20s}{'frames/s':>10s}{'ours over it':>14s}{'CPU ms':>9s}"
    for pace in paces:
        row = f"{median(pace.rates):10.2f}{pace.ratio:13.2f}x{pace.cpu:9.1f}"
        yield f"{pace.name:20s}{row}"
    if json is not None:
        facts = {"machine": machine(), "versions": versions(), "clip": clip, "model": model, "rounds": rounds}
        about = {rival.name: rival.about for rival in found}
        write_record(json, {**facts, "rivals": about, "paces": [asdict(pace) for pace in paces]})
        yield f"\nwrote {json}"


def switches(
    folder: Path,
    /,
    *configs: Path,
    det: str = "det.txt",
    start: Path | None = None,
    json: Annotated[Path | None, Parameter(help="File for all figures.")] = None,
) -> Iterator[str]:
    """What each switch of the tracker contributes on sequences with truth: the figures of the defaults without it.

    Args:
        folder: Sequences in the layout of the MOTChallenge: NAME/det/det.txt, NAME/gt/gt.txt, NAME/seqinfo.ini.
        configs: Files of settings to compare with, such as configs/sort.yaml.
        det: Name of the files of detections.
        start: File of the settings to start from, instead of the defaults.
        json: File for all figures.

    Raises:
        InputError: A file cannot be read or written.
    """
    from benchmarks.ablation import Result, as_json, as_text, heading, measured, rows

    if json is not None and not json.parent.is_dir():
        raise InputError(f"there is no folder {json.parent} for {json.name}: make it first")
    done: list[Result] = []
    for row, figures in measured(folder, det, rows(load_config(start) if start else Config(), configs)):
        if not done:
            yield heading()
        done.append((row, figures))
        yield as_text(row, figures)
    if json is not None:
        write_record(json, {"versions": versions(), "rows": as_json(done)})
        yield f"\nwrote {json}"


def detectors(
    *,
    model: str = "fasterrcnn_resnet50_fpn_v2",
    device: str = "auto",
    precision: Literal["auto", "fp32", "half"] = "auto",
    size: tuple[int, int] = (1333, 800),
    batch: int = 4,
    batches: int = 4,
    repetitions: int = 5,
    json: Annotated[Path | None, Parameter(help="File for all figures.")] = None,
) -> Iterator[str]:
    """Pictures a second of a detector of torchvision's, detecting and learning: here and in torchvision's own loops.

    Args:
        model: One of torchvision's detectors.
        device: auto, cpu, cuda or cuda:N.
        precision: Of ours; auto is half on CUDA devices (bfloat16 in training). Torchvision's loops are in float32.
        size: Width and height of the pictures, pixels; the networks leave them so.
        batch: Pictures in a batch; in inference torchvision's loop takes them one by one.
        batches: How many each repetition takes.
        repetitions: How often each side runs, in turn.
        json: File for all figures.

    Raises:
        InputError: There is nothing to measure, or no place for the results.
    """
    from benchmarks.detectors import compare_inference, compare_training, make_setting, peak_flops
    from tracker.models.runtime import in_half

    if json is not None and not json.parent.is_dir():
        raise InputError(f"there is no folder {json.parent} for {json.name}: make it first")
    setting = make_setting(model, device, precision, size, batch, batches)
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"{model} on {setting.device}, {size[0]}x{size[1]} pixels, batches of {batch}, {repetitions} repetitions"
    peak = peak_flops(setting.device, in_half(precision, setting.device))
    yield f"products of matrices: {peak / 1e12:.2f} TFLOP/s at the most in ours' precision"
    head = f"{'pictures/s, median':20s}{'ours':>9s}{'torchvision':>13s}{'ratio':>8s}{'MiB':>9s}{'MiB':>9s}"
    yield f"{head}{'TFLOP/s':>9s}{'of peak':>9s}"
    speeds = []
    for compare in (compare_inference, compare_training):
        speed = compare(setting, repetitions)
        memory = "".join(f"{value:9.0f}" if value else f"{'-':>9s}" for value in speed.memory)
        reached = median(speed.ours) * speed.flops
        row = f"{speed.name:20s}{median(speed.ours):9.2f}{median(speed.theirs):13.2f}{speed.ratio:7.2f}x{memory}"
        yield f"{row}{reached / 1e12:9.3f}{reached / peak:8.1%}"
        speeds.append(asdict(speed))
    if json is not None:
        facts = {"model": model, "device": str(setting.device), "size": size, "batch": batch, "precision": precision}
        write_record(json, {"versions": versions(), **facts, "peak_flops": peak, "speeds": speeds})
        yield f"\nwrote {json}"


def backends(
    *models: str,
    size: tuple[int, int] = (1280, 720),
    pictures: int = 4,
    threads: int = 0,
    repetitions: int = 5,
    json: Annotated[Path | None, Parameter(help="File for all figures.")] = None,
) -> Iterator[str]:
    """Pictures a second of detectors on the CPU, by what computes them, and whether they find what torchvision finds.

    Args:
        models: builtin and R-CNNs of torchvision's, these with random weights; three of them without.
        size: Width and height of the pictures, pixels; the networks bring them to their own.
        pictures: How many each repetition takes; torchvision takes them one by one.
        threads: Of all ways, 0 for as many as there are cores.
        repetitions: How often each way runs, in turn.
        json: File for all figures.

    Raises:
        InputError: There is nothing to measure, or no place for the results.
    """
    from benchmarks.backends import MODELS, compare_ways
    from tracker.models.runtime.device import count_threads

    if json is not None and not json.parent.is_dir():
        raise InputError(f"there is no folder {json.parent} for {json.name}: make it first")
    threads = count_threads(threads)
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"{size[0]}x{size[1]} pixels, {pictures} at a time, {threads} threads, {repetitions} repetitions"
    compared = {}
    for model in models or MODELS:
        ways = compare_ways(model, size, pictures, threads, repetitions)
        yield f"\n{model:40s}{'pictures/s':>11s}{'ratio':>8s}{'CPU ms':>9s}{'boxes equal':>16s}"
        for way in ways:
            same = f"{way.equal:.1%} of {way.boxes}"
            yield f"  {way.name:38s}{median(way.rates):11.2f}{way.ratio:7.2f}x{way.cpu:9.1f}{same:>16s}"
        compared[model] = [asdict(way) for way in ways]
    if json is not None:
        facts = {"size": size, "pictures": pictures, "threads": threads}
        write_record(json, {"versions": versions(), **facts, "models": compared})
        yield f"\nwrote {json}"
