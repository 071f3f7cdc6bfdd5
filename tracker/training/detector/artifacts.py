"""What a person finds in the folder of a finished training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from torch import nn

from tracker.config import DetectorTrainingConfig, TrainingConfig
from tracker.data import ImageSet
from tracker.errors import InputError
from tracker.evaluation.detection import write_report
from tracker.evaluation.detection.inference import detect_pictures
from tracker.models.detection import Detector
from tracker.models.model_file import ModelInfo, save_model
from tracker.models.runtime import choose_device
from tracker.training.curves import draw_course, read_metrics_log
from tracker.training.detector.phases import TrainingStage

CARD = """\
# {architecture}: {classes}

A detector that was trained with `tracker`. Use it: `track VIDEO --weights model.safetensors`.

| | |
| --- | --- |
| Network | {network} |
| Weights | {parameters:.1f} million |
| Recipe | {recipe} |
| Started from | {start} |
| Training pictures | {train}, {train_counts} |
| Scored pictures | {val}, {val_counts} |
| Licence | {license} |
| Provenance | {provenance} |

## Objects

{objects}

## Figures on the scored pictures

{figures}

Everything that was measured is in report/. The same training again: `track train detector config.yaml`.
"""


def finish(
    folder: Path,
    config: DetectorTrainingConfig,
    info: ModelInfo,
    phases: Sequence[TrainingStage],
    pictures: ImageSet,
    scored: ImageSet,
    model: nn.Module,
) -> None:
    """Writes the model, how good it is, how it came about, and the settings that lead to it.

    Args:
        folder: Where they go.
        config: The settings.
        info: What the model is.
        phases: What the training consisted of.
        pictures: What it learned from.
        scored: What it is measured on.
        model: With its final weights.
    """
    write_model(folder / "model.safetensors", config, info, model)
    course = read_metrics_log(folder, {phase.name: phase.steps for phase in phases})
    draw_course(course, folder / "curves.png", ("AP", "AP50", "AP75"))
    device = choose_device("cpu" if config.accelerator == "cpu" else "auto")
    with Detector(model, info, device) as detector:
        found, seconds = detect_pictures(detector, scored, 1, lambda done: None)
    scores = write_report(folder / "report", found, scored, seconds)
    size = sum(array.numel() for array in model.state_dict().values())
    card = _card(config, info, pictures, scored, size, scores.figures)
    (folder / "card.md").write_text(card, encoding="utf-8")


def write_model(path: Path, config: TrainingConfig, info: ModelInfo, model: nn.Module) -> None:
    """Writes a model, and beside it the settings that lead to it.

    Raises:
        InputError: A file cannot be written.
    """
    try:
        save_model(path, {key: value.cpu().numpy() for key, value in model.state_dict().items()}, info)
        settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        path.with_name("config.yaml").write_text(settings, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {error.filename or path}: {error.strerror}") from None


def figure_table(figures: Mapping[str, float]) -> str:
    """Figures by name as a table of Markdown."""
    return _table(("figure", "value"), [(name, f"{value:.3f}") for name, value in figures.items()])


def _card(
    config: DetectorTrainingConfig,
    info: ModelInfo,
    pictures: ImageSet,
    scored: ImageSet,
    size: int,
    figures: Mapping[str, float],
) -> str:
    steps = f"{config.steps} steps of {config.accumulate} x {config.batch_size} pictures a process"
    return CARD.format(
        architecture=info.architecture,
        classes=", ".join(info.categories),
        network=", ".join(f"{k}: {v}" for k, v in config.network.model_dump(mode="json", exclude_unset=True).items())
        or info.architecture,
        parameters=size / 1e6,
        recipe=f"{config.recipe}, {steps}, {config.optimizer}, {config.learning_rate:g}, {config.schedule}",
        start=config.start_from or "noise",
        train=config.train,
        train_counts=_counts(pictures),
        val=config.val,
        val_counts=_counts(scored),
        license=info.license or "not stated",
        provenance=info.provenance or "not stated",
        objects=_table(("class", "training", "scored"), _objects(info.categories, pictures, scored)),
        figures=figure_table(figures),
    )


def _counts(pictures: ImageSet) -> str:
    empty = sum(not len(picture.boxes) for picture in pictures.pictures)
    return f"{len(pictures.pictures)} pictures, {empty} of them without objects"


def _objects(categories: Sequence[str], *sets: ImageSet) -> list[tuple[str, ...]]:
    """How many objects of each class there are in each set."""
    labels = [np.concatenate([picture.labels for picture in pictures.pictures]) for pictures in sets]
    counts = [np.bincount(each, minlength=len(categories)) for each in labels]
    return [(name, *(str(count[label]) for count in counts)) for label, name in enumerate(categories)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
