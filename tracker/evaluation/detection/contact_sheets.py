"""Draws contact sheets of the images with the fewest and with the most detection errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet, read_image
from tracker.data.files import write_bytes
from tracker.evaluation.detection.evaluate import IOU_THRESHOLDS
from tracker.evaluation.detection.matching import UNMATCHED, is_false_negative, is_true_positive, match_detections
from tracker.evaluation.drawing import (
    BACKGROUND,
    LABEL_HEIGHT,
    TEXT_COLOR,
    Color,
    Image,
    draw_dashed,
    draw_label,
    draw_text,
    letterbox,
    text_width,
)
from tracker.structures.types import Detections

COLUMNS, ROWS = 4, 3
WIDTH, HEIGHT, GAP, HEADER, CAPTION = 400, 300, 8, 40, 22  # pixels
JPEG_QUALITY = 88
LINE_WIDTH = 2

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = (80, 220, 100), (255, 80, 70), (255, 205, 40)
WRONG_CLASS, IGNORED = (215, 120, 255), (140, 140, 140)
LEGEND = {
    "true positive": TRUE_POSITIVE,
    "false positive": FALSE_POSITIVE,
    "wrong class": WRONG_CLASS,
    "false negative": FALSE_NEGATIVE,
    "ignored": IGNORED,
}


@dataclass(frozen=True, eq=False)
class _ImageResult:
    """The detections of an image and their matches (see `match_detections`)."""

    gt: AnnotatedImage
    detections: Detections
    matches: NDArray[np.int64]
    is_true_positive: NDArray[np.bool_]
    is_false_negative: NDArray[np.bool_]

    @property
    def num_correct(self) -> int:
        return int(self.is_true_positive.sum())

    @property
    def num_errors(self) -> int:
        false_positive = (self.matches >= UNMATCHED) & ~self.is_true_positive
        return int(false_positive.sum() + self.is_false_negative.sum())


def write_contact_sheets(
    predictions: Sequence[Detections], dataset: ImageSet, score_threshold: float, folder: Path
) -> None:
    """Draws best.jpg and worst.jpg: the images with the fewest and with the most errors.

    Args:
        predictions: The detections of each image.
        dataset: The ground truth.
        score_threshold: Least score of the detections that are drawn and counted.
        folder: Folder for the files.

    Raises:
        InputError: An image cannot be read, or a file cannot be written.
    """
    results = [
        _evaluate_image(detections[detections.scores >= score_threshold], gt)
        for detections, gt in zip(predictions, dataset.images, strict=True)
    ]
    best = sorted((r for r in results if r.num_correct), key=lambda r: (r.num_errors, -r.num_correct))
    worst = sorted((r for r in results if r.num_errors), key=lambda r: (-r.num_errors, r.num_correct))
    for name, ranked in (("best", best), ("worst", worst)):
        title = f"The {name} of {len(results)} images at score {score_threshold:.2f}"
        sheet = _sheet(title, ranked[: COLUMNS * ROWS], dataset.categories)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_bytes(folder / f"{name}.jpg", data.tobytes())


def _evaluate_image(detections: Detections, gt: AnnotatedImage) -> _ImageResult:
    matches = match_detections(detections, gt, IOU_THRESHOLDS[0])
    correct = is_true_positive(matches, detections, gt)
    return _ImageResult(gt, detections, matches, correct, is_false_negative(matches, gt))


def _sheet(title: str, results: Sequence[_ImageResult], categories: Sequence[str]) -> Image:
    rows = max(1, -(-len(results) // COLUMNS))
    cell = WIDTH + GAP, HEIGHT + CAPTION + GAP
    sheet = np.full((HEADER + rows * cell[1], COLUMNS * cell[0] + GAP, 3), BACKGROUND, np.uint8)
    _write_header(sheet, title)
    for index, result in enumerate(results):
        row, column = divmod(index, COLUMNS)
        left, top = GAP + column * cell[0], HEADER + row * cell[1]
        sheet[top : top + HEIGHT, left : left + WIDTH] = _tile(result, categories)
        counts = f"{result.num_correct} correct, {result.num_errors} error{'s' * (result.num_errors != 1)}"
        draw_text(sheet, (left + 2, top + HEIGHT + 16), f"{result.gt.name}: {counts}", TEXT_COLOR)
    return sheet


def _write_header(sheet: Image, title: str) -> None:
    draw_text(sheet, (GAP + 2, 26), title, TEXT_COLOR, 0.6)
    left = sheet.shape[1] - GAP
    for text, color in reversed(LEGEND.items()):
        left -= text_width(text) + 40
        cv2.rectangle(sheet, (left, 14), (left + 18, 27), color, cv2.FILLED)
        draw_text(sheet, (left + 24, 25), text, TEXT_COLOR)


def _tile(result: _ImageResult, categories: Sequence[str]) -> Image:
    """Draws an image with its detections (solid boxes) and its false negatives (dashed boxes)."""
    gt, detections = result.gt, result.detections
    tile, scale, corner = letterbox(read_image(gt.path), WIDTH, HEIGHT)

    def to_tile(boxes: NDArray[np.float32]) -> list[list[int]]:
        corners = np.rint(boxes * scale + np.tile(corner, 2)).astype(int)
        clipped: list[list[int]] = np.clip(corners, 0, [WIDTH - 1, HEIGHT - 1] * 2).tolist()
        return clipped

    labels: list[tuple[list[int], str, Color]] = []
    for box in to_tile(gt.ignore):
        draw_dashed(tile, box, IGNORED)
    false_negative = result.is_false_negative
    for box, label in zip(to_tile(gt.boxes[false_negative]), gt.labels[false_negative], strict=True):
        draw_dashed(tile, box, FALSE_NEGATIVE, thickness=LINE_WIDTH)
        labels.append((box, categories[label], FALSE_NEGATIVE))
    for index, box in enumerate(to_tile(detections.boxes)):
        text, color = _label_and_color(result, index, categories)
        cv2.rectangle(tile, (box[0], box[1]), (box[2], box[3]), color, LINE_WIDTH)
        labels.append((box, text, color))
    # Labels last, so that no box crosses them; above their box, or just inside it.
    for (x1, y1, _, _), text, color in labels:
        draw_label(tile, (x1 - 1, y1 if y1 >= LABEL_HEIGHT else y1 + LABEL_HEIGHT), text, color)
    return tile


def _label_and_color(result: _ImageResult, index: int, categories: Sequence[str]) -> tuple[str, Color]:
    text = f"{categories[result.detections.labels[index]]} {result.detections.scores[index]:.2f}"
    object_index = result.matches[index]
    if result.is_true_positive[index]:
        return text, TRUE_POSITIVE
    if object_index >= 0:
        return f"{text}, is {categories[result.gt.labels[object_index]]}", WRONG_CLASS
    return text, FALSE_POSITIVE if object_index == UNMATCHED else IGNORED
