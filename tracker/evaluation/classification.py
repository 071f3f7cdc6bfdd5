"""How good a classifier of crops is: figures, the confusion matrix, and its worst mistakes."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.errors import InputError
from tracker.evaluation.drawing import GROUND, INK, Image, fitted, label, write

MANY = 5  # of top-5
COLUMNS, ROWS = 6, 4
SIDE, GAP, HEADER, QUALITY = 180, 8, 40, 88  # pixels, and JPEG's
WRONG = (255, 80, 70)


def class_figures(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """How often a classifier is right.

    Args:
        probabilities: (N, C), of the classes, for each crop.
        labels: (N,), the true classes.

    Returns:
        From 0 to 1: top-1 and, of more than five classes, top-5, the shares of crops whose class is the likeliest and
        among the five likeliest; and mean recall, the mean of top-1 over the classes that occur.
    """
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = (probabilities > own).sum(1)  # classes that are likelier than the true one
    before += ((probabilities == own) & (np.arange(probabilities.shape[1]) < labels[:, None])).sum(1)
    figures = {"top-1": float((before == 0).mean())}
    if probabilities.shape[1] > MANY:
        figures["top-5"] = float((before < MANY).mean())
    recalls = [float((before == 0)[labels == number].mean()) for number in np.unique(labels)]
    return {**figures, "mean recall": float(np.mean(recalls))}


def confused(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many crops of each true class (row) were taken for each class (column), int64 (C, C)."""
    counts = np.zeros((probabilities.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    return counts


def write_class_report(
    folder: Path, probabilities: NDArray[np.float32], crops: ReIDDataset, categories: Sequence[str]
) -> dict[str, float]:
    """Measures a classifier and fills a folder: report.json, confusion.png, and mistakes.jpg, its surest mistakes.

    Args:
        folder: It is made where it is missing.
        probabilities: (N, C).
        crops: The N crops, whose ids are their classes.
        categories: Names of the classes.

    Returns:
        What `class_figures` says.

    Raises:
        InputError: A file cannot be written, or a picture not be read again.
    """
    from tracker.evaluation.detection.plots import confusion_figure

    figures, counts = class_figures(probabilities, crops.ids), confused(probabilities, crops.ids)
    names = zip(categories, counts.sum(1).tolist(), counts.sum(0).tolist(), np.diag(counts).tolist(), strict=True)
    by_class = {name: {"crops": true, "said": said, "right": right} for name, true, said, right in names}
    shown = np.flatnonzero(counts.any(0) | counts.any(1))
    texts = [categories[number] for number in shown.tolist()]
    title = f"Right: {figures['top-1']:.1%} of {len(crops)} crops"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"figures": figures, "classes": by_class}, indent=2, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        chart = confusion_figure(counts[np.ix_(shown, shown)], texts, texts, title)
        chart.savefig(folder / "confusion.png", bbox_inches="tight", pad_inches=0.15)
        sheet = _mistakes(probabilities, crops, categories)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (folder / "mistakes.jpg").write_bytes(data.tobytes())
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return figures


def _mistakes(probabilities: NDArray[np.float32], crops: ReIDDataset, categories: Sequence[str]) -> Image:
    """The crops of another class than was said, the surest ones first."""
    said = probabilities.argmax(1)
    sure = probabilities.max(1)
    wrong = np.flatnonzero(said != crops.ids)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][: COLUMNS * ROWS]
    rows = max(1, -(-len(chosen) // COLUMNS))
    sheet = np.full((HEADER + rows * (SIDE + GAP), COLUMNS * (SIDE + GAP) + GAP, 3), GROUND, np.uint8)
    write(sheet, (GAP + 2, 26), f"The surest of {len(wrong)} mistakes on {len(crops)} crops", INK, 0.6)
    for number, row in enumerate(chosen.tolist()):
        tile, _, _ = fitted(read_crop(crops, row), SIDE, SIDE)
        label(tile, (0, 0), f"{categories[said[row]]} {sure[row]:.2f}", WRONG)
        label(tile, (0, SIDE), f"is {categories[crops.ids[row]]}", INK)
        top, left = HEADER + number // COLUMNS * (SIDE + GAP), GAP + number % COLUMNS * (SIDE + GAP)
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return sheet
