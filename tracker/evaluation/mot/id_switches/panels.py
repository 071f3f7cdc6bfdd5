"""Draws an id switch as a strip of cut-outs from a few frames around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.drawing import GROUND, INK, PLATE, Image, dashed, label, write
from tracker.structures.boxes import iou
from tracker.structures.types import Frame

Boxes = NDArray[np.float64]

WIDTH, HEIGHT = 240, 300  # of a cut-out, pixels
CAPTION = 44  # height of the text below it
HEADER = 34
GAP = 6
CONTEXT = 2.4  # height of a cut-out, in heights of the object
LEAST = 48.0  # pixels of the frame that a cut-out shows at least, from top to bottom

TRUTH, OLD, NEW, OTHER = (255, 255, 255), (255, 150, 30), (70, 170, 255), (150, 150, 150)


@dataclass(frozen=True, eq=False)
class View:
    """What one cut-out shows.

    Attributes:
        title: What the moment is, in a word or two.
        place: float64 (4,) xyxy pixels of the frame, where the object is or, between two sights, should be.
        truth: float64 (1, 4) xyxy, the object's true box, or (0, 4) where the truth has none.
        ids: int64 (M,), of all tracks in the frame.
        boxes: float64 (M, 4) xyxy, of these tracks.
        old: The id before the switch.
        new: The id after it.
    """

    title: str
    place: Boxes
    truth: Boxes
    ids: NDArray[np.int64]
    boxes: Boxes
    old: int
    new: int


def draw_view(frame: Frame, view: View, height: float) -> Image:
    """Cuts the object out of a frame, with its true box (white, dashed), the two tracks and, in grey, all others.

    Args:
        frame: The frame.
        view: What to draw into it.
        height: Of the object, pixels; the same for all cut-outs of a strip keeps its size.

    Returns:
        uint8 (HEIGHT + CAPTION, WIDTH, 3), RGB.
    """
    picture, corner, scale = _cut(frame.image, (view.place[:2] + view.place[2:]) / 2, max(CONTEXT * height, LEAST))

    def moved(boxes: Boxes) -> list[list[int]]:
        corners = np.rint((boxes.reshape(-1, 2, 2) - corner) * scale)
        seen = ((corners[:, 1] > 0) & (corners[:, 0] < (WIDTH, HEIGHT))).all(1)
        return np.clip(corners[seen], -WIDTH, 2 * HEIGHT).astype(int).reshape(-1, 4).tolist()

    for track in view.ids[(view.ids != view.old) & (view.ids != view.new)].tolist():
        for x1, y1, x2, y2 in moved(view.boxes[view.ids == track]):
            cv2.rectangle(picture, (x1, y1), (x2, y2), OTHER, 1)
            label(picture, (x1, y1), str(track), OTHER)
    for track, colour, below in ((view.old, OLD, False), (view.new, NEW, True)):
        for x1, y1, x2, y2 in moved(view.boxes[view.ids == track]):
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
            label(picture, (x1, y2 + PLATE if below else y1), str(track), colour)
    for box in moved(view.truth):
        dashed(picture, box, TRUTH)
    label(picture, (0, PLATE), view.title, GROUND, INK)
    return np.concatenate([picture, _caption(frame, view)])


def join(views: Sequence[Image], count: int, header: str) -> Image:
    """Puts cut-outs side by side under a line of text, with room for `count`.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    width = count * (WIDTH + GAP) + GAP
    strip = np.full((HEADER + HEIGHT + CAPTION + GAP, width, 3), GROUND, np.uint8)
    for number, view in enumerate(views):
        left = GAP + number * (WIDTH + GAP)
        strip[HEADER : HEADER + len(view), left : left + WIDTH] = view
    write(strip, (GAP + 2, 22), header, INK, 0.55)
    return strip


def _cut(image: Image, centre: Boxes, height: float) -> tuple[Image, NDArray[np.float64], NDArray[np.float64]]:
    """A part of an image, enlarged to WIDTH x HEIGHT; the image's x y at its corner, and its scale.

    It is moved into the image as far as that goes.
    """
    size = np.rint([height * WIDTH / HEIGHT, height]).astype(int)
    limit = np.array(image.shape[1::-1])
    corner = np.clip(np.rint(centre - size / 2), np.minimum(0, limit - size), np.maximum(0, limit - size)).astype(int)
    inside = np.clip([corner, corner + size], 0, limit)
    (left, top), (right, bottom) = inside[0] - corner, corner + size - inside[1]
    part = image[inside[0, 1] : inside[1, 1], inside[0, 0] : inside[1, 0]]
    padded = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GROUND)
    scale = np.array([WIDTH, HEIGHT]) / size
    method = cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_CUBIC
    enlarged = np.asarray(cv2.resize(padded, (WIDTH, HEIGHT), interpolation=method), np.uint8)
    return enlarged, corner.astype(float), scale


def _caption(frame: Frame, view: View) -> Image:
    caption = np.full((CAPTION, WIDTH, 3), GROUND, np.uint8)
    write(caption, (4, 17), f"frame {frame.index + 1}   {frame.time:.2f} s", INK)
    for left, track, colour in ((4, view.old, OLD), (WIDTH // 2, view.new, NEW)):
        box = view.boxes[view.ids == track]
        if not len(box):
            state = "absent"
        elif not len(view.truth):
            state = "present"
        else:
            overlap = float(iou(view.truth, box)[0, 0])
            state = f"IoU {overlap:.2f}" if overlap else "elsewhere"
        write(caption, (left, 36), f"{track}: {state}", colour)
    return caption
