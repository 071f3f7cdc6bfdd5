"""Plots a detector's metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.data.files import replace_file
from tracker.evaluation.detection.curves import BINS, ThresholdMetrics
from tracker.evaluation.detection.evaluate import DetectionMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"),
    *("#7a7a00", "#17becf", "#0b3d91", "#7fbf3f", "#c2185b", "#5d4037", "#00897b"),
)
"""Of the most frequent classes; all others are gray."""
LIGHT_GRAY, TEXT_COLOR = "#c4c4c4", "#555555"
MAX_CLASSES_WITH_COUNTS = 25  # classes of a confusion matrix whose cells are large enough for a number
DPI = 130


def draw_curves(metrics: DetectionMetrics, path: Path) -> None:
    """Draws the precision-recall curve of each class, one diagram for each IoU threshold.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 5.6), dpi=DPI, layout="constrained")
    for axes, (threshold, by_class) in zip(
        figure.subplots(1, len(metrics.curves)), metrics.curves.items(), strict=True
    ):
        for name, color in _class_colors(metrics.num_objects).items():
            curve = by_class[name]
            # As in average precision: the best precision at this recall or beyond it.
            envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
            recall = [*[0.0] * len(envelope[:1]), *curve.recall]
            line = axes.plot(recall, [*envelope[:1], *envelope], color=color, zorder=1 + (color != LIGHT_GRAY))
            if color != LIGHT_GRAY:
                line[0].set_label(f"{name}  {_area(curve.recall, envelope):.2f}")
        _style_axes(axes, f"Precision-recall curve, IoU {threshold}", "recall", "precision")
        _legend(axes, "class, AP")
    with replace_file(path, path.suffix) as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.15)


def draw_scores(metrics: DetectionMetrics, path: Path) -> None:
    """Draws F1 over the score threshold, of each class and of all classes together, and the calibration of scores.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 5.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = next(iter(metrics.curves.values()))
    for name, color in _class_colors(metrics.num_objects).items():
        line = left.plot(curves[name].scores, curves[name].f1, color=color, linewidth=1.2, alpha=0.85)
        if color != LIGHT_GRAY:
            line[0].set_label(f"{name}  {metrics.best_f1[name].threshold:.2f}")
    left.plot(metrics.all_classes.scores, metrics.all_classes.f1, color="black", linewidth=3)
    _mark_best(left, metrics.best_f1_all_classes)
    _style_axes(left, "F1 over the score threshold, IoU 0.5", "score threshold", "F1")
    _legend(left, "class, best threshold")
    _draw_calibration(right, metrics)
    with replace_file(path, path.suffix) as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.15)


def draw_confusion(metrics: DetectionMetrics, path: Path) -> None:
    """Draws the confusion matrix of the classes that occur: counts, colored by their fraction of the row.

    Raises:
        OSError: The file cannot be written.
    """
    counts = metrics.confusion_matrix
    occurring = np.flatnonzero(counts.any(0) | counts.any(1))
    occurring = np.unique(np.append(occurring, len(counts) - 1))
    counts = counts[np.ix_(occurring, occurring)]
    categories = [*metrics.categories, "background"]
    names = [categories[label] for label in occurring]
    figure = confusion_figure(counts, names, names, f"Score threshold {metrics.score_threshold:.2f}, IoU threshold 0.5")
    for draw_line in (figure.axes[0].axhline, figure.axes[0].axvline):
        draw_line(len(occurring) - 1.5, color="#999999", linewidth=1)
    with replace_file(path, path.suffix) as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.15)


def confusion_figure(
    counts: NDArray[np.int64], gt_names: Sequence[str], predicted_names: Sequence[str], title: str
) -> "Figure":
    """Draws a confusion matrix: counts, colored by their fraction of the row.

    Args:
        counts: (R, C).
        gt_names: Names of the R rows.
        predicted_names: Names of the C columns.
        title: Title of the diagram.
    """
    from matplotlib.figure import Figure

    side = max(5.0, min(0.62 * len(gt_names) + 2.4, 20.0))
    figure = Figure(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(predicted_names)), predicted_names, rotation=45, ha="right")
    axes.set_yticks(range(len(gt_names)), gt_names)
    axes.set(xlabel="predicted", ylabel="ground truth")
    axes.set_title(title, loc="left", fontsize="medium")
    axes.tick_params(length=0, colors=TEXT_COLOR)
    axes.spines[:].set_visible(False)
    if len(gt_names) <= MAX_CLASSES_WITH_COUNTS:
        _write_counts(axes, counts, fractions)
    return figure


def _write_counts(axes: "Axes", counts: NDArray[np.int64], fractions: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(counts):
        color = "white" if fractions[row, column] > 0.55 else "#222222"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize=8)


def _draw_calibration(axes: "Axes", metrics: DetectionMetrics) -> None:
    calibration = metrics.calibration
    axes.plot([0, 1], [0, 1], color=LIGHT_GRAY, linewidth=1.5, linestyle="--", zorder=1)
    centers = (np.arange(BINS) + 0.5) / BINS
    axes.bar(centers, np.nan_to_num(calibration.precision), 0.92 / BINS, color="#8db8dd", zorder=2)
    for center, height, count in zip(centers, calibration.precision, calibration.counts, strict=True):
        if count:
            axes.text(center, height + 0.012, f"{count:,}", ha="center", fontsize=7.5, color=TEXT_COLOR)
    title = f"Calibration of scores (expected calibration error {calibration.error:.2f})"
    _style_axes(axes, title, "score", "precision")


def _mark_best(axes: "Axes", best: ThresholdMetrics) -> None:
    axes.plot([best.threshold], [best.f1], "o", color="black", markersize=7)
    axes.annotate(
        f"all classes: {best.f1:.2f} at threshold {best.threshold:.2f}",
        (best.threshold, best.f1),
        (0.03, 0.965),
        textcoords="axes fraction",
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "linewidth": 0.8, "shrinkB": 5},
    )


def _style_axes(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_aspect("equal")
    axes.tick_params(length=0, colors=TEXT_COLOR)
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _legend(axes: "Axes", title: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _class_colors(num_objects: Mapping[str, int]) -> dict[str, str]:
    """Returns a color for each class; only the most frequent classes have one of their own."""
    frequent = sorted(num_objects, key=lambda name: -num_objects[name])[: len(COLORS)]
    colors = dict(zip(frequent, COLORS, strict=False))
    return {name: colors.get(name, LIGHT_GRAY) for name in num_objects}


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    return float((np.diff(recall, prepend=0) * precision).sum())
