"""Plots HOTA, DetA and AssA over the IoU threshold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.data.files import replace_file
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import ALPHAS, CURVES, TrackingMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
COLORS = {"HOTA": "#1f4e8c", "DetA": "#c8620a", "AssA": "#2e7d4f"}
GRAY = "#8a8a8a"
LABEL_STEP = 0.06  # least distance of two labels, fraction of the axis
MAX_NAME_LENGTH = 16  # characters

Line = tuple[str, NDArray[np.float64], str, str]
"""Name, percentages (19,), color, line style."""


def draw_curves(runs: Mapping[str, TrackingMetrics], path: Path) -> None:
    """Draws the combined curves: of one run into one diagram, of several runs into one diagram for each metric.

    Args:
        runs: Metrics by the name of the run; the first one is highlighted.
        path: A .png, .svg or .pdf file.

    Raises:
        InputError: The suffix is another one, or the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot draw {path}: its name must end with {', '.join(SUFFIXES)}")
    from matplotlib.figure import Figure

    if len(runs) == 1:
        (metrics,) = runs.values()
        panels = {"": [(name, curve, COLORS[name], "-") for name, curve in metrics.curves.items()]}
    else:
        panels = {name: _lines_of_runs(name, runs) for name in CURVES}
    figure = Figure(figsize=(7.2 if len(runs) == 1 else 14, 4.8), dpi=150, layout="constrained")
    highest = max(float(curve.max()) for lines in panels.values() for _, curve, _, _ in lines)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, title, lines, min(100.0, 10 * np.ceil(highest / 10 + 0.2)))
    figure.suptitle("All sequences combined, percent", fontsize="medium", color="#555555")
    try:
        with replace_file(path, path.suffix) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _lines_of_runs(metric: str, runs: Mapping[str, TrackingMetrics]) -> list[Line]:
    colors = [COLORS[metric], *[GRAY] * (len(runs) - 1)]
    styles = ["-", *["--"] * (len(runs) - 1)]
    return [
        (name, metrics.curves[metric], color, style)
        for (name, metrics), color, style in zip(runs.items(), colors, styles, strict=True)
    ]


def _draw(axes: "Axes", title: str, lines: Sequence[Line], upper_limit: float) -> None:
    for index, (_, curve, color, style) in enumerate(lines):
        axes.plot(ALPHAS, curve, color=color, linestyle=style, linewidth=2, zorder=3 - index / 10, clip_on=False)
    axes.set(title=title, xlabel="IoU threshold", xlim=ALPHAS[[0, -1]], ylim=(0, upper_limit))
    axes.set_xticks(ALPHAS[::9] if title else ALPHAS[::3])
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=8, colors="#555555")
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.spines[:].set_visible(False)
    for (name, curve, color, _), height in zip(
        lines, _spread_labels([curve[0] for _, curve, _, _ in lines], upper_limit), strict=True
    ):
        # The labels are left of the diagram, where the lines begin.
        axes.annotate(
            f"{_shorten(name)}  {curve.mean():.1f}",
            (ALPHAS[0], curve[0]),
            (ALPHAS[0] - 0.06, height),
            color=color,
            ha="right",
            va="center",
            fontweight="bold",
            annotation_clip=False,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 0},
        )


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH // 2]}…{name[-MAX_NAME_LENGTH // 2 :]}"


def _spread_labels(heights: Sequence[float], upper_limit: float) -> list[float]:
    """Moves labels at some heights apart, in their order and as little as possible."""
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(heights)) * LABEL_STEP * upper_limit
    # Heights a step apart ascend once the steps are subtracted; running extremes make them ascend.
    levels = np.asarray(heights)[order] - steps
    sorted_levels = (np.maximum.accumulate(levels) + np.minimum.accumulate(levels[::-1])[::-1]) / 2
    placed = np.empty(len(heights))
    placed[order] = sorted_levels + steps
    return [float(height) for height in placed]
