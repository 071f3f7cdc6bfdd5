"""Files of a finished training: the model, its model card, the evaluation and the settings."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
import yaml
from torch import nn

from tracker.config import (
    CropTrainingConfig,
    DetectorConfig,
    DetectorEvalConfig,
    DetectorTrainingConfig,
    TrainingConfig,
)
from tracker.data import ImageSet, align_categories, read_image_set
from tracker.data.files import write_text
from tracker.evaluation.detection import write_report
from tracker.evaluation.detection.calibration import fit_calibration
from tracker.evaluation.detection.curves import metrics_at_threshold
from tracker.evaluation.detection.evaluate import IOU_THRESHOLDS, DetectionMetrics
from tracker.evaluation.detection.inference import detect_images
from tracker.models.detection import BUILTIN, TorchDetector, set_thresholds
from tracker.models.detection.postprocess import DetectionSelector
from tracker.models.model_file import ModelInfo, read_info, save_model
from tracker.models.runtime import choose_device
from tracker.training.curves import plot_metrics_log, read_metrics_log
from tracker.training.detector.training_stages import TrainingStage

log = logging.getLogger(__name__)

ABSENT_FRACTION = 0.5
"""Of the images for validation, on which a class has no object, from which on its false positives are measured."""

CARD = """\
# {architecture}: {classes}

A detector that was trained with `tracker`. Use it: `track VIDEO --weights model.safetensors`.

| | |
| --- | --- |
| Network | {network} |
| Weights | {parameters:.1f} million |
| Recipe | {recipe} |
| Pretrained weights | {pretrained} |
| Training images | {train}, {train_counts} |
| Validation images | {val}, {val_counts} |
| License | {license} |
| Provenance | {provenance} |

## Objects

{objects}

## Metrics on the validation images

{metrics}

