"""Writes a comparison of trackers as text and as a plot of latency over the number of objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.association import Comparison
from benchmarks.other_trackers import ENTRIES, OURS
from tracker.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0b5fbd", "#5fa3e6", "#c2410c", "#4d7c0f", "#7e57a8", "#8a6d1d", "#666666")
LABEL_GAP = 0.048  # least distance of two labels, fraction of the axis


def headline(conditions: Mapping[str, Any]) -> str:
    """Returns machine, versions and threads, and the missing trackers with the reason."""
    limits = ", ".join(f"{name}={value}" for name, value in conditions["thread_limits"].items())
    lines = [
        conditions["machine"],
        ", ".join(f"{name} {version}" for name, version in conditions["versions"].items()),
        f"threads: {conditions['threads'] or 'unknown'}{f' ({limits})' if limits else ''}",
        "ms: CPU time of one update, median over the second half of the stream; ratio: over that of tracker",
        f"galleries of {conditions['gallery_size']} embeddings; all other settings are each tracker's defaults",
    ]
    lines += [f"left out: {name} ({why})" for name, why in conditions["missing"].items()]
    return "\n".join(lines)


def table(comparison: Comparison) -> str:
    """Returns a table of the latency of an update in ms and as a ratio to ours, IDF1 in percent, and id switches."""
    title = f"{comparison.objects} objects, {comparison.frames} frames"
    lines = [f"{title:28s}{'ms/update':>10s}{'ratio':>8s}{'IDF1':>8s}{'switches':>10s}"]
    for result in comparison.results:
        metrics = result.identity_metrics
        identity_columns = f"{metrics['IDF1']:8.1f}{metrics['IDSW']:10.0f}" if metrics else f"{'-':>8s}{'-':>10s}"
        lines.append(f"  {result.name:26s}{np.median(result.milliseconds):10.3f}{result.ratio:7.2f}x{identity_columns}")
    return "\n".join(lines)


def check_chart(path: Path) -> None:
    """Checks, before anything is measured, that a chart can be drawn.

    Raises:
        InputError: The file is not a .png or .svg, or matplotlib is missing.
    """
    if path.suffix not in {".png", ".svg"}:
        raise InputError(f"a chart is a .png or .svg file, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("a chart needs the package matplotlib: pip install 'video-tracker[benchmark]'") from None


def draw_chart(comparisons: Sequence[Comparison], conditions: Mapping[str, Any], path: Path) -> None:
    """Draws the latency of an update over the number of objects, both axes logarithmic.

    Raises:
        InputError: See `check_chart`; or the file cannot be written.
    """
    check_chart(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    sorted_comparisons = sorted(comparisons, key=lambda comparison: comparison.objects)
    _draw_lines(axes, sorted_comparisons)
    _draw_axes(axes, [comparison.objects for comparison in sorted_comparisons])
    note = f"{conditions['machine']}; threads: {conditions['threads'] or 'unknown'}; lower is better"
    figure.text(0.012, -0.02, note, fontsize=8, color="#666666", va="top")
    try:
        figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _draw_lines(axes: "Axes", comparisons: Sequence[Comparison]) -> None:
    objects = [comparison.objects for comparison in comparisons]
    names = [result.name for result in comparisons[-1].results]
    colors = dict(zip([entry.name for entry in ENTRIES], COLORS, strict=True))
    times = np.array([[np.median(result.milliseconds) for result in c.results] for c in comparisons])
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, series in zip(names, times.T, strict=True):
        is_ours = name == OURS.name
        width, zorder = (2.6, 3) if is_ours else (1.5, 2)
        axes.plot(objects, series, color=colors[name], linewidth=width, marker="o", markersize=4, zorder=zorder)
    axes.margins(x=0.04, y=0.06)
    low, high = np.log10(axes.get_ylim())
    heights = spread_labels((np.log10(times[-1]) - low) / (high - low), LABEL_GAP)
    for name, series, height in zip(names, times.T, heights, strict=True):
        axes.annotate(
            f"{name}  {series[-1]:.3g} ms",
            xy=(comparisons[-1].objects, series[-1]),
            xytext=(1.03, float(height)),
            textcoords="axes fraction",
            arrowprops={
                "arrowstyle": "-",
                "color": colors[name],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
            color=colors[name],
            fontsize=9.5,
            fontweight="bold" if name == OURS.name else "normal",
            va="center",
        )


def _draw_axes(axes: "Axes", objects: Sequence[int]) -> None:
    axes.set_xticks(objects, [f"{count:,}" for count in objects])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("objects in the frame")
    axes.set_title("CPU milliseconds for one update of the tracker", loc="left", fontsize=12)


def spread_labels(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Moves heights (N,) apart, as little as possible, to at least `gap` between neighbors, in their order.

    Neighbors that are too close form a group, whose members are `gap` apart around the mean of their heights.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []
    for height in heights[order].tolist():
        groups.append([height])
        while len(groups) > 1 and _group_start(groups[-1], gap) < _group_start(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    placed = np.empty(len(heights))
    placed[order] = [_group_start(group, gap) + gap * n for group in groups for n in range(len(group))]
    return placed


def _group_start(group: Sequence[float], gap: float) -> float:
    """Returns the lowest height of a group whose members are `gap` apart around their mean."""
    return float(np.mean(group)) - gap * (len(group) - 1) / 2
