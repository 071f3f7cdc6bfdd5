"""What a person sees of a search for settings: progress, Ctrl-C, tables, and the file of what was found."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import RenderableType

from tracker.cli.console import check_output, page, print_report, progress
from tracker.cli.progress import stop_signals
from tracker.config import Config, merged
from tracker.errors import InputError
from tracker.evaluation.mot.sequences import PICTURES, find_sequences, read_sequence
from tracker.evaluation.tuning.folds import Progress as Searched
from tracker.evaluation.tuning.folds import Tuning, tune
from tracker.evaluation.tuning.report import (
    as_yaml,
    fold_by_fold,
    gains_table,
    maximised,
    settings_table,
    verdict,
)
from tracker.evaluation.tuning.search import with_settings
from tracker.evaluation.tuning.space import chosen_space

log = logging.getLogger(__name__)


def tune_and_show(
    folder: Path,
    det: str,
    config: Config,
    settings: tuple[str, ...],
    metric: str,
    trials: int,
    folds: int,
    every: tuple[int, ...],
    seed: int,
    output: Path | None,
    overwrite: bool,
) -> int:
    """Searches settings, shows how it goes, and prints what was found and what it is worth; returns the exit code.

    Ctrl-C and SIGTERM end the search, and what was found up to there is shown and written; a second one ends at once.

    Args:
        folder: As `find_sequences`.
        det: Name of the files of detections.
        config: The start.
        settings: Names of what is searched; none for the usual ones.
        metric: As `tune`.
        trials: As `tune`.
        folds: As `tune`.
        every: Every so many-th frame is tracked; several are scored together.
        seed: As `tune`.
        output: File for the settings found.
        overwrite: Whether that file may exist.

    Raises:
        InputError: Something cannot be read or written, or does not fit together; nothing is printed then.
        ModuleNotFoundError: A package of the extra [tune] is missing.
    """
    check_output(output, (".yaml", ".yml"), overwrite)
    _warn(config)
    space = chosen_space(settings, config.tracker)
    sequences = [read_sequence(place, det, config.detector) for place in find_sequences(folder, det)]
    rates = [[sequence.every(step) for sequence in sequences] for step in every]
    with stop_signals() as stop, _shown(metric) as show:
        stop.gently = True

        def watch(so_far: Searched) -> bool:
            show(so_far)
            return not stop.signal

        start = time.perf_counter()
        tuning = tune(rates, config.tracker, space, metric, trials, folds, seed, watch)
        seconds = time.perf_counter() - start
    how = (
        f"{len(space)} settings were searched, with {tuning.trials} trials a search, for what maximises "
        f"{maximised(metric)} with {det} at {_rates(every)} of {len(tuning.names)} sequences: {', '.join(tuning.names)}"
    )
    _print(how, tuning, config, seconds)
    if output:
        found = merged(
            config.model_dump(), {"tracker": with_settings(config.tracker, tuning.settings).model_dump()}, ""
        )
        _write(output, as_yaml(tuning, found, ("Found by track tune tracker.", f"{how}; seed {seed}.")))
        print(f"wrote {output}")
    return 128 + stop.signal if stop.signal else 0


def _rates(every: tuple[int, ...]) -> str:
    ordinals = {1: "", 2: "2nd ", 3: "3rd "}
    return " and ".join(f"every {ordinals.get(step, f'{step}th ')}frame" for step in every)


def _warn(config: Config) -> None:
    usual = Config().tracker
    for name in (*PICTURES, "offline"):
        if getattr(config.tracker, name) != getattr(usual, name):
            log.warning("%s does nothing here: files of detections are tracked as they come, without pictures", name)


@contextmanager
def _shown(metric: str) -> Iterator[Callable[[Searched], None]]:
    """The progress of a search."""
    with progress("searching") as show:
        yield lambda so_far: show(
            so_far.done,
            so_far.total,
            f"{so_far.done}/{so_far.total} trials, {metric} {so_far.before:.2f} -> {so_far.best:.2f}",
        )


def _print(how: str, tuning: Tuning, config: Config, seconds: float) -> None:
    parts: list[RenderableType] = [how, gains_table(tuning), fold_by_fold(tuning)]
    if tuning.train_gain > 0:
        parts.append(settings_table(tuning, config.tracker))
    searched = tuning.trials * (1 + len(tuning.folds))
    parts += [f"{seconds:.0f} s, {1000 * seconds / max(searched, 1):.0f} ms a trial", verdict(tuning)]
    print_report(page(), parts)


def _write(file: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
