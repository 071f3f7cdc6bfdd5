"""`track bench`: measures the speed of a run on this machine, stage by stage, and gives advice."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.table import Table

from tracker.cli import options
from tracker.cli.console import check_output, print_report, report_console, say
from tracker.cli.demo import draw_clip
from tracker.cli.progress import progress
from tracker.evaluation.speed.advice import advice
from tracker.evaluation.speed.backend_ratios import backend_ratios, missing_backends
from tracker.evaluation.speed.machine import gpu_names, load_average, machine
from tracker.evaluation.speed.speed import SpeedReport
from tracker.evaluation.speed.stages import measure_stages, read_first_frames
from tracker.pipeline.run_record import config_to_json, versions, write_record

app = options.CommandApp(name="bench")


@app.default
def bench(
    source: Annotated[
        str, options.help_text("A video file, or a folder or glob of images; without it the demo's clip.")
    ] = "",
    /,
    *,
    frames: Annotated[int, Parameter(help="Measure the first N frames.", validator=validators.Number(gte=1))] = 300,
    json: Annotated[Path | None, options.help_text("Write all figures to this file.")] = None,
    config: options.ConfigFile = None,
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: options.Output = options.DEFAULTS.output,
) -> int:
    """Runs the command; returns the exit code."""
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output)
    check_output(json, (".json",), settings.output.overwrite)
    load = load_average()
    with ExitStack() as stack:
        if not source:
            source = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo.mp4")
            draw_clip(Path(source))
        show = stack.enter_context(progress("measuring"))
        clip, warmup = read_first_frames(source, settings, frames)
        speeds = measure_stages(source, clip, warmup, settings, show)
        ratios = backend_ratios(settings.detector, speeds.backend, warmup)
    preferred = missing_backends(speeds.backend) if settings.detector.backend == "auto" else []
    sentences = advice(speeds, settings.detector.detect_every, "".join(gpu_names()[:1]), ratios, preferred)
    print_report(
        report_console(), [_conditions(speeds, load), _table(speeds), _throughput(speeds, ratios), "\n".join(sentences)]
    )
    if json:
        write_record(
            json, {**_figures(speeds, ratios), "load": load, "advice": sentences, "config": config_to_json(settings)}
        )
        say(f"wrote {json}")
    return 0


def _conditions(speeds: SpeedReport, load: float) -> str:
    clip = speeds.clip
    lines = [
        machine(),
        ", ".join(f"{name} {version}" for name, version in versions().items()),
        f"{Path(clip.name).name}: {clip.width}x{clip.height}, {clip.frame_rate:.4g} frames/s, "
        f"{clip.frames} frames measured",
        f"networks on {speeds.device}, computed by {speeds.backend}",
    ]
    if load >= 0.5:
        lines.append(f"other programs are at work (load average {load:.1f}): an idle machine is faster")
    return "\n".join(lines)


def _table(speeds: SpeedReport) -> Table:
    """Returns a table of the stages, run one after the other, each with its fraction of the total time."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage, alone")
    for title in ("frames/s", "ms a frame", "CPU ms", "share"):
        table.add_column(title, justify="right")
    total = sum(cost.wall for cost in speeds.stages.values())
    for stage, cost in speeds.stages.items():
        figures = f"{1 / cost.wall:,.1f}", f"{1000 * cost.wall:.2f}", f"{1000 * cost.cpu:.2f}"
        table.add_row(stage, *figures, f"{100 * cost.wall / total:.0f} %")
    return table


def _throughput(speeds: SpeedReport, ratios: Mapping[str, float]) -> str:
    allowed = speeds.throughput_limits[speeds.bottleneck]
    lines = [
        f"a run, its stages at the same time: {speeds.throughput:.1f} frames/s, "
        f"{speeds.real_time_factor:.2f} times real time",
        f"of the {allowed:.1f} frames/s that {speeds.bottleneck} alone would allow, that is {speeds.efficiency:.0%}; "
        f"{speeds.cores_used:.1f} of {speeds.cores} cores were at work",
    ]
    lines += speeds.gpu.lines
    queues = [f"{name} {stats.mean:.1f} of {stats.size}" for name, stats in speeds.queues.items()]
    lines += [f"waiting between the stages, on average: {', '.join(queues)}"] if queues else []
    others = [f"{name} {ratio:.2f}" for name, ratio in ratios.items()]
    lines += [f"speed of detection by backend, as a ratio: {', '.join(others)}"] if others else []
    return "\n".join(lines)


def _figures(speeds: SpeedReport, ratios: Mapping[str, float]) -> dict[str, Any]:
    """Returns all figures as JSON can hold them; times in seconds a frame, rates in frames per second."""
    derived = {
        name: getattr(speeds, name) for name in ("throughput_limits", "bottleneck", "efficiency", "real_time_factor")
    }
    return {"machine": machine(), "versions": versions(), **asdict(speeds), **derived, "backends": dict(ratios)}
