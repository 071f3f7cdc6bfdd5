"""Diagrams of an embedder's figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.evaluation.reid.metrics import ACROSS, DEPTH, ReIDMetrics
from tracker.evaluation.reid.separation import VerificationCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME, DIFFERENT, INK = "#2ca02c", "#d62728", "#555555"
BIN = 20  # thousandths of distance in a bar
DPI = 130


def draw_cmc(scores: ReIDMetrics, path: Path) -> None:
    """Draws the share of queries whose first match stands among the nearest so many.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    ranks = np.arange(1, DEPTH + 1)
    axes.plot(ranks, scores.cmc, "o-", color="#1f77b4", markersize=4)
    for rank in (1, 5, 10):
        axes.annotate(f"{scores.cmc[rank - 1]:.1%}", (rank, scores.cmc[rank - 1]), (4, -14), textcoords="offset points")
    low = np.floor(10 * scores.cmc[0]) / 10
    axes.set(xlabel="rank", ylabel="queries with a match", xlim=(0.5, DEPTH + 0.5), ylim=(low, 1.01))
    axes.set_xticks([1, *range(5, DEPTH + 1, 5)])
    figures = scores.figures
    other = f"; other cameras only: rank-1 {figures[f'rank-1{ACROSS}']:.1%}" if f"rank-1{ACROSS}" in figures else ""
    title = f"mAP {figures['mAP']:.1%}, mINP {figures['mINP']:.1%} of {len(scores.retrieval.counted)} queries{other}"
    _set_up(axes, title)
    figure.savefig(path)


def draw_distances(scores: ReIDMetrics, path: Path) -> None:
    """Draws how far crops of one individual and of two lie apart: crop from crop, and crop from a track's mean.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 4.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    _draw_separation(left, scores.distances)
    _set_up(left, f"Crop from crop, AUC {scores.distances.auc:.3f}")
    _draw_separation(right, scores.track_distances)
    gate = scores.figures["max distance"]
    right.axvline(gate, color="black", linewidth=1.2, linestyle="--", label=f"as likely as not: {gate:.3f}")
    _set_up(right, f"Crop from the mean of an individual, AUC {scores.track_distances.auc:.3f}")
    right.legend(frameon=False, loc="upper right")
    figure.savefig(path)


def _draw_separation(axes: "Axes", distances: VerificationCurve) -> None:
    top = max(int(np.flatnonzero(counts).max(initial=0)) for counts in (distances.same, distances.different))
    edges = np.arange(0, top + 2 * BIN, BIN)
    for name, counts, colour in (("same", distances.same, SAME), ("different", distances.different, DIFFERENT)):
        shares, _ = np.histogram(np.arange(len(counts)), edges, weights=counts / counts.sum())
        label = f"{name} individual{'s' * (name != 'same')}: {counts.sum():,} pairs"
        axes.stairs(shares, edges / 1000, fill=True, color=colour, alpha=0.45, label=label)
    axes.set(xlabel="cosine distance", ylabel=f"share of the pairs, in {BIN / 1000:g}")
    axes.legend(frameon=False, loc="upper right")


def _set_up(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium")
    axes.tick_params(length=0, colors=INK)
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
