"""Tracks videos and extracts crops of their tracks."""

import io
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.config import Config, CropsConfig
from tracker.data.detections import read_detections
from tracker.errors import InputError
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.crops.selection import CropCandidate, CropReservoir, crop_quality, farthest_point_sampling
from tracker.pipeline.crops.writer import TimeInterval, TrackFolders, crops_folder
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.stored import StoredAnalyzer, open_frames
from tracker.pipeline.thresholds import with_stored_thresholds
from tracker.pipeline.tracking_run import TrackingRun, check_source
from tracker.structures.boxes import clip, expand
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source

CANDIDATES = 4
"""Candidates that are kept of a live track, for each crop that is written at most."""
MAX_INTERVALS = 1000
"""Most visible intervals that are kept of a track, the latest ones."""
MAX_MISSES = 1
"""Frames in a row, of those on which the detector runs, that a track may miss within one visible interval: too few for
another track to be confirmed in its place."""


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


class CropExtractor:
    """Extracts crops of videos, one after the other; the networks are loaded once.

    Of a live track at most `CANDIDATES` x `per_track` crops are kept, encoded; a track is written and released when it
    has ended, so that memory does not grow with the length of a video.
    """

    def __init__(self, root: Path, config: Config, crops: CropsConfig) -> None:
        """Takes the folder of all sources' folders, the settings of the tracking, and those of the crops."""
        self._root = root
        self._config = with_stored_thresholds(config)
        self._crops = crops
        self._folders: list[Path] = []
        self._networks: FrameAnalyzer | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def extract(self, video: str, detections: str = "", monitor: RunMonitor | None = None) -> CropExtractionResult:
        """Extracts the crops of a video's tracks.

        Args:
            video: A file, a folder or glob of images, a URL, or a camera's number.
            detections: A file of detections that were found in it; without it the detector runs.
            monitor: Follows the run. If it stops the run, the tracks up to there are written.

        Raises:
            InputError: The video, the detections, the config or the folder cannot be used.
        """
        with ExitStack() as stack:
            source, load = self._open(video, detections)
            stack.enter_context(source)
            check_source(self._config, source)
            folder = crops_folder(self._root, source.name, self._folders, self._config.output.overwrite)
            self._folders.append(folder)
            run = TrackingRun(source, load(stack))
            folders = stack.enter_context(closing(TrackFolders(folder)))
            return _Extraction(run, folders, self._crops).run(monitor or RunMonitor())

    def _open(self, video: str, detections: str) -> tuple[Source, Callable[[ExitStack], FrameAnalyzer]]:
        """Returns the frames, and a function that loads their analyzer."""
        if not detections:
            source = open_source(video, self._config.source, self._config.detector.threads)
            return source, lambda _: self._load_networks()
        stored = read_detections(detections, float(self._config.source.fps))
        source = open_frames(stored, self._config, video)
        return source, lambda stack: stack.enter_context(StoredAnalyzer(self._config, stored, source))

    def _load_networks(self) -> FrameAnalyzer:
        if self._networks is None:
            # Imports torch, which stored detections may do without.
            from tracker.pipeline.networks import NetworkAnalyzer

            self._networks = self._resources.enter_context(NetworkAnalyzer(self._config))
        return self._networks


@dataclass(eq=False)
class _LiveTrack:
    """A track that may go on: its class, its crops, and when it was seen."""

    label: int
    candidates: CropReservoir
    visible_intervals: deque[TimeInterval]
    frame: int = 0  # the latest one in which it was observed, counted over the processed ones
    first: float = 0.0  # seconds


class _Extraction:
    """The live tracks of a source; those that ended are written and released."""

    def __init__(self, run: TrackingRun, folders: TrackFolders, config: CropsConfig) -> None:
        self._run = run
        self._folders = folders
        self._config = config
        self._live: dict[int, _LiveTrack] = {}
        self._result = CropExtractionResult(folders.folder)
        tracking = run.config.tracker
        self._max_step = (1 + MAX_MISSES) * run.config.detector.detect_every
        self._max_age = max(tracking.max_age, tracking.link_gap if tracking.offline else 0)

    def run(self, monitor: RunMonitor) -> CropExtractionResult:
        """Processes the source. If that fails, the tracks up to there are written first."""
        result, source = self._result, self._run.source

        def on_analysis(analysis: FrameAnalysis) -> bool:
            if self._run.config.tracker.offline:
                monitor.on_first_pass(source, analysis.frame)
                result.stopped |= monitor.stop_requested()
            return not result.stopped

        try:
            with closing(self._run.tracks(on_analysis)) as frames:
                for frame, tracks in frames:
                    self._add(frame, tracks[tracks.observed])
                    self._write_ended(frame.time - self._max_age)
                    monitor.on_frame(source, frame, tracks)
                    if monitor.stop_requested():
                        result.stopped = True
                        break
        except InputError:
            self._write_ended(np.inf)
            raise
        self._write_ended(np.inf)
        return result

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

    def _write_ended(self, since: float) -> None:
        """Writes and releases the tracks that were not observed since a time, seconds."""
        ended = [track_id for track_id, live in self._live.items() if live.visible_intervals[-1][1] < since]
        for track_id in ended:
            live = self._live.pop(track_id)
            duration = live.visible_intervals[-1][1] - live.first
            if duration >= self._config.min_duration and live.candidates.kept:
                crops = self._select(live)
                category = self._run.analyzer.categories[live.label]
                self._folders.write(track_id, category, crops, live.visible_intervals)
                self._result.tracks[category] = self._result.tracks.get(category, 0) + 1
                self._result.crops += len(crops)

    def _select(self, live: _LiveTrack) -> list[CropCandidate]:
        """Returns the best crop, then those that differ most, by their embeddings or otherwise by their time."""
        crops = live.candidates.above_quality()
        points: NDArray[np.floating] = np.array([[crop.time] for crop in crops])
        analyzer = self._run.analyzer
        if analyzer.embedder and live.label in analyzer.reid_class_ids:
            images = [_decode_crop(crop.jpeg) for crop in crops]
            boxes = [np.array([[0, 0, *image.shape[1::-1]]], np.float32) for image in images]
            points = np.concatenate(analyzer.embedder.embed(analyzer.embedder.upload(images), boxes))
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
