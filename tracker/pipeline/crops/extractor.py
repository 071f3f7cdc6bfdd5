"""Tracks videos and collects crops of their tracks."""

import io
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.config import Config, CropsConfig
from tracker.data.detections import read_detections
from tracker.errors import InputError
from tracker.pipeline.analyzer import Stages, check_source
from tracker.pipeline.crops.selection import CropCandidate, CropReservoir, farthest_point_sampling, quality
from tracker.pipeline.crops.writer import TimeInterval, TrackFolders, place_for
from tracker.pipeline.file_run import Looker, Watcher
from tracker.pipeline.frame_sampler import Sight
from tracker.pipeline.stored import StoredPipeline, open_stored
from tracker.structures.boxes import clip, expand
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source

CANDIDATES = 4
"""Candidates that are kept of a live track, for each crop that is written of it at most."""
MOST_STRETCHES = 1000
"""Times that a track was seen without a break, the latest of which are remembered."""
MISSES = 1
"""Frames in a row, of those that are looked at, that a track may miss without a break: in that time no other can be
confirmed in its place."""


@dataclass
class CropExtractionResult:
    """What came of a source.

    Attributes:
        folder: Where its crops are.
        tracks: How many folders there are in it, by class.
        crops: How many pictures.
        frames: How many frames were looked at.
        stopped: It was stopped before the end.
    """

    folder: Path
    tracks: dict[str, int] = field(default_factory=dict)
    crops: int = 0
    frames: int = 0
    stopped: bool = False


class CropExtractor:
    """Collects crops of videos, one after the other; the networks are loaded once.

    Of a live track at most `CANDIDATES` x `per_track` crops are kept, encoded; it is written and forgotten when it has
    ended, so that memory does not grow with the length of a video.
    """

    def __init__(self, root: Path, config: Config, crops: CropsConfig) -> None:
        """Loads nothing yet.

        Args:
            root: The folder to which each source's folder is added.
            config: How sources are tracked; of `output` only `overwrite` counts.
            crops: Which crops are kept.
        """
        self._root = root
        self._config = config
        self._crops = crops
        self._places: list[Path] = []
        self._pipelines: list[Stages] = []
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def collect(
        self, video: str, detections: str = "", watch: Watcher = lambda *_: True, look: Looker = lambda *_: True
    ) -> CropExtractionResult:
        """Collects the crops of a video's tracks.

        Args:
            video: A file, a folder or glob of images, a URL, or a camera's number.
            detections: A file of detections that were found in it; without, they are looked for.
            watch: Called after each frame; False ends the run, and the tracks up to there are written.
            look: With `offline`, called after each frame of the first look; False ends that look.

        Raises:
            InputError: The video, the detections, the config or the folder cannot be used.
        """
        with ExitStack() as stack:
            source, load = self._opened(video, detections)
            stack.enter_context(source)
            check_source(self._config, source)
            place = place_for(self._root, source.name, self._places, self._config.output.overwrite)
            self._places.append(place)
            stages = load(stack)
            folders = stack.enter_context(closing(TrackFolders(place)))
            return _Collection(source, stages, folders, self._crops).collect(watch, look)

    def _opened(self, video: str, detections: str) -> tuple[Source, Callable[[ExitStack], Stages]]:
        """The frames, and what loads the stages."""
        if not detections:
            return open_source(video, self._config.source, self._config.detector.threads), lambda _: self._pipeline()
        stored = read_detections(detections, self._config.source.fps)
        source = open_stored(stored, self._config, video)
        return source, lambda stack: stack.enter_context(StoredPipeline(self._config, stored, source))

    def _pipeline(self) -> Stages:
        if not self._pipelines:
            # Loads torch, which stored detections may do without.
            from tracker.pipeline.networks import Pipeline

            self._pipelines.append(self._resources.enter_context(Pipeline(self._config)))
        return self._pipelines[0]


@dataclass(eq=False)
class _Live:
    """A track that may go on: its class, its views, and when it was seen."""

    label: int
    views: CropReservoir
    visible_intervals: deque[TimeInterval]
    frame: int = 0  # the latest one that it was seen in, counted over the processed ones
    first: float = 0.0  # seconds


