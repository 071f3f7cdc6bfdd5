"""`track tune tracker`: searches settings of the tracker, and writes the best ones to a file."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.console import RenderableType

from tracker.cli.console import check_output, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text, split_names, split_numbers
from tracker.cli.progress import progress
from tracker.cli.signals import stop_signals
from tracker.config import Config, load_config, merge_config
from tracker.data.files import write_text
from tracker.evaluation.mot.sequences import IMAGE_SETTINGS, find_sequences, read_sequence
from tracker.evaluation.tuning.folds import TuningProgress, TuningResult, tune
from tracker.evaluation.tuning.report import (
    as_yaml,
    folds_table,
    gains_table,
    objective_name,
    settings_table,
    summary,
)
from tracker.evaluation.tuning.search import with_settings
from tracker.evaluation.tuning.space import search_space

log = logging.getLogger(__name__)


app = CommandApp(name="tracker")


@app.default
def tune_tracker(
    folder: Annotated[Path, help_text("Sequences in the MOTChallenge layout: NAME/det/det.txt, NAME/gt/gt.txt.")],
    /,
    *,
    config: Annotated[
        Path | None, help_text("YAML file of the settings to start from, instead of the defaults.")
    ] = None,
    det: Annotated[str, Parameter(help="Name of the file of detections in the folders det/.")] = "det.txt",
    settings: Annotated[tuple[str, ...], help_text("Settings to search: a,b,c; without it the usual ones.")] = (),
    metric: Annotated[Literal["HOTA", "MOTA", "IDF1", "mean"], Parameter(help="Metric to maximize.")] = "mean",
    trials: Annotated[int, Parameter(help="Trials of each search.", validator=validators.Number(gte=1))] = 100,
    folds: Annotated[int, Parameter(help="Folds of the sequences, held out in turn; 0: one by one.")] = 0,
    every: Annotated[
        tuple[str, ...], help_text("Track every N-th frame; 1,2,3 scores three frame rates together.")
    ] = (),
    seed: Annotated[int, Parameter(help="Seed of the search.", validator=validators.Number(gte=0))] = 0,
    output: Annotated[Path | None, help_text("Write the best settings to this .yaml, for --config.")] = None,
    overwrite: Annotated[bool, help_text("Replace that file.")] = False,
) -> int:
    """Runs the command; returns the exit code.

    Ctrl-C and SIGTERM end the search, and the best settings so far are printed and written; a second one ends at once.
    """
    check_output(output, (".yaml", ".yml"), overwrite)
    start_config = load_config(config) if config else Config()
    steps = split_numbers(every, "--every")
    _warn_ignored(start_config)
    space = search_space(split_names(settings), start_config.tracker)
    filters = start_config.detector.for_given_detections()
    sequences = [read_sequence(path, det, filters) for path in find_sequences(folder, det)]
    rates = [[sequence.subsample(step) for sequence in sequences] for step in steps]
    with stop_signals() as signals, _search_progress(metric) as show:
        signals.graceful = True

        def on_trial(search: TuningProgress) -> bool:
            show(search)
            return not signals.signal

        start = time.perf_counter()
        tuning = tune(rates, start_config.tracker, space, metric, trials, folds, seed, on_trial)
        seconds = time.perf_counter() - start
    description = (
        f"{len(space)} settings were searched, with {tuning.trials} trials a search, to maximize "
        f"{objective_name(metric)} with {det} at {_rates(steps)} of {len(tuning.names)} sequences: "
        f"{', '.join(tuning.names)}"
    )
    _print(description, tuning, start_config, seconds)
    if output:
        best = with_settings(start_config.tracker, tuning.settings).model_dump()
        best_config = merge_config(start_config.model_dump(), {"tracker": best}, "")
        comments = "Found by track tune tracker.", f"{description}; seed {seed}."
        write_text(output, as_yaml(tuning, best_config, comments))
        say(f"wrote {output}")
    return signals.exit_code


def _rates(every: tuple[int, ...]) -> str:
    ordinals = {1: "", 2: "2nd ", 3: "3rd "}
    return " and ".join(f"every {ordinals.get(step, f'{step}th ')}frame" for step in every)


def _warn_ignored(config: Config) -> None:
    defaults = Config().tracker
    for name in (*IMAGE_SETTINGS, "offline"):
        if getattr(config.tracker, name) != getattr(defaults, name):
            log.warning("%s has no effect here: files of detections are tracked online, without images", name)


@contextmanager
def _search_progress(metric: str) -> Iterator[Callable[[TuningProgress], None]]:
    """Shows the progress of a search."""
    with progress("searching") as show:
        yield lambda search: show(
            search.done,
            search.total,
            f"{search.done}/{search.total} trials, {metric} {search.baseline:.2f} -> {search.best:.2f}",
        )


def _print(description: str, tuning: TuningResult, config: Config, seconds: float) -> None:
    parts: list[RenderableType] = [description, gains_table(tuning), folds_table(tuning)]
    if tuning.train_gain > 0:
        parts.append(settings_table(tuning, config.tracker))
    searched = tuning.trials * (1 + len(tuning.folds))
    parts += [f"{seconds:.0f} s, {1000 * seconds / max(searched, 1):.0f} ms a trial", summary(tuning)]
    print_report(report_console(), parts)