The complete evaluation is in report/. To repeat the training: `track train detector config.yaml`.
"""


def write_artifacts(
    folder: Path,
    config: DetectorTrainingConfig,
    info: ModelInfo,
    stages: Sequence[TrainingStage],
    train_set: ImageSet,
    val_set: ImageSet,
    model: nn.Module,
) -> None:
    """Writes the model with its thresholds, its training curves, evaluation and model card, and the settings."""
    with TorchDetector(model, info, _device(config)) as detector:
        predictions, seconds = detect_images(detector, val_set, 1, lambda done: None)
    evaluation = write_report(folder / "report", predictions, val_set, seconds)
    thresholds = score_thresholds(evaluation, config.keep_classes, least_thresholds(config, val_set))
    info = info.model_copy(update={"thresholds": thresholds})
    write_model(folder / "model.safetensors", config, info, model)
    metrics = read_metrics_log(folder, {stage.name: stage.steps for stage in stages})
    plot_metrics_log(metrics, folder / "curves.png", ("AP", "AP50", "AP75"))
    parameters = sum(array.numel() for array in model.state_dict().values())
    write_text(folder / "card.md", _model_card(config, info, (train_set, val_set), parameters, evaluation.coco_metrics))
    for line in result_lines(evaluation, info, config.keep_classes):
        log.info("%s", line)


def least_thresholds(config: DetectorTrainingConfig, val_set: ImageSet) -> dict[str, float]:
    """Returns the usual score threshold for new classes beside kept ones whose false positives are not measured."""
    names = val_set.categories if config.keep_classes else ()
    return {name: DetectorConfig().score for name in names if not _is_often_absent(val_set, name)}


def score_thresholds(
    evaluation: DetectionMetrics, kept: Sequence[str] = (), least: Mapping[str, float] = MappingProxyType({})
) -> tuple[float, ...]:
    """Returns the score threshold with the best F1 of each class, rounded down; 0 where it cannot be told.

    That is the case for a class without objects in the evaluation, for one of which no detection is right, and for the
    `kept` classes, which only a teacher has labelled. The threshold of a class in `least` is not lower than that.
    """
    best = {
        name: max(found.threshold, least.get(name, 0.0))
        for name, found in evaluation.best_f1.items()
        if found.f1 > 0 and name not in kept
    }
    return tuple(math.floor(1e4 * best.get(name, 0.0)) / 1e4 for name in evaluation.categories)


def result_lines(evaluation: DetectionMetrics, info: ModelInfo, kept: Sequence[str] = ()) -> list[str]:
    """Returns the figures of a training at the thresholds of its model, of the classes that are not `kept`."""
    metrics = evaluation.coco_metrics
    lines = [f"AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f} on {evaluation.num_images} images for validation"]
    stored = dict(zip(info.categories, info.thresholds, strict=True))
    for name, best in evaluation.best_f1.items():
        if name in kept:
            continue
        curve = evaluation.curves[IOU_THRESHOLDS[0]][name]
        found = metrics_at_threshold(curve, stored[name]) if stored[name] else best
        lines.append(
            f"{name}: from the score {found.threshold:.2f} on, the precision is {found.precision:.2f} and the recall "
            f"{found.recall:.2f}, of {evaluation.num_objects[name]} objects"
        )
    return lines


def calibrate(model: nn.Module, info: ModelInfo, config: DetectorTrainingConfig, val_set: ImageSet) -> ModelInfo:
    """Calibrates the scores of an R-CNN, and returns the new description; that of another network stays as it is.

    The images are those of `config.calibration` or, without such, those of the validation. Classes that are kept from a
    teacher keep its calibration, so that their scores mean what they meant before.
    """
    if not isinstance(getattr(getattr(model, "roi_heads", None), "selector", None), DetectionSelector):
        return info
    images = val_set
    if config.calibration:
        images = read_image_set(Path(config.calibration), config.class_map)
        images = align_categories(images, info.categories, config.calibration)
    with TorchDetector(model, info, _device(config)) as detector:
        predictions, _ = detect_images(detector, images, 1, lambda done: None)
    calibration = list(fit_calibration(predictions, images.images, len(info.categories)))
    for name, values in _teacher_calibration(config, images).items():
        calibration[info.categories.index(name)] = values
    info = info.model_copy(update={"calibration": tuple(calibration)})
    set_thresholds(model, DetectorEvalConfig(), info)
    return info


def _teacher_calibration(config: DetectorTrainingConfig, images: ImageSet) -> dict[str, tuple[float, float]]:
    """Returns the calibration of classes, by name, that their teacher has: of those that are kept, and of new ones.

    A new class has that of the similar one in whose place it comes, unless there are enough images without its objects,
    without which it cannot be measured how often it is found where it is not.
    """
    path = BUILTIN if config.teacher == "builtin" else Path(config.teacher)
    if not config.keep_classes or path.suffix != ".safetensors":
        return {}
    teacher = read_info(path)
    known = dict(zip(teacher.categories, teacher.calibration, strict=False))
    wanted = {name: name for name in config.keep_classes}
    wanted |= {
        name: old.split("/")[0] for name, old in config.similar_classes.items() if not _is_often_absent(images, name)
    }
    return {name: known[old] for name, old in wanted.items() if old in known}


def _is_often_absent(images: ImageSet, name: str) -> bool:
    """Returns True if a class has no object on half of the images or more."""
    label = images.categories.index(name)
    absent = sum(label not in image.labels and label not in image.unlabeled for image in images.images)
    return absent >= ABSENT_FRACTION * len(images.images)


def _device(config: TrainingConfig) -> torch.device:
    return choose_device("cpu" if config.accelerator == "cpu" else "auto")


def model_info(
    config: DetectorTrainingConfig | CropTrainingConfig, task: str, categories: tuple[str, ...], size: tuple[int, int]
) -> ModelInfo:
    """Returns the description of the model that a training makes."""
    return ModelInfo(
        task=task,
        architecture=config.network.architecture,
        categories=categories,
        size=size,
        license=config.license,
        provenance=config.provenance,
        network=config.network.model_dump(mode="json"),
    )


def write_model(path: Path, config: TrainingConfig, info: ModelInfo, model: nn.Module) -> None:
    """Writes a model, and the settings of its training beside it."""
    save_model(path, {key: value.cpu().numpy() for key, value in model.state_dict().items()}, info)
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(path.with_name("config.yaml"), settings)


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Returns metrics by name as a Markdown table."""
    return _table(("metric", "value"), [(name, f"{value:.3f}") for name, value in metrics.items()])


def _model_card(
    config: DetectorTrainingConfig,
    info: ModelInfo,
    image_sets: tuple[ImageSet, ImageSet],
    parameters: int,
    metrics: Mapping[str, float],
) -> str:
    steps = f"{config.steps} steps of {config.accumulate_grad_batches} x {config.batch_size} images per process"
    return CARD.format(
        architecture=info.architecture,
        classes=", ".join(info.categories),
        network=", ".join(f"{k}: {v}" for k, v in config.network.model_dump(mode="json", exclude_unset=True).items())
        or info.architecture,
        parameters=parameters / 1e6,
        recipe=f"{config.recipe}, {steps}, {config.optimizer}, {config.learning_rate:g}, {config.schedule}",
        pretrained=config.pretrained or "none",
        train=config.train,
        train_counts=_image_counts(image_sets[0]),
        val=config.val,
        val_counts=_image_counts(image_sets[1]),
        license=info.license or "not stated",
        provenance=info.provenance or "not stated",
        objects=_table(("class", "training", "validation"), _object_counts(info.categories, *image_sets)),
        metrics=metrics_table(metrics),
    )


def _image_counts(image_set: ImageSet) -> str:
    empty = sum(not len(image.boxes) for image in image_set.images)
    return f"{len(image_set.images)} images, {empty} of them without objects"


def _object_counts(categories: Sequence[str], *image_sets: ImageSet) -> list[tuple[str, ...]]:
    """Counts the objects of each class in each set; returns rows (class, count, ...)."""
    labels = [np.concatenate([image.labels for image in image_set.images]) for image_set in image_sets]
    counts = [np.bincount(each, minlength=len(categories)) for each in labels]
    return [(name, *(str(count[label]) for count in counts)) for label, name in enumerate(categories)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
