"""What a person sees of `track bench`: how fast this machine tracks, what it waits for, and what would help."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from tracker.cli.console import check_output, page, print_report, progress
from tracker.cli.demo import draw_clip
from tracker.config import Config
from tracker.evaluation.speed.advice import advice
from tracker.evaluation.speed.backend_ratios import backend_ratios, missing_backends
from tracker.evaluation.speed.machine import gpus, load_average, machine
from tracker.evaluation.speed.speed import Speeds
from tracker.evaluation.speed.stages import first_frames, stage_speeds
from tracker.pipeline.run_record import plain, versions, write_record


def bench_and_show(source: str, config: Config, frames: int, json: Path | None) -> int:
    """Measures how fast a source is tracked here, and prints it; returns the exit code.

    Args:
        source: As `track` takes it; empty for the demo's clip.
        config: Settings of the run.
        frames: How many frames to measure.
        json: File for all figures.

    Raises:
        InputError: The source is live, or it or the config cannot be used; or the file cannot be written.
    """
    check_output(json, (".json",), config.output.overwrite)
    load = load_average()
    with ExitStack() as stack:
        if not source:
            source = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo.mp4")
            draw_clip(Path(source))
        show = stack.enter_context(progress("measuring"))
        clip, seen = first_frames(source, config, frames)
        speeds = stage_speeds(source, clip, seen, config, show)
        ratios = backend_ratios(config.detector, speeds.backend, seen)
    preferred = missing_backends(speeds.backend) if config.detector.backend == "auto" else []
    sentences = advice(speeds, config.detector.detect_every, "".join(gpus()[:1]), ratios, preferred)
    print_report(page(), [_conditions(speeds, load), _table(speeds), _whole(speeds, ratios), "\n".join(sentences)])
    if json:
        write_record(json, {**_figures(speeds, ratios), "load": load, "advice": sentences, "config": plain(config)})
        print(f"wrote {json}")
    return 0


def _conditions(speeds: Speeds, load: float) -> str:
    clip = speeds.clip
    lines = [
        machine(),
        ", ".join(f"{name} {version}" for name, version in versions().items()),
        f"{Path(clip.name).name}: {clip.width}x{clip.height}, {clip.rate:.4g} frames/s, {clip.frames} frames measured",
        f"networks on {speeds.device}, computed by {speeds.backend}",
    ]
    if load >= 0.5:
        lines.append(f"other programs are at work (load average {load:.1f}): an idle machine is faster")
    return "\n".join(lines)


def _table(speeds: Speeds) -> Table:
    """The stages one after the other; share is that of the time of all of them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage, alone")
    for title in ("frames/s", "ms a frame", "CPU ms", "share"):
        table.add_column(title, justify="right")
    whole = sum(cost.wall for cost in speeds.stages.values())
    for stage, cost in speeds.stages.items():
        figures = f"{1 / cost.wall:,.1f}", f"{1000 * cost.wall:.2f}", f"{1000 * cost.cpu:.2f}"
        table.add_row(stage, *figures, f"{100 * cost.wall / whole:.0f} %")
    return table


def _whole(speeds: Speeds, ratios: Mapping[str, float]) -> str:
    allowed = speeds.limits[speeds.slowest]
    lines = [
        f"a run, its stages at the same time: {speeds.whole:.1f} frames/s, {speeds.real_time:.2f} times real time",
        f"of the {allowed:.1f} frames/s that {speeds.slowest} alone would allow, that is {speeds.share:.0%}; "
        f"{speeds.cores_used:.1f} of {speeds.cores} cores were at work",
    ]
    lines += speeds.gpu.lines
    queues = [f"{name} {fill.mean:.1f} of {fill.room}" for name, fill in speeds.queues.items()]
    lines += [f"waiting between the stages, on average: {', '.join(queues)}"] if queues else []
    others = [f"{name} {ratio:.2f}" for name, ratio in ratios.items()]
    lines += [f"speed of detection by backend, as a ratio: {', '.join(others)}"] if others else []
    return "\n".join(lines)


def _figures(speeds: Speeds, ratios: Mapping[str, float]) -> dict[str, Any]:
    """Everything that was measured, as JSON can hold it; times in seconds a frame, rates in frames per second."""
    derived = {name: getattr(speeds, name) for name in ("limits", "slowest", "share", "real_time")}
    return {"machine": machine(), "versions": versions(), **asdict(speeds), **derived, "backends": dict(ratios)}