class _Collection:
    """The live tracks of a source; those that ended are written and forgotten."""

    def __init__(self, source: Source, stages: Stages, folders: TrackFolders, config: CropsConfig) -> None:
        self._source = source
        self._stages = stages
        self._folders = folders
        self._config = config
        self._live: dict[int, _Live] = {}
        self._result = CropExtractionResult(folders.folder)
        tracking = stages.config.tracker
        self._unbroken = (1 + MISSES) * stages.config.detector.detect_every
        self._patience = max(tracking.max_age, tracking.link_gap if tracking.offline else 0)

    def collect(self, watch: Watcher, look: Looker) -> CropExtractionResult:
        """Goes through the source. Where that breaks down, what was seen until then is written first."""
        result = self._result

        def observe(sight: Sight) -> bool:
            if self._stages.config.tracker.offline and not look(self._source, sight.frame):
                result.stopped = True
            return not result.stopped

        try:
            with closing(self._stages.run(self._source, observe)) as frames:
                for frame, tracks in frames:
                    self._add(frame, tracks[tracks.observed])
                    self._end(frame.time - self._patience)
                    if not watch(self._source, frame, tracks):
                        result.stopped = True
                        break
        except InputError:
            self._end(np.inf)
            raise
        self._end(np.inf)
        return result

    def _add(self, frame: Frame, tracks: Tracks) -> None:
        height, width, _ = frame.image.shape
        worth = quality(tracks.boxes, tracks.scores, (width, height))
        boxes = clip(expand(tracks.boxes, self._config.margin), width, height)
        for row, number in enumerate(tracks.ids.tolist()):
            if number not in self._live:
                self._live[number] = self._begun(frame.time)
            live = self._live[number]
            live.label = int(tracks.labels[row])
            self._lengthen(live, frame.time, float(tracks.scores[row]))
            if worth[row] > 0 and live.views.would_keep(frame.time, worth[row]):
                jpeg = _encoded(frame.image, boxes[row], self._config.quality)
                live.views.add(CropCandidate(frame.index, frame.time, float(worth[row]), jpeg))
        self._result.frames += 1

    def _begun(self, time: float) -> _Live:
        return _Live(
            0, CropReservoir(CANDIDATES * self._config.per_track, time), deque(maxlen=MOST_STRETCHES), first=time
        )

    def _lengthen(self, live: _Live, time: float, score: float) -> None:
        """Notes that a track was seen."""
        visible_intervals = live.visible_intervals
        if visible_intervals and self._result.frames - live.frame <= self._unbroken:
            first, _, count, mean = visible_intervals.pop()
            visible_intervals.append((first, time, count + 1, mean + (score - mean) / (count + 1)))
        else:
            visible_intervals.append((time, time, 1, score))
        live.frame = self._result.frames

    def _end(self, since: float) -> None:
        """Writes and forgets the tracks that were not seen since a time, seconds."""
        ended = [number for number, live in self._live.items() if live.visible_intervals[-1][1] < since]
        for number in ended:
            live = self._live.pop(number)
            if live.visible_intervals[-1][1] - live.first >= self._config.shortest and live.views.kept:
                views = self._chosen(live)
                category = self._stages.categories[live.label]
                self._folders.write(number, category, views, live.visible_intervals)
                self._result.tracks[category] = self._result.tracks.get(category, 0) + 1
                self._result.crops += len(views)

    def _chosen(self, live: _Live) -> list[CropCandidate]:
        """The best view, then those that differ most: in what the embedder says of them, or else in time."""
        views = live.views.above_quality()
        points: NDArray[np.floating] = np.array([[view.time] for view in views])
        if live.label in self._stages.reid_class_ids:
            for embedder in self._stages.embedders:
                images = [_decoded(view.jpeg) for view in views]
                boxes = [np.array([[0, 0, *image.shape[1::-1]]], np.float32) for image in images]
                points = np.concatenate(embedder.embed(embedder.upload(images), boxes))
        rows = farthest_point_sampling(points, np.array([view.quality for view in views]), self._config.per_track)
        return [views[row] for row in rows]


def _encoded(image: NDArray[np.uint8], box: NDArray[np.floating], quality: int) -> bytes:
    """The pixels that a box, inside the picture, touches."""
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.maximum(np.ceil(box[2:]).astype(int), (x1 + 1, y1 + 1))
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[y1:y2, x1:x2])).save(data, "JPEG", quality=quality)
    return data.getvalue()


def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
