"""What a person is told of a search: tables, a plain verdict, and a file of the settings found."""

import textwrap
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tracker.config import Config, TrackerConfig
from tracker.evaluation.mot.metrics import Figures
from tracker.evaluation.tuning.folds import Tuning
from tracker.evaluation.tuning.search import METRICS, value_of
from tracker.evaluation.tuning.space import Value
from tracker.pipeline.run_record import plain

FIGURES = ("HOTA", "MOTA", "IDF1", "IDSW")
LITTLE = 1 / 3
"""Share of the gain that must be left on sequences not seen, for the settings to be recommended."""
_NOTHING = 0.005
"""Points of a metric that are shown as 0."""


def maximised(metric: str) -> str:
    """The metric in words."""
    return metric if metric != "mean" else f"the mean of {', '.join(METRICS[metric])}"


def gains_table(tuning: Tuning) -> Table:
    """Figures of the start, and of the settings found where they were searched and where not."""
    table = _table("", *FIGURES, *(["mean"] if tuning.metric == "mean" else []))
    _add(table, "start", tuning.before, tuning.metric)
    _add(table, "tuned, on the sequences searched on", tuning.seen, tuning.metric)
    _add(table, "tuned, on sequences held out", tuning.unseen, tuning.metric)
    return table


def fold_by_fold(tuning: Tuning) -> Table:
    """The metric on what each search did not see, before and after."""
    table = _table("held out", f"{tuning.metric} of start", "tuned on the others", "difference")
    for fold in tuning.folds:
        before, after = value_of(fold.before, tuning.metric), value_of(fold.after, tuning.metric)
        table.add_row(Text(", ".join(fold.names)), f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
    return table


def settings_table(tuning: Tuning, start: TrackerConfig) -> Table:
    """The settings that changed."""
    table = _table("setting", "start", "tuned")
    for name, value in _changed(tuning, start).items():
        table.add_row(name, f"{getattr(start, name)}", f"{value}")
    return table


def verdict(tuning: Tuning) -> str:
    """One sentence: whether to use what was found."""
    seen, unseen = tuning.train_gain, tuning.test_gain
    name = maximised(tuning.metric)
    if seen < _NOTHING:
        return "The search found nothing better than the start: keep it."
    gain = f"{name} rose by {seen:.2f} on the sequences searched on"
    if unseen < _NOTHING:
        fell = f"fell by {-unseen:.2f}" if unseen <= -_NOTHING else "did not rise"
        return f"Tuning did not generalise: {gain}, but {fell} on sequences held out: keep the start."
    better = sum(value_of(fold.after, tuning.metric) > value_of(fold.before, tuning.metric) for fold in tuning.folds)
    counted = f"{unseen:.2f} on sequences held out, better in {better} of {len(tuning.folds)} folds"
    if unseen < LITTLE * seen or 2 * better <= len(tuning.folds):
        return f"Tuning hardly generalised: {gain} and by {counted}: expect little of it."
    return f"Tuning generalised: {gain} and by {counted}: expect about the latter."


def as_yaml(tuning: Tuning, config: Config, how: Sequence[str]) -> str:
    """A file for `--config`: what differs from the defaults, and in its head where it comes from.

    Args:
        tuning: What was found.
        config: With the settings found.
        how: Lines that say what was searched.
    """
    import yaml

    values = {name: value_of(figures, tuning.metric) for name, figures in _named(tuning).items()}
    shown = ", ".join(f"{value:.2f} {name}" for name, value in values.items())
    head = [*how, f"{maximised(tuning.metric)}: {shown}.", verdict(tuning)]
    different = _differences(config)
    body = yaml.safe_dump(different, sort_keys=False) if different else ""
    lines = [part for line in head for part in textwrap.wrap(line, 118)]
    return "".join(f"# {line}\n" for line in lines) + body


def _named(tuning: Tuning) -> dict[str, Figures]:
    return {"at the start": tuning.before, "where it was searched": tuning.seen, "held out": tuning.unseen}


def _differences(config: Config) -> dict[str, dict[str, Any]]:
    usual = plain(Config())
    different = {
        section: {name: value for name, value in values.items() if value != usual[section][name]}
        for section, values in plain(config).items()
    }
    return {section: values for section, values in different.items() if values}


def _changed(tuning: Tuning, start: TrackerConfig) -> dict[str, Value]:
    return {name: value for name, value in tuning.settings.items() if value != getattr(start, name)}


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _add(table: Table, name: str, figures: Figures, metric: str) -> None:
    numbers = [f"{figures[title]:.0f}" if title == "IDSW" else f"{figures[title]:.2f}" for title in FIGURES]
    table.add_row(name, *numbers, *([f"{value_of(figures, metric):.2f}"] if metric == "mean" else []))
