"""The course of a training, from its log to a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracker.errors import InputError
from tracker.training.trainer import LOG, TABLE

Course = dict[str, dict[int, float]]
"""Values of each logged figure by step."""

RATE = "lr-"  # how Lightning's names of learning rates begin
SMOOTH = 30  # points of a loss curve are averaged to about so many


def read_metrics_log(folder: Path, phases: Mapping[str, int]) -> Course:
    """Reads what was logged; the steps of all phases are counted on.

    Args:
        folder: Of the training. A phase that was resumed has a table for each time that it was run; what a later one
            says counts.
        phases: The steps of each, by its name, in their order.
    """
    course: Course = {}
    before = 0
    for phase, steps in phases.items():
        for table in sorted((folder / LOG / phase).glob(f"*/{TABLE}")):
            with table.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    step = before + int(row.pop("step")) + 1
                    for name, value in row.items():
                        if value:
                            course.setdefault(name, {})[step] = float(value)
        before += steps
    return course


def draw_course(course: Course, path: Path, figures: Sequence[str]) -> None:
    """Draws the losses, some figures of the scorings, from 0 to 1, and the learning rates over the steps.

    Raises:
        InputError: The file cannot be written.
    """
    losses = {name.removeprefix("loss_"): _smooth(course[name]) for name in course if name.startswith("loss")}
    scores = {name: course[name] for name in figures if name in course}
    rates = {name.removeprefix(RATE): course[name] for name in course if name.startswith(RATE)}
    figure = Figure(figsize=(16, 4.6), dpi=130, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw(left, "Losses", losses)
    _draw(middle, "Scores", scores, marker="o")
    middle.set_ylim(0, 1)
    _draw(right, "Learning rates", rates)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _smooth(values: Mapping[int, float]) -> dict[int, float]:
    """Means of so many neighbouring values that about `SMOOTH` are left."""
    size = max(1, len(values) // SMOOTH)
    steps, heights = list(values), list(values.values())
    chunks = [slice(n, n + size) for n in range(0, len(steps), size)]
    return {steps[chunk][-1]: float(np.mean(heights[chunk])) for chunk in chunks}


def _draw(axes: Axes, title: str, curves: Mapping[str, Mapping[int, float]], marker: str = "") -> None:
    for name, values in curves.items():
        axes.plot(list(values), list(values.values()), marker=marker, markersize=4, linewidth=1.6, label=name)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(loc="upper right", frameon=False, fontsize=8)
