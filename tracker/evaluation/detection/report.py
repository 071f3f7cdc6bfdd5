"""Writes a detector's metrics as tables, as JSON, and as a folder of both with plots."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tracker.data import ImageSet
from tracker.data.files import write_json, write_text
from tracker.errors import InputError
from tracker.evaluation.detection.average_precision import AP_METRICS, AR_METRICS, COCO_METRICS
from tracker.evaluation.detection.curves import PrecisionRecallCurve, ThresholdMetrics
from tracker.evaluation.detection.evaluate import DEFAULT_SCORE, DetectionMetrics, evaluate_detections
from tracker.structures.types import Detections

COLUMNS = ("class", "objects", "AP", "AP50", "best threshold", "precision", "recall", "F1")
ALL_CLASSES = "all"
RECALLS = np.linspace(0, 1, 101)
"""Recalls at which the JSON file holds points of a precision-recall curve."""


def write_report(
    folder: Path,
    predictions: Sequence[Detections],
    dataset: ImageSet,
    seconds: Sequence[float],
    score_threshold: float = DEFAULT_SCORE,
) -> DetectionMetrics:
    """Evaluates a detector and writes a folder of tables and plots.

    The files are report.json, report.md, curves.png (precision-recall curves), scores.png (F1 over the score threshold,
    and calibration), confusion.png, and best.jpg and worst.jpg (images with their detections).

    Args:
        folder: The folder, created if it is missing.
        predictions: The detections of each image, down to scores far below `score_threshold`.
        dataset: The ground truth, with the detector's labels.
        seconds: Time of detection of each image.
        score_threshold: Least score of the detections in the confusion matrix and in the contact sheets.

    Raises:
        InputError: A file cannot be written, or an image cannot be read again.
        ModuleNotFoundError: Matplotlib is missing.
    """
    from tracker.evaluation.detection.contact_sheets import write_contact_sheets
    from tracker.evaluation.detection.plots import draw_confusion, draw_curves, draw_scores

    metrics = evaluate_detections(predictions, dataset, seconds, score_threshold)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_metrics(metrics, folder / "report.json")
        write_text(folder / "report.md", as_markdown(metrics))
        draw_curves(metrics, folder / "curves.png")
        draw_scores(metrics, folder / "scores.png")
        draw_confusion(metrics, folder / "confusion.png")
        write_contact_sheets(predictions, dataset, score_threshold, folder)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return metrics


def as_tables(metrics: DetectionMetrics) -> list[Table | str]:
    """Returns tables of the classes and of COCO's metrics, and sentences, for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == COLUMNS[0] else "right", no_wrap=True)
    for row in _rows(metrics):
        table.add_row(*map(Text, row), style="bold" if row[0] == ALL_CLASSES else "")
    averages = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (*AP_METRICS, *AR_METRICS):
        averages.add_column(name, justify="right", no_wrap=True)
    averages.add_row(*(_number(metrics.coco_metrics[name]) for name in COCO_METRICS))
    return [table, averages, "\n".join(_sentences(metrics))]


def as_markdown(metrics: DetectionMetrics) -> str:
    """Returns the tables and sentences of `as_tables` as Markdown."""
    rows = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *_rows(metrics)]
    values = [_number(metrics.coco_metrics[name]) for name in COCO_METRICS]
    averages = [COCO_METRICS, ["---:"] * len(COCO_METRICS), values]
    tables = ["\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in table) for table in (rows, averages)]
    return "\n\n".join([*tables, "\n".join(f"- {line}" for line in _sentences(metrics))]) + "\n"


def write_metrics(metrics: DetectionMetrics, path: Path) -> None:
    """Writes all metrics as JSON; undefined ones, such as the AP of small objects if there are none, are null.

    Raises:
        InputError: The file cannot be written.
    """
    write_json(path, _to_dict(metrics))


def latency(metrics: DetectionMetrics) -> dict[str, float]:
    """Returns the median and the 95th percentile of the detection time of an image, milliseconds."""
    median, p95 = np.quantile(metrics.seconds, [0.5, 0.95]) * 1000 if len(metrics.seconds) else (np.nan, np.nan)
    return {"median": float(median), "p95": float(p95)}


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _rows(metrics: DetectionMetrics) -> Iterator[tuple[str, ...]]:
    coco = metrics.coco_metrics
    for name, count in metrics.num_objects.items():
        precisions = _number(coco[f"AP/{name}"]), _number(coco[f"AP50/{name}"])
        yield name, str(count), *precisions, *_threshold_columns(metrics.best_f1[name])
    total = str(sum(metrics.num_objects.values()))
    precisions = _number(coco["AP"]), _number(coco["AP50"])
    yield ALL_CLASSES, total, *precisions, *_threshold_columns(metrics.best_f1_all_classes)


def _threshold_columns(best: ThresholdMetrics) -> tuple[str, ...]:
    return f"{best.threshold:.2f}", _number(best.precision), _number(best.recall), _number(best.f1)


def _sentences(metrics: DetectionMetrics) -> Iterator[str]:
    at_threshold, best = metrics.at_threshold, metrics.best_f1_all_classes
    values = f"precision {at_threshold.precision:.3f}, recall {at_threshold.recall:.3f}, F1 {at_threshold.f1:.3f}"
    yield f"--score {at_threshold.threshold:.2f}: {values} at IoU 0.5"
    yield f"--score {best.threshold:.2f} has the highest F1 of one threshold for all classes, {best.f1:.3f}"
    sizes = ", ".join(f"{name} {_number(part.recall)} of {part.objects}" for name, part in metrics.by_size.items())
    yield f"recall by size at --score {at_threshold.threshold:.2f}: {sizes}"
    yield f"expected calibration error of the scores: {_number(metrics.calibration.error)}"
    times = latency(metrics)
    yield f"{metrics.num_images} images, {times['median']:.1f} ms each (median; 95 % within {times['p95']:.1f} ms)"


def _number(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "-"


def _to_dict(metrics: DetectionMetrics) -> dict[str, Any]:
    calibration = metrics.calibration
    return {
        "images": metrics.num_images,
        "objects": metrics.num_objects,
        "coco_metrics": metrics.coco_metrics,
        "score_threshold": metrics.score_threshold,
        "at_threshold": asdict(metrics.at_threshold),
        "best_f1": {ALL_CLASSES: asdict(metrics.best_f1_all_classes)}
        | {name: asdict(best) for name, best in metrics.best_f1.items()},
        "by_size": {name: {**asdict(part), "recall": part.recall} for name, part in metrics.by_size.items()},
        "calibration": {
            "error": calibration.error,
            "scores": calibration.scores.tolist(),
            "precision": calibration.precision.tolist(),
            "counts": calibration.counts.tolist(),
        },
        "confusion_matrix": {
            "classes": [*metrics.categories, "background"],
            "counts": metrics.confusion_matrix.tolist(),
        },
        "curves": {
            f"IoU {threshold}": {name: _curve_points(curve) for name, curve in by_class.items()}
            for threshold, by_class in metrics.curves.items()
        },
        "milliseconds": latency(metrics),
    }


def _curve_points(curve: PrecisionRecallCurve) -> dict[str, list[float]]:
    indices = np.searchsorted(curve.recall, RECALLS)
    indices = np.unique(indices[indices < len(curve.scores)])
    columns = {"recall": curve.recall, "precision": curve.precision, "score": curve.scores}
    return {name: values[indices].round(5).tolist() for name, values in columns.items()}
