"""Draws tracks into a picture: mask, box, label and trail, in a colour that belongs to the id."""

import colorsys
from collections import OrderedDict, deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.output.base import visible
from tracker.structures.masks import patch
from tracker.structures.types import FineTracks, Frame, MaskedTracks, Tracks

Colour = tuple[int, int, int]
Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_ANGLE = 0.6180339887  # of a full turn: successive ids land far apart on the hue circle
_MASK_SHARE = 0.4  # of the colour in a mask's pixels
_TRAIL_POINTS = 256  # bound of one trail's length, however long it may last


def colour_of(track_id: int) -> Colour:
    """The RGB colour of an id, the same everywhere."""
    hue = track_id * _GOLDEN_ANGLE % 1
    # Three lightnesses in turn, so that ids whose hues come close again still differ.
    saturation, value = ((0.80, 1.00), (0.55, 1.00), (0.90, 0.80))[track_id % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


class Annotator:
    """Draws the tracks of successive frames of one video.

    Line widths and text grow with the picture. An observed box is drawn solid, a predicted one dashed; a mask, where
    there is one, is a translucent stain with an outline. The trail joins the bottom centres of a track's boxes over the
    last seconds; it is forgotten when its track has been gone for longer than that.
    """

    def __init__(self, categories: Sequence[str], width: int, height: int, trail_seconds: float) -> None:
        """Prepares for pictures of one size.

        Args:
            categories: Class names by label.
            width: Of the pictures, pixels.
            height: Of the pictures, pixels.
            trail_seconds: Length of the trails; 0 draws none.
        """
        side = min(width, height)
        self._categories = tuple(categories)
        self._line = max(1, round(side / 280))
        self._trail_line = max(1, self._line - 1)
        self._stroke = max(1, round(side / 640))
        # Capitals of this font are 22 pixels high at scale 1; below about 9 pixels it cannot be read.
        self._scale = max(9.0, side / 55) / 22
        self._trail_seconds = trail_seconds
        self._trail_step = max(3.0, side / 60)
        self._trails: OrderedDict[int, deque[tuple[float, float, float]]] = OrderedDict()

    def draw(self, frame: Frame, tracks: Tracks) -> Image:
        """A copy of the frame's picture with its tracks drawn in.

        Args:
            frame: Of the size given at construction, later than the frame before.
            tracks: The tracks of this frame.

        Returns:
            uint8 (H, W, 3), RGB.
        """
        image = np.array(frame.image, order="C")
        tracks, _ = visible(tracks, image.shape[1], image.shape[0])
        corners = self._corners(tracks, image)
        colours = [colour_of(int(i)) for i in tracks.ids]
        if isinstance(tracks, MaskedTracks):
            for row, colour in enumerate(colours):
                self._draw_mask(image, tracks.masks[row], tracks.mask_boxes[row], colour)
        if self._trail_seconds > 0:
            self._extend_trails(frame.time, tracks)
            for row, colour in enumerate(colours):
                self._draw_trail(image, int(tracks.ids[row]), colour)
        for row, colour in enumerate(colours):
            self._draw_box(image, corners[row], colour, dashed=not tracks.observed[row])
        # Labels last, so that no box crosses a text.
        for row, colour in enumerate(colours):
            self._draw_label(image, corners[row], self._text(tracks, row), colour)
        return image

    def _text(self, tracks: Tracks, row: int) -> str:
        name = self._categories[tracks.labels[row]]
        if isinstance(tracks, FineTracks) and tracks.fine_classes[row]:
            name += f" {tracks.fine_classes[row]}"
        return f"{name} {tracks.ids[row]} {tracks.scores[row]:.2f}"

    def _corners(self, tracks: Tracks, image: Image) -> NDArray[np.int64]:
        """(M, 4) whole pixels; edges outside the picture stay just outside of it, however far they are."""
        margin = 2 * self._line
        limit = np.array([image.shape[1], image.shape[0]] * 2) + margin
        return np.clip(np.rint(tracks.boxes), -margin, limit).astype(np.int64)

    def _extend_trails(self, time: float, tracks: Tracks) -> None:
        for track_id, (x1, _, x2, y2) in zip(tracks.ids.tolist(), tracks.boxes.tolist(), strict=True):
            trail = self._trails.setdefault(track_id, deque(maxlen=_TRAIL_POINTS))
            self._trails.move_to_end(track_id)
            x, y = (x1 + x2) / 2, y2
            # The trail's newest point follows the box; it is kept once the box has moved on by a step.
            if len(trail) > 1 and np.hypot(trail[-1][1] - trail[-2][1], trail[-1][2] - trail[-2][2]) < self._trail_step:
                trail.pop()
            trail.append((time, x, y))
            while trail[0][0] < time - self._trail_seconds:
                trail.popleft()
        # Ordered by the last sight, so the forgotten ones come first.
        while self._trails:
            track_id, trail = next(iter(self._trails.items()))
            if trail[-1][0] >= time - self._trail_seconds:
                break
            del self._trails[track_id]

    def _draw_trail(self, image: Image, track_id: int, colour: Colour) -> None:
        points = [(x, y) for _, x, y in self._trails[track_id]]
        if len(points) > 1:
            # Sixteenths of a pixel: a slow trail stays smooth.
            line = np.rint(np.array(points) * 16).astype(np.int32)
            cv2.polylines(image, [line], False, colour, self._trail_line, cv2.LINE_AA, shift=4)

    def _draw_mask(self, image: Image, mask: NDArray[np.uint8], box: NDArray[np.float32], colour: Colour) -> None:
        part = patch(mask, box, image.shape[1], image.shape[0])
        height, width = part.pixels.shape
        under = image[part.top : part.top + height, part.left : part.left + width]
        mixed = under[part.pixels] * (1 - _MASK_SHARE) + np.array(colour) * _MASK_SHARE
        under[part.pixels] = np.rint(mixed).astype(np.uint8)
        outlines, _ = cv2.findContours(part.pixels.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        offset = part.left, part.top
        cv2.drawContours(image, outlines, -1, colour, self._trail_line, cv2.LINE_AA, offset=offset)

    def _draw_box(self, image: Image, box: NDArray[np.int64], colour: Colour, dashed: bool) -> None:
        x1, y1, x2, y2 = box.tolist()
        if dashed:
            cv2.polylines(image, self._dashes(x1, y1, x2, y2), False, colour, self._line)
        else:
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, self._line)

    def _dashes(self, x1: int, y1: int, x2: int, y2: int) -> list[NDArray[np.int32]]:
        """The strokes of a dashed rectangle, each (2, 2) of x y."""
        dash = 5 * self._line
        strokes = []
        for start in range(x1, x2, 2 * dash):
            end = min(start + dash, x2)
            strokes += [((start, y1), (end, y1)), ((start, y2), (end, y2))]
        for start in range(y1, y2, 2 * dash):
            end = min(start + dash, y2)
            strokes += [((x1, start), (x1, end)), ((x2, start), (x2, end))]
        return list(np.array(strokes, np.int32))

    def _draw_label(self, image: Image, box: NDArray[np.int64], text: str, colour: Colour) -> None:
        height, width = image.shape[:2]
        (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, self._scale, self._stroke)
        pad = max(2, text_height // 4)
        plate_width, plate_height = text_width + 2 * pad, text_height + baseline // 2 + 2 * pad
        x1, y1 = int(box[0]) - self._line // 2, int(box[1])
        above = y1 - plate_height
        left = max(0, min(x1, width - plate_width))
        top = max(0, min(above if above >= 0 else y1, height - plate_height))
        cv2.rectangle(image, (left, top), (left + plate_width - 1, top + plate_height - 1), colour, cv2.FILLED)
        luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]  # Source: ITU-R BT.601
        ink = (0, 0, 0) if luminance > 128 else (255, 255, 255)
        origin = (left + pad, top + pad + text_height)
        cv2.putText(image, text, origin, _FONT, self._scale, ink, self._stroke, cv2.LINE_AA)
