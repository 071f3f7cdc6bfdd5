"""Contact sheets of the pictures that a detector did best and worst on, with what it found in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet, read_image
from tracker.evaluation.detection.matching import NO_OBJECT, match, missed, right
from tracker.evaluation.detection.metrics import LEVELS
from tracker.evaluation.drawing import (
    GROUND,
    INK,
    PLATE,
    Colour,
    Image,
    dashed,
    fitted,
    label,
    text_width,
    write,
)
from tracker.structures.types import Detections

COLUMNS, ROWS = 4, 3
WIDTH, HEIGHT, GAP, HEADER, CAPTION = 400, 300, 8, 40, 22  # pixels
QUALITY = 88  # of JPEG
LINE = 2

RIGHT, FALSE, WRONG, MISSED, IGNORED = (80, 220, 100), (255, 80, 70), (215, 120, 255), (255, 205, 40), (140, 140, 140)
LEGEND = {
    "right": RIGHT,
    "false alarm": FALSE,
    "wrong class": WRONG,
    "missed": MISSED,
    "does not count": IGNORED,
}


@dataclass(frozen=True, eq=False)
class _Judged:
    """One picture, what was found in it, and what is right of that (see `match`)."""

    picture: AnnotatedImage
    found: Detections
    matches: NDArray[np.int64]
    right: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @property
    def hits(self) -> int:
        return int(self.right.sum())

    @property
    def mistakes(self) -> int:
        wrong = (self.matches >= NO_OBJECT) & ~self.right
        return int(wrong.sum() + self.missed.sum())


def write_sheets(found: Sequence[Detections], pictures: ImageSet, score: float, folder: Path) -> None:
    """Draws best.jpg and worst.jpg: the pictures with the fewest and with the most mistakes.

    Args:
        found: The detections of each picture.
        pictures: The truth.
        score: The least score of detections that are drawn and judged.
        folder: Where the files go.

    Raises:
        InputError: A picture cannot be read.
        OSError: A file cannot be written.
    """
    judged = [
        _judged(detections[detections.scores >= score], picture)
        for detections, picture in zip(found, pictures.pictures, strict=True)
    ]
    best = sorted((one for one in judged if one.hits), key=lambda one: (one.mistakes, -one.hits))
    worst = sorted((one for one in judged if one.mistakes), key=lambda one: (-one.mistakes, one.hits))
    for name, chosen in (("best", best), ("worst", worst)):
        title = f"The {name} of {len(judged)} pictures at score {score:.2f}"
        sheet = _sheet(title, chosen[: COLUMNS * ROWS], pictures.categories)
        _, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (folder / f"{name}.jpg").write_bytes(data.tobytes())


def _judged(found: Detections, picture: AnnotatedImage) -> _Judged:
    matches = match(found, picture, LEVELS[0])
    return _Judged(picture, found, matches, right(matches, found, picture), missed(matches, picture))


def _sheet(title: str, chosen: Sequence[_Judged], categories: Sequence[str]) -> Image:
    rows = max(1, -(-len(chosen) // COLUMNS))
    cell = WIDTH + GAP, HEIGHT + CAPTION + GAP
    sheet = np.full((HEADER + rows * cell[1], COLUMNS * cell[0] + GAP, 3), GROUND, np.uint8)
    _write_header(sheet, title)
    for number, judged in enumerate(chosen):
        row, column = divmod(number, COLUMNS)
        left, top = GAP + column * cell[0], HEADER + row * cell[1]
        sheet[top : top + HEIGHT, left : left + WIDTH] = _tile(judged, categories)
        counts = f"{judged.hits} right, {judged.mistakes} mistake{'s' * (judged.mistakes != 1)}"
        write(sheet, (left + 2, top + HEIGHT + 16), f"{judged.picture.name}: {counts}", INK)
    return sheet


def _write_header(sheet: Image, title: str) -> None:
    write(sheet, (GAP + 2, 26), title, INK, 0.6)
    left = sheet.shape[1] - GAP
    for text, colour in reversed(LEGEND.items()):
        left -= text_width(text) + 40
        cv2.rectangle(sheet, (left, 14), (left + 18, 27), colour, cv2.FILLED)
        write(sheet, (left + 24, 25), text, INK)


def _tile(judged: _Judged, categories: Sequence[str]) -> Image:
    """The picture with its boxes: solid what was found, dashed what was not."""
    picture, found = judged.picture, judged.found
    tile, scale, corner = fitted(read_image(picture.path), WIDTH, HEIGHT)

    def placed(boxes: NDArray[np.float32]) -> list[list[int]]:
        corners = np.rint(boxes * scale + np.tile(corner, 2)).astype(int)
        inside: list[list[int]] = np.clip(corners, 0, [WIDTH - 1, HEIGHT - 1] * 2).tolist()
        return inside

    texts: list[tuple[list[int], str, Colour]] = []
    for box in placed(picture.ignore):
        dashed(tile, box, IGNORED)
    for box, number in zip(placed(picture.boxes[judged.missed]), picture.labels[judged.missed], strict=True):
        dashed(tile, box, MISSED, line=LINE)
        texts.append((box, categories[number], MISSED))
    for row, box in enumerate(placed(found.boxes)):
        text, colour = _verdict(judged, row, categories)
        cv2.rectangle(tile, (box[0], box[1]), (box[2], box[3]), colour, LINE)
        texts.append((box, text, colour))
    # Texts last, so that no box crosses them; above their box, or just inside it.
    for (x1, y1, _, _), text, colour in texts:
        label(tile, (x1 - 1, y1 if y1 >= PLATE else y1 + PLATE), text, colour)
    return tile


def _verdict(judged: _Judged, row: int, categories: Sequence[str]) -> tuple[str, Colour]:
    text = f"{categories[judged.found.labels[row]]} {judged.found.scores[row]:.2f}"
    which = judged.matches[row]
    if judged.right[row]:
        return text, RIGHT
    if which >= 0:
        return f"{text}, is {categories[judged.picture.labels[which]]}", WRONG
    return text, FALSE if which == NO_OBJECT else IGNORED
