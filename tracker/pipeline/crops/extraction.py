"""Follows the tracks of a source, and writes the crops of each one when it has ended."""

import io
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.config import CropsConfig
from tracker.errors import InputError
from tracker.pipeline.crops.selection import CropCandidate, CropReservoir, crop_quality, farthest_point_sampling
from tracker.pipeline.crops.writer import TimeInterval, TrackFolders
from tracker.pipeline.monitor import RunMonitor
from tracker.structures.boxes import clip, expand
from tracker.structures.types import Frame, Tracks
from tracker.video import Source

if TYPE_CHECKING:
    from tracker.models.reid import Embedder

CANDIDATES = 4
"""Candidates that are kept of a live track, for each crop that is written at most."""
MAX_INTERVALS = 1000
"""Most visible intervals that are kept of a track, the latest ones."""
MAX_MISSES = 1
"""Frames in a row, of those on which the detector runs, that a track may miss within one visible interval: too few for
another track to be confirmed in its place."""


@dataclass(frozen=True, eq=False)
class TrackedSource:
    """The frames of a source with their tracks, of which crops are extracted.

    Attributes:
        source: The source.
        frames: Each frame with its tracks, of which the observed ones are cropped.
        categories: Class names by label.
        detect_every: The detector ran on every so many of the frames.
        max_age: Seconds without a detection after which a track has ended, where `last_frames` does not tell.
        last_frames: Index of the last frame of each track by id, where the tracks are known already.
        embedder: Tells which crops of a track differ; None to tell it by their times.
        reid_class_ids: Labels of the classes for which the embedder does.
    """

    source: Source
    frames: Generator[tuple[Frame, Tracks]]
    categories: tuple[str, ...]
    detect_every: int
    max_age: float = 0.0
    last_frames: Mapping[int, int] | None = None
    embedder: "Embedder | None" = None
    reid_class_ids: tuple[int, ...] = ()


@dataclass
class CropExtractionResult:
    """The result for one source.

    Attributes:
        folder: Folder of its crops.
        tracks: Number of track folders in it, by class.
        crops: Number of crops.
        frames: Number of frames processed.
        stopped: True if it was stopped before the end.
    """

    folder: Path
    tracks: dict[str, int] = field(default_factory=dict)
    crops: int = 0
    frames: int = 0
    stopped: bool = False


@dataclass(eq=False)
class _LiveTrack:
    """A track that may go on: its class, its crops, and when it was seen."""

    label: int
    candidates: CropReservoir
    visible_intervals: deque[TimeInterval]
    frame: int = 0  # the latest one in which it was observed, counted over the processed ones
    first: float = 0.0  # seconds


class CropExtraction:
    """The live tracks of a source; those that ended are written and released."""

    def __init__(self, tracked: TrackedSource, folders: TrackFolders, config: CropsConfig) -> None:
        self._tracked = tracked
        self._folders = folders
        self._config = config
        self._live: dict[int, _LiveTrack] = {}
        self._result = CropExtractionResult(folders.folder)
        self._max_step = (1 + MAX_MISSES) * tracked.detect_every

    def run(self, monitor: RunMonitor) -> CropExtractionResult:
        """Processes the source. If that fails, the tracks up to there are written first."""
        try:
            with closing(self._tracked.frames) as frames:
                for frame, tracks in frames:
                    self._add(frame, tracks[tracks.observed])
                    self._write(self._ended(frame))
                    monitor.on_frame(self._tracked.source, frame, tracks)
                    if monitor.stop_requested():
                        self._result.stopped = True
                        break
        except InputError:
            self._write(list(self._live))
            raise
        self._write(list(self._live))
        return self._result

    def _add(self, frame: Frame, tracks: Tracks) -> None:
        height, width, _ = frame.image.shape
        quality = crop_quality(tracks.boxes, tracks.scores, (width, height))
        boxes = clip(expand(tracks.boxes, self._config.margin), width, height)
        for row, track_id in enumerate(tracks.ids.tolist()):
            if track_id not in self._live:
                self._live[track_id] = self._started(frame.time)
            live = self._live[track_id]
            live.label = int(tracks.labels[row])
            self._extend_interval(live, frame.time, float(tracks.scores[row]))
            if quality[row] > 0 and live.candidates.would_keep(frame.time, quality[row]):
                jpeg = _encode_crop(frame.image, boxes[row], self._config.quality)
                live.candidates.add(CropCandidate(frame.index, frame.time, float(quality[row]), jpeg))
        self._result.frames += 1

    def _started(self, time: float) -> _LiveTrack:
        candidates = CropReservoir(CANDIDATES * self._config.per_track, time)
        return _LiveTrack(0, candidates, deque(maxlen=MAX_INTERVALS), first=time)

    def _extend_interval(self, live: _LiveTrack, time: float, score: float) -> None:
        """Adds a detection to the latest visible interval of a track, or starts a new one."""
        intervals = live.visible_intervals
        if intervals and self._result.frames - live.frame <= self._max_step:
            first, _, count, mean = intervals.pop()
            intervals.append((first, time, count + 1, mean + (score - mean) / (count + 1)))
        else:
            intervals.append((time, time, 1, score))
        live.frame = self._result.frames

    def _ended(self, frame: Frame) -> list[int]:
        """Returns the tracks that have ended by a frame."""
        last_frames, since = self._tracked.last_frames, frame.time - self._tracked.max_age
        if last_frames is not None:
            return [track_id for track_id in self._live if last_frames.get(track_id, frame.index) <= frame.index]
        return [track_id for track_id, live in self._live.items() if live.visible_intervals[-1][1] < since]

    def _write(self, ended: list[int]) -> None:
        """Writes and releases some tracks."""
        for track_id in ended:
            live = self._live.pop(track_id)
            duration = live.visible_intervals[-1][1] - live.first
            if duration >= self._config.min_duration and live.candidates.kept:
                crops = self._select(live)
                category = self._tracked.categories[live.label]
                self._folders.write(track_id, category, crops, live.visible_intervals)
                self._result.tracks[category] = self._result.tracks.get(category, 0) + 1
                self._result.crops += len(crops)

    def _select(self, live: _LiveTrack) -> list[CropCandidate]:
        """Returns the best crop, then those that differ most, by their embeddings or otherwise by their time."""
        crops = live.candidates.above_quality()
        points: NDArray[np.floating] = np.array([[crop.time] for crop in crops])
        embedder = self._tracked.embedder
        if embedder and live.label in self._tracked.reid_class_ids:
            images = [_decode_crop(crop.jpeg) for crop in crops]
            boxes = [np.array([[0, 0, *image.shape[1::-1]]], np.float32) for image in images]
            points = np.concatenate(embedder.embed(embedder.upload(images), boxes))
        rows = farthest_point_sampling(points, np.array([crop.quality for crop in crops]), self._config.per_track)
        return [crops[row] for row in rows]


def _encode_crop(image: NDArray[np.uint8], box: NDArray[np.floating], quality: int) -> bytes:
    """Returns the pixels that a box, inside the image, touches, as a JPEG."""
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.maximum(np.ceil(box[2:]).astype(int), (x1 + 1, y1 + 1))
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[y1:y2, x1:x2])).save(data, "JPEG", quality=quality)
    return data.getvalue()


def _decode_crop(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
