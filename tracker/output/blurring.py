"""Blurring of the boxes or masks of tracks, in every frame from the first to the last one of each track."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.config import BlurConfig
from tracker.data.run_tracks import RunTracks
from tracker.structures.boxes import Floats
from tracker.structures.masks import patch
from tracker.structures.types import Frame, Tracks

Image = NDArray[np.uint8]

_CELLS = 4
"""Cells to which the shorter side of a region is reduced: too few for a face or a number plate."""
_GAP_GROWTH = 0.5
"""Fraction of its longer side by which a box grows on each side for each second from the nearest row of its track."""


class TrackCover:
    """The boxes that hide some tracks in each frame, also in frames without a row of the track.

    Between two rows a box is interpolated over time, and before the first and after the last row it stays where it
    is for some seconds, since a tracker reports an object only once it is sure of it. There the box grows with the
    time to the nearest row.
    """

    def __init__(self, tracks: RunTracks, config: BlurConfig) -> None:
        """Takes the tracks to hide."""
        self._config = config
        self._size = tracks.width, tracks.height
        self._waiting = sorted(tracks.by_track(), key=lambda track: -track.times[0])
        self._active: list[RunTracks] = []

    def at(self, frame: Frame) -> Tracks:
        """Returns the boxes of a frame, which is later than that of the call before; `observed` tells those of rows."""
        extend = self._config.extend
        index, time = frame.index, frame.time
        while self._waiting and (self._waiting[-1].times[0] - extend <= time or self._waiting[-1].frames[0] <= index):
            self._active.append(self._waiting.pop())
        self._active = [one for one in self._active if time <= one.times[-1] + extend or index <= one.frames[-1]]
        found = [(track, *self._box(track, frame)) for track in self._active]
        boxes: Floats = np.array([box for _, box, _ in found], np.float64).reshape(-1, 4)
        if frame.fit:
            boxes = frame.fit.to_image(boxes)
        count = len(found)
        return Tracks(
            ids=np.array([track.ids[0] for track, _, _ in found], np.int64),
            boxes=boxes.astype(np.float32),
            scores=np.ones(count, np.float32),
            labels=np.array([track.labels[-1] for track, _, _ in found], np.int64),
            velocities=np.zeros((count, 2), np.float32),
            ages=np.zeros(count, np.float32),
            observed=np.array([has_row for _, _, has_row in found], np.bool_),
            detection_index=np.full(count, -1, np.int64),
        )

    def _box(self, track: RunTracks, frame: Frame) -> tuple[Floats, bool]:
        """Returns the box of a track in a frame, and whether the track has a row there."""
        row = int(np.searchsorted(track.frames, frame.index))
        if row < len(track) and track.frames[row] == frame.index:
            return _expand(track.boxes[row], self._config.margin), True
        before, after = max(row - 1, 0), min(row, len(track) - 1)
        times = track.times
        span = times[after] - times[before]
        part = (frame.time - times[before]) / span if span > 0 else 0.0
        box = track.boxes[before] + part * (track.boxes[after] - track.boxes[before])
        away = min(abs(frame.time - times[before]), abs(times[after] - frame.time))
        return _expand(box, self._config.margin + _GAP_GROWTH * min(float(away), 1.0)), False


def _expand(box: Floats, margin: float) -> Floats:
    # By its longer side: the arms and legs of a person who walks are beside a box that is narrow.
    reach = margin * max(box[2] - box[0], box[3] - box[1])
    return np.asarray(box + np.array([-reach, -reach, reach, reach]))


class Blurrer:
    """Hides the tracks of successive frames; `AnnotatedVideoWriter` takes it in place of an `Annotator`."""

    def __init__(self, config: BlurConfig) -> None:
        """Takes how to hide."""
        self._config = config

    def annotate(self, frame: Frame, tracks: Tracks) -> Image:
        """Returns a copy of the frame's image, uint8 (H, W, 3) RGB, in which the tracks cannot be recognized."""
        image = np.array(frame.image, order="C")
        hidden = image.copy()
        covered = np.zeros(image.shape[:2], np.bool_)
        for row, box in enumerate(tracks.boxes):
            x1, y1 = np.floor(np.maximum(box[:2], 0)).astype(int).tolist()
            x2, y2 = np.ceil(np.minimum(box[2:], image.shape[1::-1])).astype(int).tolist()
            if x2 <= x1 or y2 <= y1:
                continue
            region = (slice(y1, y2), slice(x1, x2))
            covered[region] |= self._shape(tracks, row, frame.image.shape)[region]
            hidden[region] = self._hide(hidden[region])
        image[covered] = hidden[covered]
        return image

    def _shape(self, tracks: Tracks, row: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Returns the pixels to hide: all of the box, or the mask with its margin."""
        height, width = shape[:2]
        pixels = np.ones((height, width), np.bool_)
        mask_box = tracks.data["mask_boxes"][row] if "masks" in tracks.data else None
        if mask_box is None or mask_box[2] <= mask_box[0]:
            return pixels
        part = patch(tracks.data["masks"][row], mask_box, width, height)
        pixels[:] = False
        rows, columns = part.pixels.shape
        pixels[part.top : part.top + rows, part.left : part.left + columns] = part.pixels
        reach = max(3, round(self._config.margin * float(mask_box[3] - mask_box[1])))
        kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        return np.asarray(cv2.dilate(pixels.astype(np.uint8), kernel), np.bool_)

    def _hide(self, region: Image) -> Image:
        height, width = region.shape[:2]
        if self._config.method == "fill":
            return np.zeros_like(region)
        scale = _CELLS / min(height, width)
        cells = max(1, round(width * min(1.0, scale))), max(1, round(height * min(1.0, scale)))
        small = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
        smooth = self._config.method == "blur"
        return np.asarray(
            cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST),
            np.uint8,
        )
