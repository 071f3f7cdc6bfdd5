"""One run of the tracker over one source: frames in, frames with their tracks out."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.config import Config
from tracker.errors import InputError
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis, analyze_batches
from tracker.pipeline.frame_sampler import FrameSampler
from tracker.pipeline.offline_buffer import EmbeddingBuffer, FrameTimes, MaskBuffer, VoteBuffer
from tracker.pipeline.online import OnlineTracker, class_voter
from tracker.pipeline.prefetch import QueueStats, prefetch
from tracker.pipeline.regions import Regions
from tracker.pipeline.state_keeper import StateKeeper
from tracker.pipeline.tile_follower import TileFollower
from tracker.structures.types import Frame, Tracks
from tracker.tracking.camera_motion import CameraMotion
from tracker.tracking.decisions import DecisionLog
from tracker.tracking.object_limits import check_limits, read_limits
from tracker.video import Source, check_time_range

if TYPE_CHECKING:
    from tracker.tracking.linking import LinkLog

AnalysisCallback = Callable[[FrameAnalysis], bool]
"""Called with the analysis of each frame before it is tracked. False ends the first pass of an offline run there."""

_REALTIME_QUEUE = 16
"""Frames that may wait while the detector is busy, where each is delivered at its own time."""


def _go_on(analysis: FrameAnalysis) -> bool:
    return True


class TrackingRun:
    """One run over one source, with a tracker, camera motion and class votes of its own.

    Threads decode and analyze frames ahead of the caller; the result does not depend on it.

    Attributes:
        source: The frames.
        analyzer: Finds the objects in them.
        config: All settings; where they leave the embeddings' neutral distance open, it is the analyzer's.
        timer: Time spent in each stage.
        queue_stats: How full the queues between the stages were, by name; empty without threads.
        outside_roi: Detections that were not tracked because they lie outside of the regions of interest.
        frames_predicted: Frames on which the detector did not run, because of `detect_every` or `realtime`.
        state_file: File in which the tracker's state is kept every few seconds, so that ids of a live source go on when
            it is run again; None for none.
        decisions: Takes the tracker's decisions about some tracks, if the run is not offline; None for nothing.
        links: Takes what is linked, if the run is offline; None for nothing.
    """

    def __init__(
        self, source: Source, analyzer: FrameAnalyzer, config: Config | None = None, overlap: bool = True
    ) -> None:
        """Prepares a run; nothing is read yet.

        Args:
            source: Read once; an offline run opens it again for the frames with their final tracks.
            analyzer: Finds the objects.
            config: All settings; None for the analyzer's.
            overlap: False to let each stage wait for the others, so that its time is its own.

        Raises:
            InputError: The settings ask for what the source cannot give (see `check_source`), or name unknown classes.
        """
        config = config or analyzer.config
        check_source(config, source)
        check_limits(config.tracker, analyzer.categories)
        settings = config.tracker.with_neutral_distance(analyzer.neutral_distance)
        self.source = source
        self.analyzer = analyzer
        self.config = config.model_copy(update={"tracker": settings})
        self.timer = analyzer.timer
        self.queue_stats: dict[str, QueueStats] = {}
        self.frames_predicted = 0
        self.outside_roi = 0
        self._regions = Regions(config.detector)
        self.state_file: Path | None = None
        self.decisions: DecisionLog | None = None
        self.links: LinkLog | None = None
        self._overlap = overlap

    def tracks(self, on_analysis: AnalysisCallback = _go_on, images: bool = True) -> Generator[tuple[Frame, Tracks]]:
        """Yields each frame with its tracks; frames without any track come too.

        The generator's end, or closing it, ends the threads. With `offline` the source is first read to its end, and
        the tracks are the final ones.

        Args:
            on_analysis: See `AnalysisCallback`.
            images: False if the frames that are yielded need no images.
        """
        if self.config.tracker.offline:
            return self._offline(on_analysis, images and self.source.has_images)
        return self._online(on_analysis)

    def queue_size(self) -> int:
        """Returns the most frames that may wait between two stages.

        A live source's present is not kept waiting, and at most 2 x `batch_size` x (`detect_every` + 1) frames of a
        file are in memory, and one more.
        """
        if not self._overlap:
            return 0
        return 1 if self.source.live else self.config.detector.batch_size

    def _online(self, on_analysis: AnalysisCallback) -> Generator[tuple[Frame, Tracks]]:
        tracker = OnlineTracker(self.config, self.analyzer, _size(self.source))
        tracker.sort.log = self.decisions
        categories = tuple(self.analyzer.categories)
        keeper = StateKeeper(self.state_file, tracker.sort, categories, self.source.clock)
        with closing(keeper), closing(self.analyses()) as analyses:
            for analysis in analyses:
                keeper.on_frame(analysis.frame)
                on_analysis(analysis)
                if self.decisions is not None:
                    self.decisions.frame = analysis.frame.index
                analysis = self._in_regions(analysis)
                if analysis.detector_ran:
                    with self.timer.measure("associate"):
                        tracks = tracker.sort.update(*tracker.inputs(analysis))
                    yield analysis.frame, tracker.complete(analysis, tracks)
                else:
                    yield analysis.frame, tracker.predict(analysis.frame.time)
        tracker.sort.limits.warn()

    def _offline(self, on_analysis: AnalysisCallback, images: bool) -> Generator[tuple[Frame, Tracks]]:
        # Few runs need it, and it takes time to import.
        from tracker.tracking.offline import OfflineTracker

        tracker = OfflineTracker(self.config.tracker, self.analyzer.reid_class_ids, _size(self.source))
        tracker.log = self.links
        tracker.categories = self.analyzer.categories
        if images:
            self.source.keep_media(for_frames=True)
        camera = CameraMotion(self.config.tracker.camera_motion)
        times, masks, votes = FrameTimes(), MaskBuffer(), VoteBuffer(class_voter(self.analyzer))
        embeddings = EmbeddingBuffer(self.config.appearance.save_embeddings)
        with closing(self.analyses()) as analyses:
            for whole_analysis in analyses:
                analysis = self._in_regions(whole_analysis)
                frame, detections = analysis.frame, analysis.detections
                times.add(frame)
                masks.add(detections)
                votes.add(analysis.class_probs)
                embeddings.add(analysis.embeddings)
                with self.timer.measure("associate"):
                    if analysis.detector_ran:
                        motion = camera.update(frame.image, detections.boxes)
                        tracker.update(detections, analysis.embeddings, frame.time, motion, analysis.rescore)
                    else:
                        tracker.skip(frame.time)
                if not on_analysis(whole_analysis):
                    break
        final = votes.count_all(embeddings.attach_all(tracker.finish()))
        categories = self.analyzer.categories
        reread = prefetch(self._reread(times), self.queue_size(), "read", self.queue_stats)
        with closing(reread if images else times.without_images(self.source)) as frames:
            for number, frame in enumerate(frames):
                with self.timer.measure("associate"):
                    tracks = next(final)
                tracks = votes.voter.with_classes(masks.attach_masks(tracks, number))
                yield frame, replace(tracks, categories=categories)

    def _reread(self, times: FrameTimes) -> Generator[Frame]:
        """Yields the frames of the first pass, from the source opened again."""
        with self.source.reopen() as reopened:
            frames = iter(reopened)
            for index, time, _ in times:
                with self.timer.measure("decode"):
                    frame = next(frames, None)
                if frame is None or (frame.index, frame.time) != (index, time):
                    raise InputError(f"{self.source.uri} changed while it was read: run again on a copy")
                yield frame

    def analyses(self) -> Generator[FrameAnalysis]:
        """Yields the analysis of each frame; one thread decodes ahead, and one analyzes."""
        sampler = FrameSampler(self.config)
        decoded = prefetch(sampler.throttle(self._decoded()), self._read_ahead(), "read", self.queue_stats)
        # Without images there is less to compute than to hand over to another thread.
        analyze_ahead = int(self.source.has_images and self._overlap)
        batches = prefetch(self._batches(decoded, sampler), analyze_ahead, "analyze", self.queue_stats)
        with closing(batches):
            try:
                for batch in batches:
                    for analysis in batch:
                        self.frames_predicted += not analysis.detector_ran
                        yield analysis
            finally:
                sampler.stop()

    def _in_regions(self, analysis: FrameAnalysis) -> FrameAnalysis:
        """Returns an analysis without the detections outside of the regions of interest, and counts these."""
        selected = self._regions.select(analysis)
        self.outside_roi += len(analysis.detections) - len(selected.detections)
        return selected

    def _read_ahead(self) -> int:
        """Returns how many frames to decode ahead: none of a live source, which reads by itself."""
        if self.config.detector.realtime:
            return _REALTIME_QUEUE
        return self.queue_size() if self.source.has_images and not self.source.live else 0

    def _decoded(self) -> Generator[Frame]:
        frames = iter(self.source)
        while True:
            with self.timer.measure("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _batches(self, frames: Generator[Frame], sampler: FrameSampler) -> Generator[list[FrameAnalysis]]:
        detector = self.config.detector
        size = 1 if self.source.live or detector.realtime else detector.batch_size * detector.detect_every
        with closing(frames):
            yield from analyze_batches(sampler.select(frames), self._analyze(), size)

    def _analyze(self) -> Callable[[list[Frame]], list[FrameAnalysis]]:
        """Returns the function that analyzes the frames of this run, in order."""
        analyzer = self.analyzer
        if self.config.detector.tiles != "follow":
            return analyzer.analyze
        return TileFollower(analyzer.analyze, analyzer.tiles).analyze


def check_config(config: Config) -> None:
    """Checks that settings go together.

    Raises:
        InputError: They do not.
    """
    check_time_range(config.source)
    _check_segments(config)
    read_limits(config.tracker)
    if config.tracker.offline and config.detector.realtime:
        raise InputError("--offline reads all frames before it writes, and cannot keep a pace: leave out --realtime")
    if config.appearance.save_embeddings:
        if config.appearance.embedder == "none" and config.appearance.embedding_source == "network":
            raise InputError("--save-embeddings needs an embedder: leave out --embedder none")
        outputs = config.output.output
        if outputs and not any(name.endswith(".parquet") and not name.endswith("_summary.parquet") for name in outputs):
            raise InputError("--save-embeddings writes a column of .parquet files of tracks: add one with --output")


def _check_segments(config: Config) -> None:
    output = config.output
    if not output.segment:
        if output.keep or output.disk_full == "remove":
            flag = "--keep" if output.keep else "--disk-full remove"
            raise InputError(f"{flag} removes the oldest segments: give --segment too, such as --segment 1h")
        return
    for flag, value in (("--all-tracks", output.all_tracks), ("--detections", output.detections)):
        if value:
            raise InputError(f"{flag} is one table that grows without end: leave it out with --segment")
    if output.overwrite:
        raise InputError("--segment adds to the segments that exist: leave out --overwrite")
    if len({Path(name).expanduser().parent for name in output.output}) > 1:
        raise InputError("--segment makes its folders in that of the outputs: name all of them in one folder")


def check_source(config: Config, source: Source) -> None:
    """Checks that a source has what a config asks for.

    Raises:
        InputError: See `check_config`; or the source is live, but is to be read twice, or is not, but its tracks are to
            be kept; or has no images, but they are needed.
    """
    check_config(config)
    if config.tracker.offline and source.live:
        raise InputError(f"{source.uri} is live, and --offline needs all of a video before it writes: leave it out")
    if config.tracker.offline and source.has_images and not source.can_reopen:
        raise InputError(f"offline tracking reads {source.uri} twice, which an iterator cannot: give a list, or a file")
    if config.output.state and not source.live:
        raise InputError(f"{source.uri} is not live, and --state keeps tracks of live sources: leave it out")
    if config.output.segment and not source.live:
        raise InputError(f"{source.uri} is not live, and --segment divides the results of live sources: leave it out")
    if config.tracker.camera_motion in ("flow", "ecc") and not source.has_images:
        raise InputError("--camera-motion needs images: give --video, or leave it out")
    if config.detector.roi and not source.has_images and not source.width:
        raise InputError("--roi needs the size of the images: give --video, or a seqinfo.ini beside the detections")
    if config.appearance.classify and not source.has_images:
        raise InputError("--classify needs images: give --video, or leave it out")


def _size(source: Source) -> tuple[float, float]:
    """Returns width and height of the images, infinite where they are unknown."""
    return source.width or float("inf"), source.height or float("inf")
