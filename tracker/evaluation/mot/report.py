"""Scores of tracks as tables for people and as JSON for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.errors import InputError
from tracker.evaluation.mot.metrics import ALPHAS, COUNTS, FIGURES, PERCENTAGES, Figures, TrackScores

COMBINED = "COMBINED"
FEWER_IS_BETTER = ("IDSW", "Frag", "ML", "FP", "FN")
_ANY_WIDTH = 10_000  # characters


def run_names(first: Path, second: Path) -> tuple[str, str]:
    """Names for two results: where their paths differ, seen from the end."""
    for mine, other in zip(reversed(first.resolve().parts), reversed(second.resolve().parts), strict=False):
        if mine != other:
            return mine, other
    return first.name, f"{first.name} again"


def score_tables(runs: Mapping[str, TrackScores], width: int = _ANY_WIDTH) -> list[Table]:
    """The figures of each sequence and of all together: one table, or two where one would be too wide.

    Args:
        runs: Scores by the name of the run; of two runs the difference, first minus second, is shown too.
        width: Room for a table, characters.
    """
    whole = _table(runs, FIGURES)
    if Console(width=_ANY_WIDTH).measure(whole).maximum <= width:
        return [whole]
    return [_table(runs, PERCENTAGES), _table(runs, COUNTS)]


def write_scores(runs: Mapping[str, TrackScores], path: Path) -> None:
    """Writes scores as JSON: the runs by name and, of two, the difference of each figure, first minus second.

    Raises:
        InputError: The file cannot be written.
    """
    content: dict[str, Any] = {"runs": {name: _plain(scores) for name, scores in runs.items()}}
    if len(runs) == 2:
        differences = {name: _difference(*figures) for name, figures in _by_sequence(runs).items()}
        content["difference"] = {"combined": differences.pop(COMBINED), "sequences": differences}
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _plain(scores: TrackScores) -> dict[str, Any]:
    curves = {"alpha": ALPHAS.tolist(), **{name: curve.tolist() for name, curve in scores.curves.items()}}
    return {"combined": scores.combined, "sequences": scores.sequences, "curves": curves}


def _by_sequence(runs: Mapping[str, TrackScores]) -> dict[str, list[Figures]]:
    """For each sequence, and last for all together, the figures of each run."""
    names = next(iter(runs.values())).sequences
    each = {name: [scores.sequences[name] for scores in runs.values()] for name in names}
    return each | {COMBINED: [scores.combined for scores in runs.values()]}


def _difference(first: Figures, second: Figures) -> Figures:
    return {name: first[name] - second[name] for name in FIGURES}


def _table(runs: Mapping[str, TrackScores], figures: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("sequence", *(["run"] if len(runs) > 1 else [])):
        table.add_column(title, no_wrap=True)
    for title in figures:
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    for sequence, parts in _by_sequence(runs).items():
        style = "bold" if sequence == COMBINED else ""
        if len(runs) == 1:
            table.add_row(Text(sequence), *(_number(name, parts[0][name]) for name in figures), style=style)
            continue
        for title, run, values in zip([sequence, ""], runs, parts, strict=True):
            table.add_row(Text(title), Text(run), *(_number(name, values[name]) for name in figures), style=style)
        difference = _difference(*parts)
        table.add_row("", "difference", *(_signed(name, difference[name]) for name in figures), style=style)
        if sequence != COMBINED:
            table.add_row()
    return table


def _number(name: str, value: float) -> str:
    return f"{value:.0f}" if name in COUNTS else f"{value:.2f}"


def _signed(name: str, value: float) -> Text:
    text = f"{value:+.0f}" if name in COUNTS else f"{value:+.2f}"
    if float(text) == 0:
        return Text(text.lstrip("+-"), style="dim")
    better = (value < 0) == (name in FEWER_IS_BETTER)
    return Text(text, style="green" if better else "red")
