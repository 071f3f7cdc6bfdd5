"""Metrics logged during a training: reading and plotting them."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracker.errors import InputError
from tracker.training.trainer import LOG_FOLDER, METRICS_FILE

MetricsLog = dict[str, dict[int, float]]
"""Values of each metric by step."""

MAX_POINTS = 30  # approximate number of points of a smoothed loss curve


def read_metrics_log(folder: Path, stage_steps: Mapping[str, int]) -> MetricsLog:
    """Reads the metrics that were logged in the folder of a training; steps are counted over all of its stages.

    A resumed stage has one table for each run; the later one counts. `stage_steps` are the steps of each stage by its
    name, in the order of the stages.
    """
    metrics: MetricsLog = {}
    offset = 0
    for stage, steps in stage_steps.items():
        for table in sorted((folder / LOG_FOLDER / stage).glob(f"*/{METRICS_FILE}")):
            with table.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    # The last row may be cut off, on a disk that was full; a resumed training repeats its step.
                    with suppress(TypeError, ValueError):
                        step = offset + int(row.pop("step")) + 1
                        for name, value in row.items():
                            if value:
                                metrics.setdefault(name, {})[step] = float(value)
        offset += steps
    return metrics


def plot_metrics_log(metrics: MetricsLog, path: Path, scores: Sequence[str]) -> None:
    """Plots the losses, the metrics named in `scores` (0 to 1) and the learning rates over the steps."""
    losses = {name.removeprefix("loss_"): _smooth(metrics[name]) for name in metrics if name.startswith("loss")}
    rates = {name.removeprefix("lr-"): metrics[name] for name in metrics if name.startswith("lr-")}  # Lightning's names
    figure = Figure(figsize=(16, 4.6), dpi=130, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _plot(left, "Losses", losses)
    _plot(middle, "Scores", {name: metrics[name] for name in scores if name in metrics}, marker="o")
    middle.set_ylim(0, 1)
    _plot(right, "Learning rates", rates)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _smooth(curve: Mapping[int, float]) -> dict[int, float]:
    """Returns means over windows, about `MAX_POINTS` of them."""
    window = max(1, len(curve) // MAX_POINTS)
    steps, values = list(curve), list(curve.values())
    windows = [slice(start, start + window) for start in range(0, len(steps), window)]
    return {steps[part][-1]: float(np.mean(values[part])) for part in windows}


def _plot(axes: Axes, title: str, curves: Mapping[str, Mapping[int, float]], marker: str = "") -> None:
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker=marker, markersize=4, linewidth=1.6, label=name)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(loc="upper right", frameon=False, fontsize=8)
