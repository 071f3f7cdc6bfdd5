"""A run whose tracks are written to files."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.data.files import remove_file
from tracker.errors import InputError
from tracker.output import (
    AnnotatedVideoWriter,
    AudioSource,
    CombinedTable,
    DetectionWriter,
    ResultWriter,
    VideoInfo,
    combined_table_path,
    make_results_folder,
    open_writer,
    remove_empty_folder,
    resolve_outputs,
)
from tracker.output.paths import VIDEO_SUFFIXES
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.prefetch import BackgroundWorker, QueueStats
from tracker.pipeline.run_record import config_to_json, versions, write_record
from tracker.pipeline.summary import Summary
from tracker.pipeline.tracking_run import AnalysisCallback, TrackingRun, check_source
from tracker.structures.types import Frame, Tracks
from tracker.video import Source


@dataclass
class RunResult:
    """The result of a run.

    Attributes:
        output_paths: The files that were written.
        summary: The tracks, and how long each was seen.
        frames: Number of frames processed.
        elapsed: Seconds that it took, without loading.
        corrupt_packets: Packets or images that could not be decoded.
        truncated: True if the file stopped before its stated end.
        stopped: True if the run was stopped before the end.
        frames_predicted: Frames on which the detector did not run.
        filtered_out: Stored detections that were left out because of their score, class or position.
        seconds: Time spent in each stage, by name; more than `elapsed` in all where stages work at the same time.
        queue_stats: How full the queues between the stages were, by name.
        source: The source, as `Source.uri` names it.
    """

    output_paths: list[Path]
    summary: Summary
    frames: int = 0
    elapsed: float = 0.0
    corrupt_packets: int = 0
    truncated: bool = False
    stopped: bool = False
    frames_predicted: int = 0
    filtered_out: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    queue_stats: dict[str, QueueStats] = field(default_factory=dict)
    source: str = ""


@dataclass(eq=False)
class FileRun:
    """Tracks an open source and writes the results that `config.output` asks for.

    Where images are encoded, a thread writes; nothing else touches the files as long as it runs.

    Attributes:
        source: The frames.
        config: All settings.
        load_analyzer: Loads the networks; called once it is known that the results can be written.
        monitor: Follows the run.
        input_files: Files that are read, which are never written to.
        folder: Folder of the results that are not named; None for one with the source's name.
        overlap: See `TrackingRun`.
        table: The table of all sources' tracks; None for one of this source alone, if the config asks for it.
        number: Index of the source in that table.
    """

    source: Source
    config: Config
    load_analyzer: Callable[[], FrameAnalyzer]
    monitor: RunMonitor
    input_files: Sequence[Path] = ()
    folder: Path | None = None
    overlap: bool = True
    table: CombinedTable | None = None
    number: int = 0

    def run(self) -> RunResult:
        """Runs to the end of the source, or until the monitor stops it.

        Raises:
            InputError: The source, the config or an output cannot be used. What was written before the error is kept
                and plays; where not one frame was written, no file is left.
        """
        config, source = self.config, self.source
        with ExitStack() as stack:
            check_source(config, source)
            folder = self.folder or make_results_folder(config.output, source.name)
            stack.callback(remove_empty_folder, folder)
            paths, record_path = resolve_outputs(config.output, folder, self.input_files, _unwritable(source))
            table_path = None if self.table else combined_table_path(config.output, self.input_files)
            analyzer = stack.enter_context(self.load_analyzer())
            run = TrackingRun(source, analyzer, config, self.overlap)
            summary = Summary(analyzer.categories, config.tracker.max_age)
            result = RunResult(
                paths, summary, seconds=run.timer.seconds, queue_stats=run.queue_stats, source=source.uri
            )
            if table_path is not None:
                table = CombinedTable(table_path, [source.uri], _has_fine_classes(config), config.output.overwrite)
                self.table = stack.enter_context(table)
            start = time.perf_counter()
            self._write_frames(run, result)
            result.elapsed = time.perf_counter() - start
            result.frames_predicted, result.filtered_out = run.frames_predicted, analyzer.filtered_out
            result.corrupt_packets, result.truncated = source.corrupt_packets, source.truncated
            if config.output.detections:
                result.output_paths.append(Path(config.output.detections).expanduser())
            if table_path is not None:
                result.output_paths.append(table_path)
            if record_path is not None:
                write_record(record_path, _record(run, result))
                result.output_paths.append(record_path)
            return result

    def _write_frames(self, run: TrackingRun, result: RunResult) -> None:
        output = self.config.output
        video = any(path.suffix.lower() in VIDEO_SUFFIXES for path in result.output_paths)
        images = output.show or video
        if video:
            self.source.keep_media()  # for its sound
        writers: list[ResultWriter] = []
        with ExitStack() as files:
            # Rows of text are written sooner than they would be handed over to another thread.
            queue_size = run.queue_size() if images else 0
            with BackgroundWorker(queue_size, "write", run.queue_stats) as worker:
                on_analysis = self._on_analysis(run, result, files, worker)
                with closing(run.tracks(on_analysis, images)) as frames:
                    for frame, tracks in frames:
                        if not writers:
                            writers = files.enter_context(self._open_writers(run, result))
                        worker(partial(_write, writers, run, result, frame, tracks))
                        self.monitor.on_frame(self.source, frame, tracks)
                        if self.monitor.stop_requested():
                            result.stopped = True
                            break
            if not writers:
                raise InputError(f"no frame came from {self.source.uri} between the start and the end: change one")
            self._finish(writers, run, result)

    def _on_analysis(
        self, run: TrackingRun, result: RunResult, files: ExitStack, worker: BackgroundWorker
    ) -> AnalysisCallback:
        """Returns a callback that stores detections, where the config asks for it, and follows the first pass."""
        path = Path(self.config.output.detections).expanduser()
        writer: DetectionWriter | None = None

        def on_analysis(analysis: FrameAnalysis) -> bool:
            nonlocal writer
            if self.config.output.detections and analysis.detector_ran:
                if writer is None:
                    info = _video_info(self.source, self.config)
                    writer = DetectionWriter(path, info, run.analyzer.categories, self.config.output.overwrite)
                    files.enter_context(writer)
                worker(partial(_store, writer, run, analysis))
            if self.config.tracker.offline:
                self.monitor.on_first_pass(self.source, analysis.frame)
                result.stopped |= self.monitor.stop_requested()
            return not result.stopped

        return on_analysis

    def _finish(self, writers: list[ResultWriter], run: TrackingRun, result: RunResult) -> None:
        with run.timer.measure("write"):
            for writer in writers:
                # After a stop the source has read on already, and its last duration is that of a later frame.
                if isinstance(writer, AnnotatedVideoWriter) and not result.stopped:
                    writer.last_duration = self.source.last_duration
                writer.close()
        # A name that was taken during the run is replaced by another one.
        result.output_paths = [writer.path for writer in writers[: len(result.output_paths)]]

    @contextmanager
    def _open_writers(self, run: TrackingRun, result: RunResult) -> Iterator[list[ResultWriter]]:
        """Opens the writers; their files are removed again if not even the first frame could be written."""
        writers: list[ResultWriter] = []
        info, overwrite = _video_info(self.source, self.config), self.config.output.overwrite
        categories = run.analyzer.categories
        try:
            with ExitStack() as stack:
                for path in result.output_paths:
                    writers.append(open_writer(path, info, categories, self.config.output, overwrite))
                    stack.enter_context(writers[-1])
                table = [self.table.open_writer(self.number, info, categories)] if self.table else []
                yield writers + table
        finally:
            if result.frames == 0:
                for writer in writers:
                    remove_file(writer.path)


def _store(writer: DetectionWriter, run: TrackingRun, analysis: FrameAnalysis) -> None:
    with run.timer.measure("write"):
        writer.write(analysis.frame, analysis.detections)


def _write(writers: list[ResultWriter], run: TrackingRun, result: RunResult, frame: Frame, tracks: Tracks) -> None:
    with run.timer.measure("write"):
        for writer in writers:
            writer.write(frame, tracks)
    result.frames += 1
    result.summary.add(frame.time, tracks)


def _unwritable(source: Source) -> dict[str, str]:
    """Returns the kinds of files that cannot be written of a source, by suffix, each with the reason."""
    reasons = {}
    if not source.has_images:
        reasons = dict.fromkeys(VIDEO_SUFFIXES, "an annotated video needs the images; give --video")
        if not source.width:
            reasons[".json"] = "COCO's JSON needs the size of the images; give --video, or a seqinfo.ini beside them"
    return reasons


def _video_info(source: Source, config: Config) -> VideoInfo:
    return VideoInfo(
        name=source.name,
        width=source.width,
        height=source.height,
        time_base=source.time_base,
        frame_rate=source.frame_rate,
        audio=AudioSource(source.uri, source.media_opener, source.clock_offsets) if source.media_opener else None,
        start=config.source.start,
        end=config.source.end,
        has_fine_classes=_has_fine_classes(config),
        sample_aspect_ratio=source.sample_aspect_ratio,
    )


def _has_fine_classes(config: Config) -> bool:
    return bool(config.appearance.classify)


def _record(run: TrackingRun, result: RunResult) -> dict[str, Any]:
    """Returns the content of run.json: enough to know what a result was made from, and to repeat the run."""
    source = run.source
    return {
        "source": {
            "name": source.uri,
            "width": source.width,
            "height": source.height,
            "sample_aspect_ratio": str(source.sample_aspect_ratio),
            "frame_rate": str(source.frame_rate),
            "time_base": str(source.time_base),
            "corrupt_packets": result.corrupt_packets,
            "truncated": result.truncated,
        },
        "versions": versions(),
        **run.analyzer.describe(),
        "config": config_to_json(run.config),
        "frames": result.frames,
        "frames_predicted": result.frames_predicted,
        "stopped_by_user": result.stopped,
        "tracks": {name: n for name, n in result.summary.counts.items() if n},
        "elapsed_s": round(result.elapsed, 3),
        "stage_s": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        "queues": {
            name: {"size": stats.size, "highest": stats.highest, "mean": round(stats.mean, 2)}
            for name, stats in run.queue_stats.items()
        },
    }
