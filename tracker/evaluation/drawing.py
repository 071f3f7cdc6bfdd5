"""What the pictures of evaluations share: dashed boxes, texts on plates, and pictures fitted into a tile."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

PLATE = 15  # height of a label, pixels
GROUND = (24, 24, 24)
INK = (225, 225, 225)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.42


def write(image: Image, origin: tuple[int, int], text: str, colour: Colour, scale: float = _SCALE) -> None:
    """Writes a text whose lower left corner is given into an image."""
    cv2.putText(image, _plain(text), origin, _FONT, scale, colour, 1, cv2.LINE_AA)


def text_width(text: str, scale: float = _SCALE) -> int:
    """Width of a text, pixels."""
    return int(cv2.getTextSize(_plain(text), _FONT, scale, 1)[0][0])


def label(image: Image, corner: tuple[int, int], text: str, colour: Colour, ink: Colour = (0, 0, 0)) -> None:
    """A text on a plate whose lower left corner is given, moved into the image."""
    width = text_width(text) + 6
    left = int(np.clip(corner[0], 0, max(0, image.shape[1] - width)))
    bottom = int(np.clip(corner[1], PLATE, image.shape[0]))
    cv2.rectangle(image, (left, bottom - PLATE), (left + width, bottom), colour, cv2.FILLED)
    write(image, (left + 3, bottom - 4), text, ink)


def dashed(image: Image, box: list[int], colour: Colour, dash: int = 5, line: int = 1) -> None:
    """A dashed rectangle x1 y1 x2 y2."""
    x1, y1, x2, y2 = box
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + dash, x2), y), colour, line)
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + dash, y2)), colour, line)


def fitted(image: Image, width: int, height: int) -> tuple[Image, float, tuple[int, int]]:
    """A picture in the middle of a tile, as large as it can be: the tile, the picture's scale, and its corner x y."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    tile = np.full((height, width, 3), GROUND, np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=method)
    return tile, scale, (left, top)


def _plain(text: str) -> str:
    """The font knows ASCII only."""
    return text.encode("ascii", "replace").decode()
