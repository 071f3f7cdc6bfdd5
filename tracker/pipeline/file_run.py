"""A run whose tracks are written to files."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

from tracker.config import Config
from tracker.data.claims import claim
from tracker.data.files import is_special, remove_file
from tracker.data.store import PartReader
from tracker.errors import InputError
from tracker.output import (
    AnnotatedVideoWriter,
    AudioSource,
    CombinedTable,
    ResultWriter,
    VideoInfo,
    combined_table_path,
    make_results_folder,
    open_writer,
    remove_empty_folder,
    resolve_outputs,
)
from tracker.output.paths import VIDEO_SUFFIXES
from tracker.pipeline.analysis_recorder import AnalysisRecorder
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.prefetch import BackgroundWorker
from tracker.pipeline.resume import ResumedAnalyzer, StartedRun
from tracker.pipeline.run_record import RunRecord, config_to_json, source_record, versions
from tracker.pipeline.run_result import RunResult
from tracker.pipeline.segment_repair import repair_segments
from tracker.pipeline.segments import SegmentedOutputs
from tracker.pipeline.summary import Summary
from tracker.pipeline.tracking_run import AnalysisCallback, TrackingRun, check_source
from tracker.structures.dates import format_utc
from tracker.structures.end_reason import EndReason
from tracker.structures.types import Frame, Tracks
from tracker.tracking.kalman import FRAME_INTERVAL, motion_model
from tracker.video import Source

STATE = "state.safetensors"
"""File of the tracker's state in the folder of a run that is written in segments."""


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
        resumed: The run that goes on; None for a new one.
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
    resumed: StartedRun | None = None

    def __post_init__(self) -> None:
        self._recorder: AnalysisRecorder | None = None
        self._segments: SegmentedOutputs | None = None

    def run(self) -> RunResult:
        """Runs to the end of the source, or until the monitor stops it.

        Raises:
            InputError: The source, the config or an output cannot be used. What was written before the error is kept
                and plays; where not one frame was written, no file is left.
        """
        config, source = self.config, self.source
        source.stop_requested = self.monitor.stop_requested
        with ExitStack() as stack:
            check_source(config, source)
            _check_clock(config, source)
            if self.resumed is not None:
                self.resumed.check_source(source)
                self.folder = self.resumed.folder
            folder = self.folder or make_results_folder(config.output, source.name, uri=source.uri)
            stack.callback(remove_empty_folder, folder)
            paths, record_path = resolve_outputs(config.output, folder, self.input_files, _unwritable(source))
            table_path = None if self.table else combined_table_path(config.output, self.input_files)
            self._claim_outputs(stack, folder, paths, table_path)
            record = None if record_path is None else self._open_record(record_path)
            result = RunResult(paths, Summary((), config.tracker.longest_absence), source=source.uri)
            try:
                run = self._prepare(stack, folder, record, result, table_path)
                self._write_frames(run, result, record)
                self._complete(run, result, table_path)
            except BaseException as error:
                if record is not None:
                    has_more = self._recorder is not None and self._recorder.store is not None
                    keep = result.frames > 0 or has_more or self.resumed is not None
                    record.fail(error, keep, **result.to_json())
                raise
            if record is not None:
                record.finish(result.end, **result.to_json())
                result.output_paths.append(record.path)
            return result

    def _prepare(
        self, stack: ExitStack, folder: Path | None, record: RunRecord | None, result: RunResult, table: Path | None
    ) -> TrackingRun:
        """Loads the networks, and opens what is open from the first frame to the last."""
        config, source = self.config, self.source
        analyzer, reader = self._load(stack, record)
        run = TrackingRun(source, analyzer, config, self.overlap)
        run.state_file = _state_file(config, folder)
        result.summary.categories = analyzer.categories
        result.seconds, result.queue_stats = run.timer.seconds, run.queue_stats
        self.monitor.on_start(source, run.timer)
        if table is not None:
            output = config.output
            combined = CombinedTable(table, [source.uri], _has_fine_classes(config), output.overwrite, output.datetime)
            self.table = stack.enter_context(combined)
        if config.output.segment:
            self._segments = SegmentedOutputs(result.output_paths, config, video_info(source, config), analyzer, record)
            return run
        kept = -1 if reader is None else reader.complete_until
        self._recorder = AnalysisRecorder(config, video_info(source, config), analyzer, folder, kept)
        return run

    def _complete(self, run: TrackingRun, result: RunResult, table: Path | None) -> None:
        """Adds to the result what is known after the last frame."""
        analyzer = run.analyzer
        if self.source.status is not None:
            self.source.close()  # which counts what is left
            result.live = self.source.status.to_json()
        result.frames_predicted, result.filtered_out = run.frames_predicted, analyzer.filtered_out
        result.outside_roi = run.outside_roi
        result.corrupt_packets = self.source.corrupt_packets
        result.frames_kept = analyzer.frames_kept if isinstance(analyzer, ResumedAnalyzer) else 0
        if self.config.output.detections:
            result.output_paths.append(Path(self.config.output.detections).expanduser())
        if table is not None:
            result.output_paths.append(table)

    def _open_record(self, path: Path) -> RunRecord:
        """Writes the record of a run that begins, or goes on."""
        if self.resumed is not None:
            self.resumed.remove_leftovers()
        source = self.resumed.record["source"] if self.resumed else source_record(self.source)
        content = {"source": source, "versions": versions(), "config": config_to_json(self.config)}
        if self.config.output.segment:
            content |= {"started": format_utc(time.time()), "earlier": repair_segments(path.parent)}
        return RunRecord(path, content, self.source.status)

    def _load(self, stack: ExitStack, record: RunRecord | None) -> tuple[FrameAnalyzer, PartReader | None]:
        """Returns the analyzer, and the stored frames that it need not analyze again."""
        # What the model of motion needs takes long to import, and loading networks leaves Python idle.
        importer = Thread(target=motion_model, args=(FRAME_INTERVAL,), name="import")
        stack.callback(importer.join)
        importer.start()
        analyzer = stack.enter_context(self.load_analyzer())
        if record is None:  # nor is there a run to resume
            return analyzer, None
        description = analyzer.describe()
        record.update(**description)
        if self.resumed is None:
            return analyzer, None
        self.resumed.check_weights(description)
        reader = self.resumed.reader()
        return (analyzer, None) if reader is None else (ResumedAnalyzer(analyzer, reader, self.source), reader)

    def _claim_outputs(self, stack: ExitStack, folder: Path | None, paths: list[Path], table: Path | None) -> None:
        """Claims the folder of the results and the files outside of it, which no other run may write meanwhile."""
        detections = self.config.output.detections
        named = [*(() if folder else paths), table, Path(detections).expanduser() if detections else None]
        for path in filter(None, [folder, *named]):
            if path is folder or not is_special(path):
                stack.enter_context(claim(path))

    def _write_frames(self, run: TrackingRun, result: RunResult, record: RunRecord | None) -> None:
        output = self.config.output
        video = any(path.suffix.lower() in VIDEO_SUFFIXES for path in result.output_paths)
        images = output.show or video
        if video:
            self.source.keep_media()  # for its sound
        writers: list[ResultWriter] = []
        start = time.perf_counter()
        with ExitStack() as files:
            files.callback(lambda: setattr(result, "elapsed", time.perf_counter() - start))
            # Rows of text are written sooner than they would be handed over to another thread.
            queue_size = run.queue_size() if images else 0
            with BackgroundWorker(queue_size, "write", run.queue_stats) as worker:
                recorder = files.enter_context(self._recorder) if self._recorder else None
                if self._segments is not None:
                    files.enter_context(self._segments)
                with closing(run.tracks(self._on_analysis(run, result, worker), images)) as frames:
                    for frame, tracks in frames:
                        if not writers:
                            if recorder is not None and self.config.tracker.offline:  # all has been analyzed
                                worker(partial(recorder.finish, not result.stopped))
                            writers = files.enter_context(self._open_writers(run, result))
                        worker(partial(_write, writers, run, result, record, frame, tracks))
                        self.monitor.on_frame(self.source, frame, tracks)
                        if self.monitor.stop_requested():
                            result.end = EndReason.STOPPED
                            break
            if not writers:
                raise InputError(f"no frame came from {self.source.uri} between the start and the end: change one")
            if not result.stopped:
                result.end = self.source.end_reason
            self._finish(writers, run, result)
            if recorder is not None:
                recorder.finish(not result.stopped)

    def _on_analysis(self, run: TrackingRun, result: RunResult, worker: BackgroundWorker) -> AnalysisCallback:
        """Returns a callback that stores analyses, where the config asks for it, and follows the first pass."""
        store = self._segments.store if self._segments else self._recorder.write if self._recorder else None

        def on_analysis(analysis: FrameAnalysis) -> bool:
            if store is not None:
                worker(partial(_store, store, run, analysis))
            if self.config.tracker.offline:
                self.monitor.on_first_pass(self.source, analysis.frame)
                if self.monitor.stop_requested():
                    result.end = EndReason.STOPPED
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
        if self._segments is not None and not self.config.output.output:
            result.output_paths = []  # the record alone stands for the folder

    @contextmanager
    def _open_writers(self, run: TrackingRun, result: RunResult) -> Iterator[list[ResultWriter]]:
        """Opens the writers; their files are removed again if not even the first frame could be written."""
        if self._segments is not None:
            yield [self._segments]
            return
        writers: list[ResultWriter] = []
        info, overwrite = video_info(self.source, self.config), self.config.output.overwrite
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


