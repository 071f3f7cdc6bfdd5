"""Writes the result of tuning as tables, a summary, and a YAML file of settings."""

import textwrap
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tracker.config import Config, TrackerConfig
from tracker.evaluation.mot.metrics import Metrics
from tracker.evaluation.tuning.folds import TuningResult
from tracker.evaluation.tuning.search import OBJECTIVES, objective_value
from tracker.evaluation.tuning.space import Value
from tracker.pipeline.run_record import config_to_json

COLUMNS = ("HOTA", "MOTA", "IDF1", "IDSW")
MIN_GENERALIZATION = 1 / 3
"""Least ratio of test gain to train gain at which the settings are recommended."""
_ROUNDED_TO_ZERO = 0.005
"""Gains that are printed as 0, in points of the metric."""


def objective_name(metric: str) -> str:
    """Returns the name of an objective."""
    return metric if metric != "mean" else f"the mean of {', '.join(OBJECTIVES[metric])}"


def gains_table(tuning: TuningResult) -> Table:
    """Returns a table of the metrics of the initial and the tuned settings, on training and on held-out sequences."""
    table = _table("", *COLUMNS, *(["mean"] if tuning.metric == "mean" else []))
    _add_row(table, "start", tuning.baseline, tuning.metric)
    _add_row(table, "tuned, on the training sequences", tuning.train, tuning.metric)
    _add_row(table, "tuned, on held-out sequences", tuning.test, tuning.metric)
    return table


def folds_table(tuning: TuningResult) -> Table:
    """Returns a table of the metric on the held-out sequences of each fold, before and after tuning."""
    table = _table("held out", f"{tuning.metric} of start", "tuned on the others", "difference")
    for fold in tuning.folds:
        baseline, tuned = objective_value(fold.baseline, tuning.metric), objective_value(fold.tuned, tuning.metric)
        table.add_row(Text(", ".join(fold.names)), f"{baseline:.2f}", f"{tuned:.2f}", f"{tuned - baseline:+.2f}")
    return table


def settings_table(tuning: TuningResult, start: TrackerConfig) -> Table:
    """Returns a table of the settings that changed."""
    table = _table("setting", "start", "tuned")
    for name, value in _changed_settings(tuning, start).items():
        table.add_row(name, f"{getattr(start, name)}", f"{value}")
    return table


def summary(tuning: TuningResult) -> str:
    """Returns one sentence that says whether to use the tuned settings."""
    train_gain, test_gain = tuning.train_gain, tuning.test_gain
    name = objective_name(tuning.metric)
    if train_gain < _ROUNDED_TO_ZERO:
        return "The search found nothing better than the start: keep it."
    train_text = f"{name} rose by {train_gain:.2f} on the training sequences"
    if test_gain < _ROUNDED_TO_ZERO:
        change = f"fell by {-test_gain:.2f}" if test_gain <= -_ROUNDED_TO_ZERO else "did not rise"
        return f"Tuning did not generalize: {train_text}, but {change} on held-out sequences: keep the start."
    values = [
        (objective_value(f.baseline, tuning.metric), objective_value(f.tuned, tuning.metric)) for f in tuning.folds
    ]
    improved = sum(tuned > baseline for baseline, tuned in values)
    test_text = f"{test_gain:.2f} on held-out sequences, better in {improved} of {len(tuning.folds)} folds"
    if test_gain < MIN_GENERALIZATION * train_gain or 2 * improved <= len(tuning.folds):
        return f"Tuning hardly generalized: {train_text} and by {test_text}: expect a small gain."
    return f"Tuning generalized: {train_text} and by {test_text}: expect a gain of about the latter."


def as_yaml(tuning: TuningResult, config: Config, description: Sequence[str]) -> str:
    """Returns a file for `--config`: the differences from the defaults, and comments about where they come from.

    Args:
        tuning: The result of tuning.
        config: The config with the tuned settings.
        description: Lines that describe the search.
    """
    import yaml

    values = {name: objective_value(metrics, tuning.metric) for name, metrics in _metrics_by_stage(tuning).items()}
    text = ", ".join(f"{value:.2f} {name}" for name, value in values.items())
    header = [*description, f"{objective_name(tuning.metric)}: {text}.", summary(tuning)]
    changes = _differences(config)
    body = yaml.safe_dump(changes, sort_keys=False) if changes else ""
    lines = [part for line in header for part in textwrap.wrap(line, 118)]
    return "".join(f"# {line}\n" for line in lines) + body


def _metrics_by_stage(tuning: TuningResult) -> dict[str, Metrics]:
    return {"at the start": tuning.baseline, "on the training sequences": tuning.train, "held out": tuning.test}


def _differences(config: Config) -> dict[str, dict[str, Any]]:
    defaults = config_to_json(Config())
    changes = {
        section: {name: value for name, value in values.items() if value != defaults[section][name]}
        for section, values in config_to_json(config).items()
    }
    return {section: values for section, values in changes.items() if values}


def _changed_settings(tuning: TuningResult, start: TrackerConfig) -> dict[str, Value]:
    return {name: value for name, value in tuning.settings.items() if value != getattr(start, name)}


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _add_row(table: Table, name: str, metrics: Metrics, metric: str) -> None:
    numbers = [f"{metrics[title]:.0f}" if title == "IDSW" else f"{metrics[title]:.2f}" for title in COLUMNS]
    table.add_row(name, *numbers, *([f"{objective_value(metrics, metric):.2f}"] if metric == "mean" else []))
