"""Writes tracking metrics as tables and as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.data.files import write_json
from tracker.evaluation.mot.metrics import ALPHAS, COUNTS, METRICS, PERCENTAGES, Metrics, TrackingMetrics

COMBINED = "COMBINED"
FEWER_IS_BETTER = ("IDSW", "Frag", "ML", "FP", "FN")
_UNLIMITED_WIDTH = 10_000  # characters


def run_names(first: Path, second: Path) -> tuple[str, str]:
    """Returns names of two results: the last parts of their paths that differ."""
    for first_part, second_part in zip(reversed(first.resolve().parts), reversed(second.resolve().parts), strict=False):
        if first_part != second_part:
            return first_part, second_part
    return first.name, f"{first.name} again"


def metrics_tables(runs: Mapping[str, TrackingMetrics], width: int = _UNLIMITED_WIDTH) -> list[Table]:
    """Returns the metrics of each sequence and of all combined: one table, or two if one would be too wide.

    Args:
        runs: Metrics by the name of the run; of two runs the difference, first minus second, is shown too.
        width: Available width, characters.
    """
    table = _table(runs, METRICS)
    if Console(width=_UNLIMITED_WIDTH).measure(table).maximum <= width:
        return [table]
    return [_table(runs, PERCENTAGES), _table(runs, COUNTS)]


def write_metrics(runs: Mapping[str, TrackingMetrics], path: Path) -> None:
    """Writes metrics as JSON: the runs by name and, of two runs, the difference of each metric, first minus second.

    Raises:
        InputError: The file cannot be written.
    """
    content: dict[str, Any] = {"runs": {name: _to_dict(metrics) for name, metrics in runs.items()}}
    if len(runs) == 2:
        differences = {name: _difference(*metrics_of_runs) for name, metrics_of_runs in _by_sequence(runs).items()}
        content["difference"] = {"combined": differences.pop(COMBINED), "sequences": differences}
    write_json(path, content)


def _to_dict(metrics: TrackingMetrics) -> dict[str, Any]:
    curves = {"alpha": ALPHAS.tolist(), **{name: curve.tolist() for name, curve in metrics.curves.items()}}
    return {"combined": metrics.combined, "sequences": metrics.sequences, "curves": curves}


def _by_sequence(runs: Mapping[str, TrackingMetrics]) -> dict[str, list[Metrics]]:
    """Returns the metrics of each run, by sequence and, last, of all sequences combined."""
    names = next(iter(runs.values())).sequences
    by_name = {name: [metrics.sequences[name] for metrics in runs.values()] for name in names}
    return by_name | {COMBINED: [metrics.combined for metrics in runs.values()]}


def _difference(first: Metrics, second: Metrics) -> Metrics:
    return {name: first[name] - second[name] for name in METRICS}


def _table(runs: Mapping[str, TrackingMetrics], metrics: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("sequence", *(["run"] if len(runs) > 1 else [])):
        table.add_column(title, no_wrap=True)
    for title in metrics:
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    for sequence, run_metrics in _by_sequence(runs).items():
        style = "bold" if sequence == COMBINED else ""
        if len(runs) == 1:
            table.add_row(Text(sequence), *(_number(name, run_metrics[0][name]) for name in metrics), style=style)
            continue
        for title, run, values in zip([sequence, ""], runs, run_metrics, strict=True):
            table.add_row(Text(title), Text(run), *(_number(name, values[name]) for name in metrics), style=style)
        difference = _difference(*run_metrics)
        table.add_row("", "difference", *(_difference_text(name, difference[name]) for name in metrics), style=style)
        if sequence != COMBINED:
            table.add_row()
    return table


def _number(name: str, value: float) -> str:
    return f"{value:.0f}" if name in COUNTS else f"{value:.2f}"


def _difference_text(name: str, value: float) -> Text:
    text = f"{value:+.0f}" if name in COUNTS else f"{value:+.2f}"
    if float(text) == 0:
        return Text(text.lstrip("+-"), style="dim")
    better = (value < 0) == (name in FEWER_IS_BETTER)
    return Text(text, style="green" if better else "red")
