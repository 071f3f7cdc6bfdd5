"""From tracks to files: what a run writes, counts and records."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.errors import InputError
from tracker.output import (
    AnnotatedVideoWriter,
    DetectionWriter,
    ResultWriter,
    VideoInfo,
    open_writer,
    remove_if_empty,
    resolve_outputs,
    results_folder,
)
from tracker.output.paths import VIDEO_SUFFIXES
from tracker.pipeline.analyzer import Observer, Stages, check_source
from tracker.pipeline.frame_sampler import Sight
from tracker.pipeline.prefetch import BackgroundWorker
from tracker.pipeline.run_record import plain, versions, write_record
from tracker.pipeline.summary import Summary
from tracker.structures.types import Frame, Tracks
from tracker.video import Source

Watcher = Callable[[Source, Frame, Tracks], bool]
"""Is called with the source, each frame and its tracks, once these are on their way into the files; False ends the run
after that frame, and the files are finished properly."""

Looker = Callable[[Source, Frame], bool]
"""With `offline`, is called after each frame of the first look; False ends that look, and what was seen is finished."""


@dataclass
class RunResult:
    """What a run did.

    Attributes:
        places: The files that were written.
        summary: Who was seen for how long.
        frames: How many frames were processed.
        elapsed: Seconds that it took, loading not counted.
        damaged: Packets or pictures that could not be decoded.
        truncated: The file stopped before its stated end.
        stopped: The run was asked to stop before the end.
        predicted: Frames in which nobody looked.
        filtered_out: Stored detections that were not tracked, because of their score, class or place.
        seconds: Time spent in each stage, by the stage's name; more than `elapsed` in all where stages work at once.
    """

    places: list[Path]
    summary: Summary
    frames: int = 0
    elapsed: float = 0.0
    corrupt_packets: int = 0
    truncated: bool = False
    stopped: bool = False
    predicted: int = 0
    filtered_out: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def run_to_files(
    source: Source,
    source_files: Sequence[Path],
    config: Config,
    load: Callable[[], Stages],
    watch: Watcher,
    look: Looker,
    folder: Path | None = None,
) -> RunResult:
    """Tracks an open source and writes the results that `config.output` asks for.

    Args:
        source: The frames.
        source_files: The files that are read, which are never written to.
        config: Settings.
        load: Makes the stages; not called before it is known that the results can be written.
        watch: See `Watcher`.
        look: See `Looker`.
        folder: Where results go that are not named; None makes a folder of the source's name.

    Raises:
        InputError: The source, the config or an output cannot be used. What was written before it went wrong is kept
            and plays; where not one frame was written, no file is left.
    """
    with ExitStack() as stack:
        check_source(config, source)
        folder = folder or results_folder(config.output, source.name)
        stack.callback(remove_if_empty, folder)
        places, record = resolve_outputs(config.output, folder, source_files, _refused(source))
        stages = stack.enter_context(load())
        outcome = RunResult(places, Summary(stages.categories, config.tracker.max_age), seconds=stages.seconds)
        start = time.perf_counter()
        _Run(source, stages, outcome, watch, look).write_all()
        outcome.elapsed = time.perf_counter() - start
        outcome.predicted, outcome.filtered_out = stages.predicted, stages.filtered_out
        outcome.corrupt_packets, outcome.truncated = source.corrupt_packets, source.truncated
        if config.output.detections:
            outcome.places.append(Path(config.output.detections).expanduser())
        if record is not None:
            write_record(record, run_record(source, stages, outcome))
            outcome.places.append(record)
        return outcome


def _refused(source: Source) -> dict[str, str]:
    """Files that cannot be written of a source, by suffix, and why."""
    refused = {}
    if not source.has_pictures:
        refused = dict.fromkeys(VIDEO_SUFFIXES, "an annotated video needs the pictures; give --video")
        if not source.width:
            refused[".json"] = "COCO's JSON needs the size of the pictures; give --video, or a seqinfo.ini beside them"
    return refused


class _Run:
    """One source on its way into the files at `outcome.places`, which are created once there is something to write.

    Where pictures are encoded, a thread writes; then nobody else touches the files as long as it lives.
    """

    def __init__(self, source: Source, stages: Stages, outcome: RunResult, watch: Watcher, look: Looker) -> None:
        self._source = source
        self._stages = stages
        self._outcome = outcome
        self._watch = watch
        self._look = look
        self._info = _video_info(source, stages.config)

    def write_all(self) -> None:
        output = self._stages.config.output
        pictures = output.show or any(place.suffix.lower() in VIDEO_SUFFIXES for place in self._outcome.places)
        writers: list[ResultWriter] = []
        with ExitStack() as files:
            # Rows of text are written sooner than they would be handed over.
            room = self._stages.room(self._source) if pictures else 0
            with BackgroundWorker(room, "write", self._stages.queue_stats) as later:
                observe = self._observer(files, later)
                with closing(self._stages.run(self._source, observe, pictures)) as results:
                    for frame, tracks in results:
                        if not writers:
                            writers = files.enter_context(self._open_writers())
                        later(partial(self._write, writers, frame, tracks))
                        if not self._watch(self._source, frame, tracks):
                            self._outcome.stopped = True
                            break
            if not writers:
                raise InputError(f"no frame came from {self._source.spec} between the start and the end: change one")
            self._finish(writers)

    def _observer(self, files: ExitStack, later: BackgroundWorker) -> Observer:
        """Stores detections where that is asked for, and tells whether the first look goes on."""
        config = self._stages.config
        path = Path(config.output.detections).expanduser()
        writers: list[DetectionWriter] = []

        def observe(sight: Sight) -> bool:
            if config.output.detections and sight.looked:
                if not writers:
                    writers.append(DetectionWriter(path, self._info, self._stages.categories))
                    files.callback(writers[0].close)
                later(partial(self._store, writers[0], sight))
            if config.tracker.offline and not self._look(self._source, sight.frame):
                self._outcome.stopped = True
            return not self._outcome.stopped

        return observe

    def _store(self, writer: DetectionWriter, sight: Sight) -> None:
        with self._stages.timed("write"):
            writer.write(sight.frame, sight.detections)

    def _write(self, writers: list[ResultWriter], frame: Frame, tracks: Tracks) -> None:
        with self._stages.timed("write"):
            for writer in writers:
                writer.write(frame, tracks)
        self._outcome.frames += 1
        self._outcome.summary.add(frame.time, tracks)

    def _finish(self, writers: list[ResultWriter]) -> None:
        with self._stages.timed("write"):
            for writer in writers:
                # After a stop the source has read on already, and speaks of a later frame.
                if isinstance(writer, AnnotatedVideoWriter) and not self._outcome.stopped:
                    writer.last_duration = self._source.last_duration
                writer.close()

    @contextmanager
    def _open_writers(self) -> Iterator[list[ResultWriter]]:
        """The writers; their files are removed again where not even the first frame could be written."""
        writers: list[ResultWriter] = []
        try:
            with ExitStack() as stack:
                for path in self._outcome.places:
                    writers.append(open_writer(path, self._info, self._stages.categories, self._stages.config.output))
                    stack.enter_context(writers[-1])
                yield writers
        finally:
            if self._outcome.frames == 0:
                for writer in writers:
                    writer.path.unlink(missing_ok=True)


def _video_info(source: Source, config: Config) -> VideoInfo:
    return VideoInfo(
        name=source.name,
        width=source.width,
        height=source.height,
        time_base=source.time_base,
        frame_rate=source.frame_rate,
        audio_from=str(source.media_path or ""),
        start=config.source.start,
        end=config.source.end,
        fine=bool(config.appearance.classify),
    )


def run_record(source: Source, stages: Stages, outcome: RunResult) -> dict[str, Any]:
    """What `run.json` holds: enough to know what a result came from, and to get it again."""
    return {
        "source": {
            "name": source.spec,
            "width": source.width,
            "height": source.height,
            "frame_rate": str(source.frame_rate),
            "time_base": str(source.time_base),
            "damaged_packets": outcome.corrupt_packets,
            "truncated": outcome.truncated,
        },
        "versions": versions(),
        **stages.describe(),
        "config": plain(stages.config),
        "frames": outcome.frames,
        "frames_predicted": outcome.predicted,
        "stopped_by_user": outcome.stopped,
        "tracks": {name: n for name, n in outcome.summary.counts.items() if n},
        "elapsed_s": round(outcome.elapsed, 3),
        "stage_s": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
        "queues": {
            name: {"room": fill.room, "highest": fill.highest, "mean": round(fill.mean, 2)}
            for name, fill in stages.queue_stats.items()
        },
    }
