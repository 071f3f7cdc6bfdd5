"""`track train detector | embedder | classifier`."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from tracker.cli.console import say, say_error
from tracker.cli.crops import check_run_settings, extract_training_crops
from tracker.cli.options import CommandApp, help_text
from tracker.config import (
    ClassifierTrainingConfig,
    DetectorTrainingConfig,
    EmbedderTrainingConfig,
    Section,
    TrainingConfig,
    load_config,
    read_yaml,
    validate_section,
)
from tracker.config.tools import SELF_SUPERVISED_TRACKING
from tracker.errors import InputError

T = TypeVar("T", DetectorTrainingConfig, EmbedderTrainingConfig, ClassifierTrainingConfig)

TrainingFile = Annotated[
    Path | None,
    help_text("YAML file of settings, such as one of configs/, or a folder of training data; flags take precedence."),
]
Resume = Annotated[bool, help_text("Continue from the last checkpoint.")]

detector_app = CommandApp(name="detector")
embedder_app = CommandApp(name="embedder")
classifier_app = CommandApp(name="classifier")


@detector_app.default
def detector(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[DetectorTrainingConfig, Parameter(name="*")] = DetectorTrainingConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    values = _load_settings(config, settings)
    _check_data(values)
    # Torch and Lightning take seconds to import, and `--help` does without.
    from tracker import train_detector

    with _progress_lines():
        return _print_path(train_detector(values, resume))


@embedder_app.default
def embedder(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    from_video: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            help="Videos, or folders of runs, to learn from without labels: crops of their tracks are extracted first, "
            "as by `track crops`.",
        ),
    ] = (),
    detections: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, help="Files of detections, one for each of these videos."),
    ] = (),
    tracking: Annotated[Path | None, help_text("YAML file of settings with which they are tracked.")] = None,
    settings: Annotated[EmbedderTrainingConfig, Parameter(name="*")] = EmbedderTrainingConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    values = _load_settings(config, settings)
    if from_video:
        tracking_config = load_config(tracking) if tracking else SELF_SUPERVISED_TRACKING
        if tracking:
            check_run_settings(from_video, tracking_config)
        values = extract_training_crops(values, from_video, detections, tracking_config, resume)
    _check_data(values)
    from tracker import train_embedder

    with _progress_lines():
        return _print_path(train_embedder(values, resume))


@classifier_app.default
def classifier(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[ClassifierTrainingConfig, Parameter(name="*")] = ClassifierTrainingConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    values = _load_settings(config, settings)
    _check_data(values)
    from tracker import train_classifier

    with _progress_lines():
        return _print_path(train_classifier(values, resume))


def _load_settings(file: Path | None, given: T) -> T:
    values: dict[str, Any] = {}
    if file:
        values = {"train": str(file)} if file.is_dir() else read_yaml(file)
    for name, value in given.model_dump(exclude_unset=True).items():
        section = isinstance(getattr(given, name), Section) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **value} if section else value
    return validate_section(type(given), values, str(file) if file else "the command line")


def _check_data(settings: TrainingConfig) -> None:
    if not settings.train:
        raise InputError("training needs images: give a file of settings, or --train; see track train --help")


class _ProgressHandler(logging.Handler):
    """Prints what a training tells; warnings are printed by the handler of all commands."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and _is_first_process():
            say_error(record.getMessage())


@contextmanager
def _progress_lines() -> Iterator[None]:
    """Prints the progress of a training as lines on standard error."""
    logger, handler = logging.getLogger("tracker.training"), _ProgressHandler(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _is_first_process() -> bool:
    """Returns True in a training by one process, and in the first of several."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _print_path(path: object) -> int:
    if _is_first_process():
        say(str(path))
    return 0