def _store(store: Callable[[FrameAnalysis], None], run: TrackingRun, analysis: FrameAnalysis) -> None:
    with run.timer.measure("write"):
        store(analysis)


def _state_file(config: Config, folder: Path | None) -> Path | None:
    """Returns the file of the tracker's state; segments in one folder have one, so that their ids are unique."""
    if config.output.state:
        return Path(config.output.state).expanduser()
    return folder / STATE if config.output.segment and folder is not None else None


def _write(
    writers: list[ResultWriter],
    run: TrackingRun,
    result: RunResult,
    record: RunRecord | None,
    frame: Frame,
    tracks: Tracks,
) -> None:
    with run.timer.measure("write"):
        for writer in writers:
            writer.write(frame, tracks)
    result.frames += 1
    result.summary.add(frame.time, tracks)
    if record is not None:
        record.count(result.frames)


def _unwritable(source: Source) -> dict[str, str]:
    """Returns the kinds of files that cannot be written of a source, by suffix, each with the reason."""
    reasons = {}
    if not source.has_images:
        reasons = dict.fromkeys(VIDEO_SUFFIXES, "an annotated video needs the images; give --video")
        if not source.width:
            reasons[".json"] = "COCO's JSON needs the size of the images; give --video, or a seqinfo.ini beside them"
    return reasons


def video_info(source: Source, config: Config) -> VideoInfo:
    """Returns what writers need to know about a source."""
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
        has_embeddings=config.appearance.save_embeddings,
        clip=config.output.clip_boxes is not False,
        max_age=config.tracker.longest_absence,
        sample_aspect_ratio=source.sample_aspect_ratio,
        has_dates=source.live,
        start_time=source.start_time if config.output.datetime and not source.live else None,
        expected_frames=source.expected_frames,
    )


def _check_clock(config: Config, source: Source) -> None:
    if config.output.datetime and source.start_time is None and not source.live:
        raise InputError(f"{source.uri} does not say when it was recorded: give --start-time, or leave out --datetime")


def _has_fine_classes(config: Config) -> bool:
    return bool(config.appearance.classify)
