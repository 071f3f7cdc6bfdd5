"""Diagrams of a detector's scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.detection.curves import BINS, ThresholdMetrics
from tracker.evaluation.detection.metrics import DetectorScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"),
    *("#7a7a00", "#17becf", "#0b3d91", "#7fbf3f", "#c2185b", "#5d4037", "#00897b"),
)
"""Of the most frequent classes; all others are grey."""
FAINT, INK = "#c4c4c4", "#555555"
LARGEST_WITH_NUMBERS = 25  # classes of a confusion matrix whose cells have room for a number
DPI = 130


def draw_curves(scores: DetectorScores, path: Path) -> None:
    """Draws precision over recall of each class, one diagram for each least IoU.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 5.6), dpi=DPI, layout="constrained")
    for axes, (level, by_class) in zip(figure.subplots(1, len(scores.curves)), scores.curves.items(), strict=True):
        for name, colour in _coloured(scores.objects).items():
            curve = by_class[name]
            # As average precision has it: the best precision at this recall or beyond it.
            height = np.maximum.accumulate(curve.precision[::-1])[::-1]
            recall = [*[0.0] * len(height[:1]), *curve.recall]
            line = axes.plot(recall, [*height[:1], *height], color=colour, zorder=1 + (colour != FAINT))
            if colour != FAINT:
                line[0].set_label(f"{name}  {_area(curve.recall, height):.2f}")
        _set_up(axes, f"Precision over recall, IoU {level}", "recall", "precision")
        _legend(axes, "class, area")
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def draw_scores(scores: DetectorScores, path: Path) -> None:
    """Draws what a least score leads to, of each class and of all together; and how often a score is right.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 5.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    loose = next(iter(scores.curves.values()))
    for name, colour in _coloured(scores.objects).items():
        line = left.plot(loose[name].scores, loose[name].f1, color=colour, linewidth=1.2, alpha=0.85)
        if colour != FAINT:
            line[0].set_label(f"{name}  {scores.best[name].score:.2f}")
    left.plot(scores.together.scores, scores.together.f1, color="black", linewidth=3)
    _mark(left, scores.best_together)
    _set_up(left, "F1 over the least score, IoU 0.5", "least score", "F1")
    _legend(left, "class, best score")
    _draw_reliability(right, scores)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def draw_confusion(scores: DetectorScores, path: Path) -> None:
    """Draws the confusion matrix of the classes that occur: counts, coloured by their share of the row.

    Raises:
        OSError: The file cannot be written.
    """
    counts = scores.confusion
    shown = np.flatnonzero(counts.any(0) | counts.any(1))
    shown = np.unique(np.append(shown, len(counts) - 1))
    counts = counts[np.ix_(shown, shown)]
    names = [*scores.categories, ""]
    true, found = ([names[number] or other for number in shown] for other in ("nothing there", "missed"))
    figure = confusion_figure(counts, true, found, f"Score from {scores.score:.2f}, IoU from 0.5")
    for edge in (figure.axes[0].axhline, figure.axes[0].axvline):
        edge(len(shown) - 1.5, color="#999999", linewidth=1)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def confusion_figure(counts: NDArray[np.int64], true: Sequence[str], found: Sequence[str], title: str) -> "Figure":
    """Draws a confusion matrix: counts, coloured by their share of the row.

    Args:
        counts: (R, C).
        true: Names of the R rows.
        found: Names of the C columns.
        title: Of the diagram.
    """
    from matplotlib.figure import Figure

    side = max(5.0, min(0.62 * len(true) + 2.4, 20.0))
    figure = Figure(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(found)), found, rotation=45, ha="right")
    axes.set_yticks(range(len(true)), true)
    axes.set(xlabel="found", ylabel="true")
    axes.set_title(title, loc="left", fontsize="medium")
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    if len(true) <= LARGEST_WITH_NUMBERS:
        _write_counts(axes, counts, shares)
    return figure


def _write_counts(axes: "Axes", counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.55 else "#222222"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)


def _draw_reliability(axes: "Axes", scores: DetectorScores) -> None:
    reliable = scores.reliability
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.5, linestyle="--", zorder=1)
    middles = (np.arange(BINS) + 0.5) / BINS
    axes.bar(middles, np.nan_to_num(reliable.precision), 0.92 / BINS, color="#8db8dd", zorder=2)
    for middle, height, count in zip(middles, reliable.precision, reliable.counts, strict=True):
        if count:
            axes.text(middle, height + 0.012, f"{count:,}", ha="center", fontsize=7.5, color=INK)
    title = f"How many detections of a score are right (mean error {reliable.error:.2f})"
    _set_up(axes, title, "score", "precision")


def _mark(axes: "Axes", best: ThresholdMetrics) -> None:
    axes.plot([best.score], [best.f1], "o", color="black", markersize=7)
    axes.annotate(
        f"all together: {best.f1:.2f} from score {best.score:.2f}",
        (best.score, best.f1),
        (0.03, 0.965),
        textcoords="axes fraction",
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "linewidth": 0.8, "shrinkB": 5},
    )


def _set_up(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_aspect("equal")
    axes.tick_params(length=0, colors=INK)
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _legend(axes: "Axes", title: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _coloured(objects: Mapping[str, int]) -> dict[str, str]:
    """A colour for each class: the most frequent ones have their own."""
    frequent = sorted(objects, key=lambda name: -objects[name])[: len(COLOURS)]
    own = dict(zip(frequent, COLOURS, strict=False))
    return {name: own.get(name, FAINT) for name in objects}


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    return float((np.diff(recall, prepend=0) * precision).sum())
