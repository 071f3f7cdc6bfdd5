"""Plots an embedder's metrics."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.data.files import replace_file
from tracker.evaluation.reid.metrics import CROSS_CAMERA, DEPTH, ReIDMetrics
from tracker.evaluation.reid.separation import VerificationCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME, DIFFERENT, TEXT_COLOR = "#2ca02c", "#d62728", "#555555"
BIN_WIDTH = 20  # thousandths of distance
DPI = 130


def draw_cmc(results: ReIDMetrics, path: Path) -> None:
    """Draws the CMC: fraction of the queries whose first match is among the k nearest crops, over k.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    ranks = np.arange(1, DEPTH + 1)
    axes.plot(ranks, results.cmc, "o-", color="#1f77b4", markersize=4)
    for rank in (1, 5, 10):
        value = results.cmc[rank - 1]
        axes.annotate(f"{value:.1%}", (rank, value), (4, -14), textcoords="offset points")
    low = np.floor(10 * results.cmc[0]) / 10
    axes.set(xlabel="rank", ylabel="queries with a match", xlim=(0.5, DEPTH + 0.5), ylim=(low, 1.01))
    axes.set_xticks([1, *range(5, DEPTH + 1, 5)])
    metrics = results.metrics
    title = f"mAP {metrics['mAP']:.1%}, mINP {metrics['mINP']:.1%} of {len(results.retrieval.valid_queries)} queries"
    if f"rank-1{CROSS_CAMERA}" in metrics:
        title += f"; other cameras only: rank-1 {metrics[f'rank-1{CROSS_CAMERA}']:.1%}"
    _style_axes(axes, title)
    with replace_file(path, path.suffix) as temporary:
        figure.savefig(temporary)


def draw_distances(results: ReIDMetrics, path: Path) -> None:
    """Draws histograms of the distances of same and different identities: between crops, and from crops to tracks.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 4.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    _draw_histograms(left, results.distances)
    _style_axes(left, f"Crop to crop, AUC {results.distances.auc:.3f}")
    _draw_histograms(right, results.track_distances)
    max_distance = results.metrics["max distance"]
    label = f"equally likely: {max_distance:.3f}"
    right.axvline(max_distance, color="black", linewidth=1.2, linestyle="--", label=label)
    _style_axes(right, f"Crop to the mean of an identity, AUC {results.track_distances.auc:.3f}")
    right.legend(frameon=False, loc="upper right")
    with replace_file(path, path.suffix) as temporary:
        figure.savefig(temporary)


def _draw_histograms(axes: "Axes", distances: VerificationCurve) -> None:
    top = max(int(np.flatnonzero(counts).max(initial=0)) for counts in (distances.same, distances.different))
    edges = np.arange(0, top + 2 * BIN_WIDTH, BIN_WIDTH)
    for name, counts, color in (("same", distances.same, SAME), ("different", distances.different, DIFFERENT)):
        fractions, _ = np.histogram(np.arange(len(counts)), edges, weights=counts / counts.sum())
        label = f"{name} identity: {counts.sum():,} pairs"
        axes.stairs(fractions, edges / 1000, fill=True, color=color, alpha=0.45, label=label)
    axes.set(xlabel="cosine distance", ylabel=f"fraction of the pairs, in {BIN_WIDTH / 1000:g}")
    axes.legend(frameon=False, loc="upper right")


def _style_axes(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium")
    axes.tick_params(length=0, colors=TEXT_COLOR)
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
