"""Evaluates a classifier of crops: accuracy, confusion matrix, and its most confident errors."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crop
from tracker.data.files import replace_file, write_bytes, write_json
from tracker.errors import InputError
from tracker.evaluation.drawing import BACKGROUND, TEXT_COLOR, Image, draw_label, draw_text, letterbox

TOP_K = 5
COLUMNS, ROWS = 6, 4
SIDE, GAP, HEADER = 180, 8, 40  # pixels
JPEG_QUALITY = 88
ERROR_COLOR = (255, 80, 70)


def classification_metrics(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Computes the accuracy of a classifier.

    Args:
        probabilities: (N, C), class probabilities of each crop.
        labels: (N,), the true classes.

    Returns:
        From 0 to 1: top-1 and, of more than five classes, top-5 accuracy, and mean recall, the mean of the top-1
        accuracies of the classes that occur.

    Example:
        >>> classification_metrics(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), np.array([0, 1]))
        {'top-1': 1.0, 'mean recall': 1.0}
    """
    label_probabilities = probabilities[np.arange(len(labels)), labels][:, None]
    ranks = (probabilities > label_probabilities).sum(1)  # 0: the true class is the most probable one
    ranks += ((probabilities == label_probabilities) & (np.arange(probabilities.shape[1]) < labels[:, None])).sum(1)
    metrics = {"top-1": float((ranks == 0).mean())}
    if probabilities.shape[1] > TOP_K:
        metrics["top-5"] = float((ranks < TOP_K).mean())
    recalls = [float((ranks == 0)[labels == label].mean()) for label in np.unique(labels)]
    return {**metrics, "mean recall": float(np.mean(recalls))}


def confusion_matrix(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts the crops by true class (row) and predicted class (column), int64 (C, C)."""
    counts = np.zeros((probabilities.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    return counts


def write_class_report(
    folder: Path, probabilities: NDArray[np.float32], crops: ReIDDataset, categories: Sequence[str]
) -> dict[str, float]:
    """Evaluates a classifier and writes a folder of report.json, confusion.png and mistakes.jpg.

    mistakes.jpg shows the most confident errors.

    Args:
        folder: The folder, created if it is missing.
        probabilities: (N, C).
        crops: The N crops; their ids are the true classes.
        categories: Names of the classes.

    Returns:
        The result of `classification_metrics`.

    Raises:
        InputError: A file cannot be written, or an image cannot be read again.
    """
    from tracker.evaluation.detection.plots import confusion_figure

    metrics, confusion = classification_metrics(probabilities, crops.ids), confusion_matrix(probabilities, crops.ids)
    totals, predicted, correct = (
        counts.tolist() for counts in (confusion.sum(1), confusion.sum(0), np.diag(confusion))
    )
    columns = zip(categories, totals, predicted, correct, strict=True)
    by_class = {name: {"crops": n, "predicted": positives, "correct": hits} for name, n, positives, hits in columns}
    occurring = np.flatnonzero(confusion.any(0) | confusion.any(1))
    names = [categories[label] for label in occurring.tolist()]
    title = f"Top-1 accuracy: {metrics['top-1']:.1%} of {len(crops)} crops"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "report.json", {"metrics": metrics, "classes": by_class}, ascii_only=False)
        chart = confusion_figure(confusion[np.ix_(occurring, occurring)], names, names, title)
        with replace_file(folder / "confusion.png", ".png") as temporary:
            chart.savefig(temporary, bbox_inches="tight", pad_inches=0.15)
        sheet = _misclassified_sheet(probabilities, crops, categories)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_bytes(folder / "mistakes.jpg", data.tobytes())
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return metrics


def _misclassified_sheet(probabilities: NDArray[np.float32], crops: ReIDDataset, categories: Sequence[str]) -> Image:
    """Draws the misclassified crops, the most confident first."""
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    wrong = np.flatnonzero(predicted != crops.ids)
    selected = wrong[np.argsort(-confidence[wrong], kind="stable")][: COLUMNS * ROWS]
    rows = max(1, -(-len(selected) // COLUMNS))
    sheet = np.full((HEADER + rows * (SIDE + GAP), COLUMNS * (SIDE + GAP) + GAP, 3), BACKGROUND, np.uint8)
    draw_text(sheet, (GAP + 2, 26), f"The most confident of {len(wrong)} errors on {len(crops)} crops", TEXT_COLOR, 0.6)
    for position, crop in enumerate(selected.tolist()):
        tile, _, _ = letterbox(read_crop(crops, crop), SIDE, SIDE)
        draw_label(tile, (0, 0), f"{categories[predicted[crop]]} {confidence[crop]:.2f}", ERROR_COLOR)
        draw_label(tile, (0, SIDE), f"is {categories[crops.ids[crop]]}", TEXT_COLOR)
        top, left = HEADER + position // COLUMNS * (SIDE + GAP), GAP + position % COLUMNS * (SIDE + GAP)
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return sheet
