"""Drawing of tracks into an image: mask, box, label and trail, in a color that depends on the id."""

import colorsys
from collections import OrderedDict, deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.config import ResultConfig
from tracker.output.base import clip_tracks
from tracker.output.labels import LabelLayout, Place
from tracker.structures.masks import patch
from tracker.structures.types import Frame, Tracks

Color = tuple[int, int, int]
Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_ANGLE = 0.6180339887  # of a full turn: successive ids land far apart on the hue circle
_MASK_OPACITY = 0.4
_TRAIL_POINTS = 256  # most points of one trail, however long it lasts


def track_color(track_id: int) -> Color:
    """Returns the RGB color of a track id, the same in all outputs."""
    hue = track_id * _GOLDEN_ANGLE % 1
    # Alternating between three values, so that ids of similar hue still differ.
    saturation, value = ((0.80, 1.00), (0.55, 1.00), (0.90, 0.80))[track_id % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


class Annotator:
    """Draws the tracks of successive frames of one video.

    Line widths and text grow with the image. Labels do not cover each other (see `LabelLayout`). An observed box is
    drawn solid, a predicted one dashed; a mask, where there is one, is translucent with an outline. The trail joins the
    bottom centers of a track's boxes over the last seconds; it is deleted when its track has been absent for longer
    than that.

    Example:
        >>> one, ids, box = np.ones(1, np.float32), np.array([7]), np.array([[8, 8, 24, 40]], np.float32)
        >>> tracks = Tracks(ids, box, one, ids * 0, np.zeros((1, 2), np.float32), one, ids > 0, ids * 0)
        >>> frame = Frame(0, 0.0, 0, np.zeros((48, 64, 3), np.uint8))
        >>> Annotator(["person"], 64, 48, ResultConfig()).annotate(frame, tracks).any().item()
        True
    """

    def __init__(self, categories: Sequence[str], width: int, height: int, config: ResultConfig) -> None:
        """Prepares for images of one size.

        Args:
            categories: Class names by label.
            width: Of the images, pixels.
            height: Of the images, pixels.
            config: Labels, width of the lines, and length of the trails.
        """
        side = min(width, height)
        self._categories = tuple(categories)
        self._labels = config.labels
        self._layout = LabelLayout(width, height)
        self._line_thickness = config.line_width or max(1, round(side / 280))
        self._trail_thickness = max(1, self._line_thickness - 1)
        self._text_thickness = max(1, round(side / 640))
        # Capitals of this font are 22 pixels high at scale 1; below about 9 pixels it cannot be read.
        self._font_scale = max(9.0, side / 55) / 22
        self._trail_seconds = config.trail
        self._trail_step = max(3.0, side / 60)
        self._trails: OrderedDict[int, deque[tuple[float, float, float]]] = OrderedDict()

    def annotate(self, frame: Frame, tracks: Tracks) -> Image:
        """Returns a copy of the frame's image, uint8 (H, W, 3) RGB, with its tracks drawn into it.

        The frame has the size given at construction, and is later than the previous one.
        """
        image = np.array(frame.image, order="C")
        tracks, _ = clip_tracks(tracks, image.shape[1], image.shape[0])
        corners = self._corners(tracks, image)
        colors = [track_color(int(i)) for i in tracks.ids]
        if "masks" in tracks.data:
            for i, color in enumerate(colors):
                self._draw_mask(image, tracks.data["masks"][i], tracks.data["mask_boxes"][i], color)
        if self._trail_seconds > 0:
            self._extend_trails(frame.time, tracks)
            for i, color in enumerate(colors):
                self._draw_trail(image, int(tracks.ids[i]), color)
        for i, color in enumerate(colors):
            self._draw_box(image, corners[i], color, dashed=not tracks.observed[i])
        if self._labels != "none":
            self._draw_labels(image, tracks, corners, colors)  # last, so that no box crosses a text
        return image

    def _draw_labels(self, image: Image, tracks: Tracks, corners: NDArray[np.int64], colors: Sequence[Color]) -> None:
        texts = [[(text, *self._label_size(text)) for text in self._label_texts(tracks, i)] for i in range(len(tracks))]
        boxes = [(x1 - self._line_thickness // 2, y1, x2, y2) for x1, y1, x2, y2 in corners.tolist()]
        labels = self._layout.arrange(tracks.ids.tolist(), boxes, texts)
        for label, color in zip(labels, colors, strict=True):
            if label is not None:
                self._draw_label(image, *label, color)

    def _label_texts(self, tracks: Tracks, index: int) -> list[str]:
        """Returns the texts for the label of a track, the shorter ones for where it does not fit."""
        track_id = str(tracks.ids[index])
        if self._labels == "id":
            return [track_id]
        name = self._categories[tracks.labels[index]]
        if "fine_classes" in tracks.data and tracks.data["fine_classes"][index]:
            name += f" {tracks.data['fine_classes'][index]}"
        texts = [f"{name} {track_id}", track_id]
        return texts if self._labels == "class" else [f"{texts[0]} {tracks.scores[index]:.2f}", *texts]

    def _corners(self, tracks: Tracks, image: Image) -> NDArray[np.int64]:
        """Returns the boxes as int64 (M, 4); edges outside the image are moved to just outside of it."""
        margin = 2 * self._line_thickness
        limit = np.array([image.shape[1], image.shape[0]] * 2) + margin
        return np.clip(np.rint(tracks.boxes), -margin, limit).astype(np.int64)

    def _extend_trails(self, time: float, tracks: Tracks) -> None:
        for track_id, (x1, _, x2, y2) in zip(tracks.ids.tolist(), tracks.boxes.tolist(), strict=True):
            trail = self._trails.setdefault(track_id, deque(maxlen=_TRAIL_POINTS))
            self._trails.move_to_end(track_id)
            x, y = (x1 + x2) / 2, y2
            # The trail's newest point follows the box; it is fixed once the box has moved by a step.
            if len(trail) > 1 and np.hypot(trail[-1][1] - trail[-2][1], trail[-1][2] - trail[-2][2]) < self._trail_step:
                trail.pop()
            trail.append((time, x, y))
            while trail[0][0] < time - self._trail_seconds:
                trail.popleft()
        # Ordered by their newest point, so the expired ones come first.
        while self._trails:
            track_id, trail = next(iter(self._trails.items()))
            if trail[-1][0] >= time - self._trail_seconds:
                break
            del self._trails[track_id]

    def _draw_trail(self, image: Image, track_id: int, color: Color) -> None:
        points = [(x, y) for _, x, y in self._trails[track_id]]
        if len(points) > 1:
            # Sixteenths of a pixel: a slow trail stays smooth.
            line = np.rint(np.array(points) * 16).astype(np.int32)
            cv2.polylines(image, [line], False, color, self._trail_thickness, cv2.LINE_AA, shift=4)

    def _draw_mask(self, image: Image, mask: NDArray[np.uint8], box: NDArray[np.float32], color: Color) -> None:
        part = patch(mask, box, image.shape[1], image.shape[0])
        height, width = part.pixels.shape
        covered = image[part.top : part.top + height, part.left : part.left + width]
        blended = covered[part.pixels] * (1 - _MASK_OPACITY) + np.array(color) * _MASK_OPACITY
        covered[part.pixels] = np.rint(blended).astype(np.uint8)
        contours, _ = cv2.findContours(part.pixels.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        offset = part.left, part.top
        cv2.drawContours(image, contours, -1, color, self._trail_thickness, cv2.LINE_AA, offset=offset)

    def _draw_box(self, image: Image, box: NDArray[np.int64], color: Color, dashed: bool) -> None:
        x1, y1, x2, y2 = box.tolist()
        if dashed:
            cv2.polylines(image, self._dashes(x1, y1, x2, y2), False, color, self._line_thickness)
        else:
            cv2.rectangle(image, (x1, y1), (x2, y2), color, self._line_thickness)

    def _dashes(self, x1: int, y1: int, x2: int, y2: int) -> list[NDArray[np.int32]]:
        """Returns the lines of a dashed rectangle, each int32 (2, 2): two points x y."""
        length = 5 * self._line_thickness
        dashes = []
        for start in range(x1, x2, 2 * length):
            end = min(start + length, x2)
            dashes += [((start, y1), (end, y1)), ((start, y2), (end, y2))]
        for start in range(y1, y2, 2 * length):
            end = min(start + length, y2)
            dashes += [((x1, start), (x1, end)), ((x2, start), (x2, end))]
        return list(np.array(dashes, np.int32))

    def _label_size(self, text: str) -> tuple[int, int]:
        """Returns width and height of a label, pixels."""
        (width, height), baseline = cv2.getTextSize(text, _FONT, self._font_scale, self._text_thickness)
        pad = max(2, height // 4)
        return width + 2 * pad, height + baseline // 2 + 2 * pad

    def _draw_label(self, image: Image, text: str, place: Place, color: Color) -> None:
        (_, text_height), _ = cv2.getTextSize(text, _FONT, self._font_scale, self._text_thickness)
        pad = max(2, text_height // 4)
        left, top, width, height = place
        cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), color, cv2.FILLED)
        luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]  # Source: ITU-R BT.601
        text_color = (0, 0, 0) if luminance > 128 else (255, 255, 255)
        origin = (left + pad, top + pad + text_height)
        cv2.putText(image, text, origin, _FONT, self._font_scale, text_color, self._text_thickness, cv2.LINE_AA)
