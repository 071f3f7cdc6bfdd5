"""Tracks videos, or takes the tracks of runs, and extracts crops of them."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tracker.config import Config, CropsConfig
from tracker.data.detections import read_detections
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.crops.extraction import CropExtraction, CropExtractionResult, TrackedSource
from tracker.pipeline.crops.repaired import RepairedRun
from tracker.pipeline.crops.writer import TrackFolders, crops_folder
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.resume import is_run
from tracker.pipeline.stored import StoredAnalyzer, open_frames
from tracker.pipeline.thresholds import with_stored_thresholds
from tracker.pipeline.tracking_run import TrackingRun, check_source
from tracker.video import Source, open_source

if TYPE_CHECKING:
    from tracker.models.reid import Embedder


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
        self._embedder: Embedder | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def extract(self, video: str, detections: str = "", monitor: RunMonitor | None = None) -> CropExtractionResult:
        """Extracts the crops of a video's tracks.

        Args:
            video: A file, a folder or glob of images, a URL, or a camera's number; or the folder of a run, whose
                repaired tracks are taken as they are.
            detections: A file of detections that were found in the video, or the folder of a run over it; without it
                the detector runs.
            monitor: Follows the run. If it stops the run, the tracks up to there are written.

        Raises:
            InputError: The video, the detections, the run, the config or the folder cannot be used.
        """
        monitor = monitor or RunMonitor()
        with ExitStack() as stack:
            if is_run(detections or video):
                run = RepairedRun(Path(detections or video), video if detections else "", self._config)
                stack.enter_context(closing(run))
                folder = self._take_folder(run.name)
                tracked = run.tracked_source(self._load_embedder())
            else:
                source, load = self._open(video, detections)
                stack.enter_context(source)
                check_source(self._config, source)
                folder = self._take_folder(source.name)
                tracked = _tracked_source(TrackingRun(source, load(stack)), monitor)
            folders = stack.enter_context(closing(TrackFolders(folder)))
            return CropExtraction(tracked, folders, self._crops).run(monitor)

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

    def _load_embedder(self) -> "Embedder | None":
        """Returns the embedder of the config, without a detector; None without one."""
        appearance, runtime = self._config.appearance, self._config.detector
        if self._embedder is None and appearance.embedder != "none":
            from tracker.models.reid import load_embedder
            from tracker.models.runtime import find_device, use_half_precision

            device = find_device(runtime.device)
            half = use_half_precision(runtime.precision, device)
            loaded = load_embedder(appearance.embedder, device, half, runtime.threads, runtime.backend)
            self._embedder = self._resources.enter_context(loaded)
        return self._embedder

    def _take_folder(self, name: str) -> Path:
        """Returns the folder for the crops of a source, which no later one gets."""
        folder = crops_folder(self._root, name, self._folders, self._config.output.overwrite)
        self._folders.append(folder)
        return folder


def _tracked_source(run: TrackingRun, monitor: RunMonitor) -> TrackedSource:
    """Returns the tracks that a run finds; the monitor follows the first pass of an offline one."""
    source, analyzer, tracker = run.source, run.analyzer, run.config.tracker

    def on_analysis(analysis: FrameAnalysis) -> bool:
        if tracker.offline:
            monitor.on_first_pass(source, analysis.frame)
        return not monitor.stop_requested()

    return TrackedSource(
        source,
        run.tracks(on_analysis),
        analyzer.categories,
        run.config.detector.detect_every,
        max_age=tracker.longest_absence,
        embedder=analyzer.embedder,
        reid_class_ids=tuple(analyzer.reid_class_ids),
    )
