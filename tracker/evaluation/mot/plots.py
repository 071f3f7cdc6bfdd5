"""A picture of HOTA, DetA and AssA over the IoU that a match takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.mot.metrics import ALPHAS, CURVES, TrackScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = {"HOTA": "#1f4e8c", "DetA": "#c8620a", "AssA": "#2e7d4f"}
FADED = "#8a8a8a"
LABEL_STEP = 0.06  # least distance of two labels, as a part of the axis
LONGEST = 16  # characters of a run's name

Line = tuple[str, NDArray[np.float64], str, str]
"""What is written beside it, percentages (19,), colour, style."""


def draw_curves(runs: Mapping[str, TrackScores], path: Path) -> None:
    """Draws the combined curves of one run into one diagram; of several into one diagram for each figure.

    Args:
        runs: Scores by the name of the run, the one in question first.
        path: A .png, .svg or .pdf file.

    Raises:
        InputError: The suffix is another one, or the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot draw {path}: its name must end with {', '.join(SUFFIXES)}")
    from matplotlib.figure import Figure

    if len(runs) == 1:
        panels = {"": [(name, curve, COLOURS[name], "-") for s in runs.values() for name, curve in s.curves.items()]}
    else:
        panels = {name: _compared(name, runs) for name in CURVES}
    figure = Figure(figsize=(7.2 if len(runs) == 1 else 14, 4.8), dpi=150, layout="constrained")
    top = max(float(curve.max()) for lines in panels.values() for _, curve, _, _ in lines)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, title, lines, min(100.0, 10 * np.ceil(top / 10 + 0.2)))
    figure.suptitle("All sequences together, percent", fontsize="medium", color="#555555")
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _compared(figure: str, runs: Mapping[str, TrackScores]) -> list[Line]:
    colours = [COLOURS[figure], *[FADED] * (len(runs) - 1)]
    styles = ["-", *["--"] * (len(runs) - 1)]
    return [
        (name, scores.curves[figure], colour, style)
        for (name, scores), colour, style in zip(runs.items(), colours, styles, strict=True)
    ]


def _draw(axes: "Axes", title: str, lines: Sequence[Line], top: float) -> None:
    for order, (_, curve, colour, style) in enumerate(lines):
        axes.plot(ALPHAS, curve, color=colour, linestyle=style, linewidth=2, zorder=3 - order / 10, clip_on=False)
    axes.set(title=title, xlabel="least IoU of a match", xlim=ALPHAS[[0, -1]], ylim=(0, top))
    axes.set_xticks(ALPHAS[::9] if title else ALPHAS[::3])
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=8, colors="#555555")
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.spines[:].set_visible(False)
    for (name, curve, colour, _), height in zip(
        lines, _spread([curve[0] for _, curve, _, _ in lines], top), strict=True
    ):
        # Left of the diagram, where the lines begin.
        axes.annotate(
            f"{_short(name)}  {curve.mean():.1f}",
            (ALPHAS[0], curve[0]),
            (ALPHAS[0] - 0.06, height),
            color=colour,
            ha="right",
            va="center",
            fontweight="bold",
            annotation_clip=False,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 0},
        )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 :]}"


def _spread(heights: Sequence[float], top: float) -> list[float]:
    """Where labels go whose lines begin at some heights: near them, in their order, and apart from each other."""
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(heights)) * LABEL_STEP * top
    # To be apart by a step each is to ascend once the steps are taken off; running extremes make it so.
    levels = np.asarray(heights)[order] - steps
    pushed = (np.maximum.accumulate(levels) + np.minimum.accumulate(levels[::-1])[::-1]) / 2
    placed = np.empty(len(heights))
    placed[order] = pushed + steps
    return [float(height) for height in placed]
