"""Draws an id switch as a strip of crops from a few frames around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.drawing import BACKGROUND, LABEL_HEIGHT, TEXT_COLOR, Image, draw_dashed, draw_label, draw_text
from tracker.structures.boxes import iou
from tracker.structures.types import Frame

Boxes = NDArray[np.float64]

WIDTH, HEIGHT = 240, 300  # of a crop, pixels
CAPTION = 44  # height of the text below it
HEADER = 34
GAP = 6
CONTEXT = 2.4  # height of a crop, in heights of the object
MIN_CONTEXT = 48.0  # least height of a crop, pixels of the frame

GT_COLOR, OLD_COLOR, NEW_COLOR, OTHER_COLOR = (255, 255, 255), (255, 150, 30), (70, 170, 255), (150, 150, 150)


@dataclass(frozen=True, eq=False)
class Panel:
    """The content of one crop.

    Attributes:
        title: Relation of the frame to the switch, in a word or two.
        box: float64 (4,) xyxy pixels of the frame, the object's box, interpolated in frames without ground truth.
        gt_boxes: float64 (1, 4) xyxy, the object's ground-truth box, or (0, 4) in frames without ground truth.
        track_ids: int64 (M,), ids of all tracks in the frame.
        track_boxes: float64 (M, 4) xyxy, boxes of these tracks.
        old_id: Id of the track before the switch.
        new_id: Id of the track after it.
    """

    title: str
    box: Boxes
    gt_boxes: Boxes
    track_ids: NDArray[np.int64]
    track_boxes: Boxes
    old_id: int
    new_id: int


def draw_panel(frame: Frame, panel: Panel, object_height: float) -> Image:
    """Crops the object out of a frame, with its ground truth (white, dashed), the two tracks and, gray, all others.

    Args:
        frame: The frame.
        panel: Boxes to draw.
        object_height: Pixels of the frame; the same for all panels of a strip keeps their scale.

    Returns:
        uint8 (HEIGHT + CAPTION, WIDTH, 3), RGB.
    """
    center = (panel.box[:2] + panel.box[2:]) / 2
    crop, corner, scale = _crop(frame.image, center, max(CONTEXT * object_height, MIN_CONTEXT))

    def to_crop(boxes: Boxes) -> list[list[int]]:
        corners = np.rint((boxes.reshape(-1, 2, 2) - corner) * scale)
        visible = ((corners[:, 1] > 0) & (corners[:, 0] < (WIDTH, HEIGHT))).all(1)
        return np.clip(corners[visible], -WIDTH, 2 * HEIGHT).astype(int).reshape(-1, 4).tolist()

    for track in panel.track_ids[(panel.track_ids != panel.old_id) & (panel.track_ids != panel.new_id)].tolist():
        for x1, y1, x2, y2 in to_crop(panel.track_boxes[panel.track_ids == track]):
            cv2.rectangle(crop, (x1, y1), (x2, y2), OTHER_COLOR, 1)
            draw_label(crop, (x1, y1), str(track), OTHER_COLOR)
    for track, color, below in ((panel.old_id, OLD_COLOR, False), (panel.new_id, NEW_COLOR, True)):
        for x1, y1, x2, y2 in to_crop(panel.track_boxes[panel.track_ids == track]):
            cv2.rectangle(crop, (x1, y1), (x2, y2), color, 2)
            draw_label(crop, (x1, y2 + LABEL_HEIGHT if below else y1), str(track), color)
    for box in to_crop(panel.gt_boxes):
        draw_dashed(crop, box, GT_COLOR)
    draw_label(crop, (0, LABEL_HEIGHT), panel.title, BACKGROUND, TEXT_COLOR)
    return np.concatenate([crop, _draw_caption(frame, panel)])


def join_panels(panels: Sequence[Image], count: int, header: str) -> Image:
    """Puts panels side by side below a header; the strip is wide enough for `count` panels.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    width = count * (WIDTH + GAP) + GAP
    strip = np.full((HEADER + HEIGHT + CAPTION + GAP, width, 3), BACKGROUND, np.uint8)
    for index, panel in enumerate(panels):
        left = GAP + index * (WIDTH + GAP)
        strip[HEADER : HEADER + len(panel), left : left + WIDTH] = panel
    draw_text(strip, (GAP + 2, 22), header, TEXT_COLOR, 0.55)
    return strip


def _crop(image: Image, center: Boxes, height: float) -> tuple[Image, NDArray[np.float64], NDArray[np.float64]]:
    """Crops a part of an image and resizes it to WIDTH x HEIGHT.

    The part is moved into the image as far as possible, and padded otherwise.

    Returns:
        The crop, the x y of its corner in the image, and its scale in x and y.
    """
    size = np.rint([height * WIDTH / HEIGHT, height]).astype(int)
    limit = np.array(image.shape[1::-1])
    corner = np.clip(np.rint(center - size / 2), np.minimum(0, limit - size), np.maximum(0, limit - size)).astype(int)
    clipped = np.clip([corner, corner + size], 0, limit)
    (left, top), (right, bottom) = clipped[0] - corner, corner + size - clipped[1]
    crop = image[clipped[0, 1] : clipped[1, 1], clipped[0, 0] : clipped[1, 0]]
    padded = cv2.copyMakeBorder(crop, top, bottom, left, right, cv2.BORDER_CONSTANT, value=BACKGROUND)
    scale = np.array([WIDTH, HEIGHT]) / size
    interpolation = cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(padded, (WIDTH, HEIGHT), interpolation=interpolation), np.uint8)
    return resized, corner.astype(float), scale


def _draw_caption(frame: Frame, panel: Panel) -> Image:
    caption = np.full((CAPTION, WIDTH, 3), BACKGROUND, np.uint8)
    draw_text(caption, (4, 17), f"frame {frame.index + 1}   {frame.time:.2f} s", TEXT_COLOR)
    for x, track_id, color in ((4, panel.old_id, OLD_COLOR), (WIDTH // 2, panel.new_id, NEW_COLOR)):
        box = panel.track_boxes[panel.track_ids == track_id]
        if not len(box):
            state = "absent"
        elif not len(panel.gt_boxes):
            state = "present"
        else:
            overlap = float(iou(panel.gt_boxes, box)[0, 0])
            state = f"IoU {overlap:.2f}" if overlap else "elsewhere"
        draw_text(caption, (x, 36), f"{track_id}: {state}", color)
    return caption
