"""What a person sees of a comparison of trackers: lines of text, and a chart of cost against the number of objects."""

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

COLOURS = ("#0b5fbd", "#5fa3e6", "#c2410c", "#4d7c0f", "#7e57a8", "#8a6d1d", "#666666")
LABEL_GAP = 0.048  # least distance of two labels, as a fraction of the axis's height


def headline(conditions: Mapping[str, Any]) -> str:
    """Machine, versions and threads; what was left out, and why."""
    limits = ", ".join(f"{name}={value}" for name, value in conditions["thread_limits"].items())
    lines = [
        conditions["machine"],
        ", ".join(f"{name} {version}" for name, version in conditions["versions"].items()),
        f"threads: {conditions['threads'] or 'unknown'}{f' ({limits})' if limits else ''}",
        "ms: CPU time of one update, median over the second half of the stream; ratio: over that of tracker",
        f"galleries of {conditions['gallery_size']} embeddings; all other settings are each tracker's own defaults",
    ]
    lines += [f"left out: {name} ({why})" for name, why in conditions["missing"].items()]
    return "\n".join(lines)


def table(comparison: Comparison) -> str:
    """Time of an update in ms and as a multiple of ours, IDF1 in percent, and identity switches."""
    title = f"{comparison.objects} objects, {comparison.frames} frames"
    lines = [f"{title:28s}{'ms/update':>10s}{'ratio':>8s}{'IDF1':>8s}{'switches':>10s}"]
    for result in comparison.results:
        kept = result.identity
        known = f"{kept['IDF1']:8.1f}{kept['IDSW']:10.0f}" if kept else f"{'-':>8s}{'-':>10s}"
        lines.append(f"  {result.name:26s}{np.median(result.milliseconds):10.3f}{result.ratio:7.2f}x{known}")
    return "\n".join(lines)


def check_chart(path: Path) -> None:
    """Makes sure, before anything is measured, that a chart can be drawn.

    Raises:
        InputError: The file is no .png or .svg, or matplotlib is missing.
    """
    if path.suffix not in {".png", ".svg"}:
        raise InputError(f"a chart is a .png or .svg file, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("a chart needs the package matplotlib: pip install 'tracker[benchmark]'") from None


def draw_chart(comparisons: Sequence[Comparison], conditions: Mapping[str, Any], path: Path) -> None:
    """Draws the time of an update against the number of objects, both axes logarithmic.

    Raises:
        InputError: As `check_chart`; or the file cannot be written.
    """
    check_chart(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    ordered = sorted(comparisons, key=lambda comparison: comparison.objects)
    _draw_lines(axes, ordered)
    _draw_axes(axes, [comparison.objects for comparison in ordered])
    note = f"{conditions['machine']}; threads: {conditions['threads'] or 'unknown'}; lower is better"
    figure.text(0.012, -0.02, note, fontsize=8, color="#666666", va="top")
    try:
        figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _draw_lines(axes: "Axes", comparisons: Sequence[Comparison]) -> None:
    objects = [comparison.objects for comparison in comparisons]
    names = [result.name for result in comparisons[-1].results]
    colours = dict(zip([entry.name for entry in ENTRIES], COLOURS, strict=True))
    times = np.array([[np.median(result.milliseconds) for result in c.results] for c in comparisons])
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, series in zip(names, times.T, strict=True):
        ours = name == OURS.name
        width, front = (2.6, 3) if ours else (1.5, 2)
        axes.plot(objects, series, color=colours[name], linewidth=width, marker="o", markersize=4, zorder=front)
    axes.margins(x=0.04, y=0.06)
    low, high = np.log10(axes.get_ylim())
    heights = spread((np.log10(times[-1]) - low) / (high - low), LABEL_GAP)
    for name, series, height in zip(names, times.T, heights, strict=True):
        axes.annotate(
            f"{name}  {series[-1]:.3g} ms",
            xy=(comparisons[-1].objects, series[-1]),
            xytext=(1.03, float(height)),
            textcoords="axes fraction",
            arrowprops={
                "arrowstyle": "-",
                "color": colours[name],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
            color=colours[name],
            fontsize=9.5,
            fontweight="bold" if name == OURS.name else "normal",
            va="center",
        )


def _draw_axes(axes: "Axes", objects: Sequence[int]) -> None:
    axes.set_xticks(objects, [f"{n:,}" for n in objects])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("objects in the frame")
    axes.set_title("CPU milliseconds for one update of the tracker", loc="left", fontsize=12)


def spread(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Moves heights (N,) as little apart as it takes to leave `gap` between neighbours, keeping their order.

    Neighbours that are too close form a group, whose members stand `gap` apart around the mean of where they were.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []
    for height in heights[order].tolist():
        groups.append([height])
        while len(groups) > 1 and _start(groups[-1], gap) < _start(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    placed = np.empty(len(heights))
    placed[order] = [_start(group, gap) + gap * n for group in groups for n in range(len(group))]
    return placed


def _start(group: Sequence[float], gap: float) -> float:
    """Where the lowest of a group stands when all stand `gap` apart around their mean."""
    return float(np.mean(group)) - gap * (len(group) - 1) / 2
