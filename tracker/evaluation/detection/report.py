"""Scores of a detector as tables for people, as JSON for programs, and as a folder of both with figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tracker.data import ImageSet
from tracker.errors import InputError
from tracker.evaluation.detection.average_precision import FIGURES, PRECISIONS, RECALLS
from tracker.evaluation.detection.curves import Curve, ThresholdMetrics
from tracker.evaluation.detection.metrics import USUAL_SCORE, DetectorScores, measured
from tracker.structures.types import Detections

COLUMNS = ("class", "objects", "AP", "AP50", "best score", "precision", "recall", "F1")
ALL = "all"
POINTS = np.linspace(0, 1, 101)
"""Recalls at which the JSON has a point of a curve, where it gets so far."""


def write_report(
    folder: Path,
    found: Sequence[Detections],
    pictures: ImageSet,
    seconds: Sequence[float],
    score: float = USUAL_SCORE,
) -> DetectorScores:
    """Measures a detector and fills a folder with what a person wants to see of it.

    These are report.json, report.md, curves.png (precision over recall), scores.png (what a least score leads to, and
    whether scores are true), confusion.png, and best.jpg and worst.jpg (pictures with what was found in them).

    Args:
        folder: Where they go; it is made where it is missing.
        found: What was found in each picture, down to scores far below `score`.
        pictures: The truth, with the detector's labels.
        seconds: What finding took of each picture.
        score: The least score of what is counted one by one and drawn.

    Raises:
        InputError: A file cannot be written, or a picture not be read again.
        ModuleNotFoundError: Matplotlib is missing.
    """
    from tracker.evaluation.detection.contact_sheets import write_sheets
    from tracker.evaluation.detection.plots import draw_confusion, draw_curves, draw_scores

    scores = measured(found, pictures, seconds, score)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(scores, folder / "report.json")
        (folder / "report.md").write_text(as_markdown(scores), encoding="utf-8")
        draw_curves(scores, folder / "curves.png")
        draw_scores(scores, folder / "scores.png")
        draw_confusion(scores, folder / "confusion.png")
        write_sheets(found, pictures, score, folder)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return scores


def as_tables(scores: DetectorScores) -> list[Table | str]:
    """What a terminal shows: the classes, COCO's figures, and sentences."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == COLUMNS[0] else "right", no_wrap=True)
    for row in _rows(scores):
        table.add_row(*map(Text, row), style="bold" if row[0] == ALL else "")
    figures = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (*PRECISIONS, *RECALLS):
        figures.add_column(name, justify="right", no_wrap=True)
    figures.add_row(*(_number(scores.figures[name]) for name in FIGURES))
    return [table, figures, "\n".join(_sentences(scores))]


def as_markdown(scores: DetectorScores) -> str:
    """The same as Markdown."""
    rows = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *_rows(scores)]
    figures = [FIGURES, ["---:"] * len(FIGURES), [_number(scores.figures[name]) for name in FIGURES]]
    tables = ["\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in table) for table in (rows, figures)]
    return "\n\n".join([*tables, "\n".join(f"- {line}" for line in _sentences(scores))]) + "\n"


def write_json(scores: DetectorScores, path: Path) -> None:
    """Writes everything that was measured; what cannot be said (no object of that size, say) is null.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.write_text(json.dumps(_finite(_plain(scores)), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def milliseconds(scores: DetectorScores) -> dict[str, float]:
    """Median and 95th percentile of the time of a picture."""
    middle, late = np.quantile(scores.seconds, [0.5, 0.95]) * 1000 if len(scores.seconds) else (np.nan, np.nan)
    return {"median": float(middle), "p95": float(late)}


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _rows(scores: DetectorScores) -> Iterator[tuple[str, ...]]:
    for name, objects in scores.objects.items():
        each = [scores.figures[f"AP/{name}"], scores.figures[f"AP50/{name}"]]
        yield name, str(objects), *map(_number, each), *_chosen(scores.best[name])
    each = [scores.figures["AP"], scores.figures["AP50"]]
    yield ALL, str(sum(scores.objects.values())), *map(_number, each), *_chosen(scores.best_together)


def _chosen(best: ThresholdMetrics) -> tuple[str, ...]:
    return f"{best.score:.2f}", _number(best.precision), _number(best.recall), _number(best.f1)


def _sentences(scores: DetectorScores) -> Iterator[str]:
    at, best = scores.chosen, scores.best_together
    yield f"--score {at.score:.2f}: precision {at.precision:.3f}, recall {at.recall:.3f}, F1 {at.f1:.3f} at IoU 0.5"
    yield f"--score {best.score:.2f} has the highest F1 of one score for all classes, {best.f1:.3f}"
    sizes = ", ".join(f"{name} {_number(part.recall)} of {part.objects}" for name, part in scores.by_size.items())
    yield f"recall by size at --score {at.score:.2f}: {sizes}"
    yield f"scores differ from precision by {_number(scores.reliability.error)} on average"
    times = milliseconds(scores)
    yield f"{scores.pictures} pictures, {times['median']:.1f} ms each (median; 95 % within {times['p95']:.1f} ms)"


def _number(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "-"


def _plain(scores: DetectorScores) -> dict[str, Any]:
    reliable = scores.reliability
    return {
        "pictures": scores.pictures,
        "objects": scores.objects,
        "figures": scores.figures,
        "score": scores.score,
        "chosen": asdict(scores.chosen),
        "best": {ALL: asdict(scores.best_together), **{name: asdict(best) for name, best in scores.best.items()}},
        "by_size": {name: {**asdict(part), "recall": part.recall} for name, part in scores.by_size.items()},
        "reliability": {
            "error": reliable.error,
            "scores": reliable.scores.tolist(),
            "precision": reliable.precision.tolist(),
            "counts": reliable.counts.tolist(),
        },
        "confusion": {
            "true": [*scores.categories, "nothing"],
            "found": [*scores.categories, "missed"],
            "counts": scores.confusion.tolist(),
        },
        "curves": {
            f"IoU {level}": {name: _points(curve) for name, curve in by_class.items()}
            for level, by_class in scores.curves.items()
        },
        "milliseconds": milliseconds(scores),
    }


def _points(curve: Curve) -> dict[str, list[float]]:
    rows = np.searchsorted(curve.recall, POINTS)
    rows = np.unique(rows[rows < len(curve.scores)])
    columns = {"recall": curve.recall, "precision": curve.precision, "score": curve.scores}
    return {name: values[rows].round(5).tolist() for name, values in columns.items()}


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value
