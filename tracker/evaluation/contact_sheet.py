"""A contact sheet of annotated pictures: a row for each class, of pictures that show it, with their boxes."""

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data import AnnotatedImage, ImageSet, read_image
from tracker.errors import InputError
from tracker.evaluation.drawing import GROUND, INK, Image, fitted, label, write
from tracker.output.drawing import Colour, colour_of

TILES = 6  # pictures in a row
WIDTH, HEIGHT, GAP, MARGIN = 256, 192, 4, 22  # pixels: of a tile, between tiles, and above a row for its title
FEW, WIDE = 3, 30  # so few boxes, or boxes so wide in pixels, have their names; other names would hide what they name
IGNORED = (150, 150, 150)


def draw_sheet(sets: Sequence[ImageSet], file: Path) -> None:
    """Draws pictures of each class, chosen at random but always the same, and those without any object.

    Boxes have the colour of their class and, where there is room, its name; outlines are drawn where there are any;
    what is to be ignored is grey.

    Args:
        sets: Annotated pictures; classes of one name are one.
        file: A .png or .jpg.

    Raises:
        InputError: The file cannot be written.
    """
    names = list(dict.fromkeys(name for pictures in sets for name in pictures.categories))
    shown = [(picture, pictures.categories) for pictures in sets for picture in pictures.pictures]
    rows = [_row(name, [s for s in shown if _shows(*s, name)], names) for name in names]
    empty = [s for s in shown if not len(s[0].labels)]
    if empty:
        rows.append(_row("no object", empty, names))
    sheet = np.concatenate(rows) if rows else np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    if not cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise InputError(f"cannot write {file}")


def _shows(picture: AnnotatedImage, categories: Sequence[str], name: str) -> bool:
    return name in categories and categories.index(name) in picture.labels


def _row(title: str, shown: list[tuple[AnnotatedImage, tuple[str, ...]]], names: Sequence[str]) -> Image:
    row = np.full((MARGIN + HEIGHT + GAP, TILES * (WIDTH + GAP) + GAP, 3), GROUND, np.uint8)
    write(row, (GAP, MARGIN - 7), f"{title}: {len(shown)} pictures", INK)
    left = GAP
    for picture, categories in random.Random(0).sample(shown, len(shown)):
        if left + WIDTH > row.shape[1]:
            break
        try:
            pixels = read_image(picture.path)
        except InputError:  # the check tells of it
            continue
        row[MARGIN : MARGIN + HEIGHT, left : left + WIDTH] = _tile(pixels, picture, categories, names)
        left += WIDTH + GAP
    return row


def _tile(pixels: Image, picture: AnnotatedImage, categories: Sequence[str], names: Sequence[str]) -> Image:
    """The picture in the middle of a tile, with what is annotated on it."""
    tile, scale, corner = fitted(pixels, WIDTH, HEIGHT)
    start = np.array(corner)
    for box in picture.ignore:
        _rectangle(tile, box * scale + np.tile(start, 2), IGNORED)
    named = [categories[number] for number in picture.labels]
    for name, box, outline in zip(named, picture.boxes, picture.outlines, strict=True):
        colour = colour_of(names.index(name))
        polygons = [np.rint(polygon * scale + start).astype(np.int32) for polygon in outline]
        cv2.polylines(tile, polygons, True, colour, 1, cv2.LINE_AA)
        _rectangle(tile, box * scale + np.tile(start, 2), colour)
    for name, box in zip(named, picture.boxes * scale, strict=True):
        if len(named) <= FEW or box[2] - box[0] >= WIDE:
            left, top = np.rint(box[:2] + start).astype(int).tolist()
            label(tile, (left, top), name, colour_of(names.index(name)))
    return tile


def _rectangle(tile: Image, box: NDArray[np.floating], colour: Colour) -> None:
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    cv2.rectangle(tile, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
