"""Draws text, labels, dashed boxes and letterboxed images, for the contact sheets of evaluations."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

LABEL_HEIGHT = 15  # pixels
BACKGROUND = (24, 24, 24)
TEXT_COLOR = (225, 225, 225)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.42


def draw_text(image: Image, origin: tuple[int, int], text: str, color: Color, scale: float = _SCALE) -> None:
    """Draws text into an image, with its lower left corner at `origin`."""
    cv2.putText(image, _to_ascii(text), origin, _FONT, scale, color, 1, cv2.LINE_AA)


def text_width(text: str, scale: float = _SCALE) -> int:
    """Returns the width of a text, pixels."""
    return int(cv2.getTextSize(_to_ascii(text), _FONT, scale, 1)[0][0])


def draw_label(image: Image, corner: tuple[int, int], text: str, color: Color, text_color: Color = (0, 0, 0)) -> None:
    """Draws text on a filled rectangle whose lower left corner is `corner`, moved so that it lies inside the image."""
    width = text_width(text) + 6
    left = int(np.clip(corner[0], 0, max(0, image.shape[1] - width)))
    bottom = int(np.clip(corner[1], LABEL_HEIGHT, image.shape[0]))
    cv2.rectangle(image, (left, bottom - LABEL_HEIGHT), (left + width, bottom), color, cv2.FILLED)
    draw_text(image, (left + 3, bottom - 4), text, text_color)


def draw_dashed(image: Image, box: list[int], color: Color, dash: int = 5, thickness: int = 1) -> None:
    """Draws a dashed box, xyxy in pixels."""
    x1, y1, x2, y2 = box
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + dash, x2), y), color, thickness)
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + dash, y2)), color, thickness)


def letterbox(image: Image, width: int, height: int) -> tuple[Image, float, tuple[int, int]]:
    """Resizes an image to fit into a tile, keeping its aspect ratio, and centers it.

    Returns:
        The tile uint8 (height, width, 3), the scale of the image, and the x y of its corner in the tile.
    """
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    tile = np.full((height, width, 3), BACKGROUND, np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=interpolation)
    return tile, scale, (left, top)


def _to_ascii(text: str) -> str:
    """Replaces other characters, since the font has only ASCII."""
    return text.encode("ascii", "replace").decode()
