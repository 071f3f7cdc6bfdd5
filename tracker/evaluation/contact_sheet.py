"""Draws a contact sheet of an annotated dataset: a row of images for each class, with their boxes."""

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet, read_image
from tracker.data.files import write_bytes
from tracker.errors import InputError
from tracker.evaluation.drawing import BACKGROUND, TEXT_COLOR, Image, draw_label, draw_text, letterbox
from tracker.output.drawing import Color, track_color

COLUMNS = 6
WIDTH, HEIGHT, GAP, MARGIN = 256, 192, 4, 22  # pixels: of a tile, between tiles, and above a row for its title
MAX_LABELED_BOXES, MIN_LABELED_WIDTH = (
    3,
    30,
)  # names on more boxes, or on narrower ones (pixels), would hide the objects
IGNORED = (150, 150, 150)


def draw_contact_sheet(datasets: Sequence[ImageSet], file: Path) -> None:
    """Draws randomly chosen images of each class, always the same ones, and images without objects.

    Boxes have the color of their class and, where there is space, its name. Outlines are drawn too. Ignore regions are
    gray.

    Args:
        datasets: Annotated images; classes of the same name are one class.
        file: A .png or .jpg.

    Raises:
        InputError: The file cannot be written.
    """
    names = list(dict.fromkeys(name for dataset in datasets for name in dataset.categories))
    images = [(image, dataset.categories) for dataset in datasets for image in dataset.images]
    rows = [_row(name, [entry for entry in images if _has_class(*entry, name)], names) for name in names]
    empty = [entry for entry in images if not len(entry[0].labels)]
    if empty:
        rows.append(_row("no object", empty, names))
    sheet = np.concatenate(rows) if rows else np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    _, data = cv2.imencode(file.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_bytes(file, data.tobytes())


def _has_class(image: AnnotatedImage, categories: Sequence[str], name: str) -> bool:
    return name in categories and categories.index(name) in image.labels


def _row(title: str, images: list[tuple[AnnotatedImage, tuple[str, ...]]], names: Sequence[str]) -> Image:
    row = np.full((MARGIN + HEIGHT + GAP, COLUMNS * (WIDTH + GAP) + GAP, 3), BACKGROUND, np.uint8)
    draw_text(row, (GAP, MARGIN - 7), f"{title}: {len(images)} images", TEXT_COLOR)
    left = GAP
    for image, categories in random.Random(0).sample(images, len(images)):
        if left + WIDTH > row.shape[1]:
            break
        try:
            pixels = read_image(image.path)
        except InputError:  # reported by the data check
            continue
        row[MARGIN : MARGIN + HEIGHT, left : left + WIDTH] = _tile(pixels, image, categories, names)
        left += WIDTH + GAP
    return row


def _tile(pixels: Image, image: AnnotatedImage, categories: Sequence[str], names: Sequence[str]) -> Image:
    """Draws an image and its annotations into a tile."""
    tile, scale, corner = letterbox(pixels, WIDTH, HEIGHT)
    offset = np.array(corner)
    for box in image.ignore:
        _rectangle(tile, box * scale + np.tile(offset, 2), IGNORED)
    box_names = [categories[label] for label in image.labels]
    for name, box, segmentation in zip(box_names, image.boxes, image.segmentations, strict=True):
        color = track_color(names.index(name))
        polygons = [np.rint(polygon * scale + offset).astype(np.int32) for polygon in segmentation]
        cv2.polylines(tile, polygons, True, color, 1, cv2.LINE_AA)
        _rectangle(tile, box * scale + np.tile(offset, 2), color)
    for name, box in zip(box_names, image.boxes * scale, strict=True):
        if len(box_names) <= MAX_LABELED_BOXES or box[2] - box[0] >= MIN_LABELED_WIDTH:
            left, top = np.rint(box[:2] + offset).astype(int).tolist()
            draw_label(tile, (left, top), name, track_color(names.index(name)))
    return tile


def _rectangle(tile: Image, box: NDArray[np.floating], color: Color) -> None:
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    cv2.rectangle(tile, (x1, y1), (x2 - 1, y2 - 1), color, 1)
