"""Where the stages meet: frames, detections, embeddings, tracks, results."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tracker.appearance import Embedder, embedder_path, load_embedder
from tracker.config import Config
from tracker.detection import Detector, load_detector, weights_path
from tracker.errors import InputError
from tracker.output import AnnotatedVideoWriter, ResultWriter, VideoInfo, choose_places, open_writer
from tracker.record import file_hash, plain, versions, write_record
from tracker.summary import Summary
from tracker.tracking import DeepSort
from tracker.types import Detections, Frame, Tracks
from tracker.video import Source, open_source


class Pipeline:
    """The networks of a config, loaded once; each run over a source has a tracker of its own.

    Attributes:
        config: All settings.
        detector: Finds objects.
        embedders: One embedder, or none.
        seconds: Time spent in each stage so far, by the stage's name.
    """

    def __init__(self, config: Config) -> None:
        """Loads the networks.

        Raises:
            InputError: A network, its weights, a class or the device is unknown or cannot be had.
        """
        self.config = config
        self.seconds = dict.fromkeys(("decode", "detect", "embed", "associate", "write"), 0.0)
        self.embedders: list[Embedder] = []
        with ExitStack() as stack:
            self.detector: Detector = stack.enter_context(load_detector(config.detector))
            name, threads = config.appearance.embedder, config.detector.threads
            if name != "none":
                embedder = load_embedder(name, self.detector.device, self.detector.half, threads)
                self.embedders.append(stack.enter_context(embedder))
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Ends the networks' threads."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""
        return self.detector.info.categories

    @property
    def embedded_labels(self) -> list[int]:
        """Labels of the classes whose individuals the embedder was trained to tell apart."""
        known = {name for embedder in self.embedders for name in embedder.info.categories}
        return [n for n, name in enumerate(self.categories) if name in known]

    def run(self, source: Source) -> Generator[tuple[Frame, Tracks]]:
        """Tracks the frames of an open source; frames without any track come too."""
        tracker = DeepSort(self.config.tracker, self.embedded_labels)
        size = 1 if source.live else self.config.detector.batch_size
        frames = iter(source)
        while batch := self._read(frames, size):
            for frame, detections, embeddings in zip(batch, *self.perceive(batch), strict=True):
                with self.timed("associate"):
                    tracks = tracker.update(detections, embeddings, frame.time)
                yield frame, tracks

    def perceive(self, frames: list[Frame]) -> tuple[list[Detections], list[NDArray[np.float32]]]:
        """Detections of some frames, and their embeddings, (N, D) or, without an embedder, (N, 0)."""
        with self.timed("detect"):
            images = self.detector.upload([frame.image for frame in frames])
            found = self.detector.detect_tensors(images)
        with self.timed("embed"):
            for embedder in self.embedders:
                return found, embedder.embed(images, [detections.boxes for detections in found])
        return found, [np.zeros((len(detections), 0), np.float32) for detections in found]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time inside to a stage's."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start

    def _read(self, frames: Iterator[Frame], size: int) -> list[Frame]:
        with self.timed("decode"):
            return list(islice(frames, size))


def track(source: str | Path | int, config: Config | None = None) -> Generator[tuple[Frame, Tracks]]:
    """Tracks what moves through a video.

    Args:
        source: A file, a folder or glob of images, a URL, or a camera's number.
        config: Settings; None for the defaults.

    Yields:
        Each frame and its confirmed tracks. Leaving the loop early closes everything.

    Raises:
        InputError: The source or the config cannot be used.
    """
    config = config or Config()
    with open_source(source, config.source, config.detector.threads) as opened, Pipeline(config) as pipeline:
        yield from pipeline.run(opened)


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        places: The files that were written.
        summary: Who was seen for how long.
        frames: How many frames were processed.
        elapsed: Seconds that it took, loading not counted.
        damaged: Packets or pictures that could not be decoded.
        ended_early: The file stopped before its stated end.
        stopped: The run was asked to stop before the end.
    """

    places: list[Path]
    summary: Summary
    frames: int = 0
    elapsed: float = 0.0
    damaged: int = 0
    ended_early: bool = False
    stopped: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


Watcher = Callable[[Source, Frame, Tracks], bool]


def track_to_files(source: str | Path | int, config: Config, watch: Watcher = lambda *_: True) -> Outcome:
    """Tracks a source and writes the results that `config.output` asks for.

    Args:
        source: As `track`.
        config: Settings.
        watch: Called after each frame with the source, the frame and its tracks; False ends the run, and what was
            written up to there is finished properly.

    Raises:
        InputError: The source, the config or an output cannot be used. What was written before it went wrong is kept
            and plays; where not one frame was written, no file is left.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, config.source, config.detector.threads))
        places, record = choose_places(config.output, opened.name, opened.media_path)
        if record is not None:
            stack.callback(_remove_if_empty, record.parent.parent)
            stack.callback(_remove_if_empty, record.parent)
        pipeline = stack.enter_context(Pipeline(config))
        outcome = Outcome(places, Summary(pipeline.categories, config.tracker.max_age), seconds=pipeline.seconds)
        start = time.perf_counter()
        _write_all(opened, pipeline, outcome, watch)
        outcome.elapsed = time.perf_counter() - start
        outcome.damaged, outcome.ended_early = opened.damaged, opened.ended_early
        if record is not None:
            write_record(record, run_record(opened, pipeline, outcome))
            outcome.places.append(record)
        return outcome


def _write_all(source: Source, pipeline: Pipeline, outcome: Outcome, watch: Watcher) -> None:
    """Tracks a source into the files at `outcome.places`, which are created once there is something to write."""
    with ExitStack() as stack:
        writers: list[ResultWriter] = []
        results = stack.enter_context(closing(pipeline.run(source)))
        for frame, tracks in results:
            if not writers:
                writers = stack.enter_context(_open_writers(source, pipeline, outcome))
            with pipeline.timed("write"):
                for writer in writers:
                    writer.write(frame, tracks)
            outcome.frames += 1
            outcome.summary.add(frame.time, tracks)
            if not watch(source, frame, tracks):
                outcome.stopped = True
                break
        if not writers:
            raise InputError(f"no frame came from {source.spec} between the start and the end: change one of them")
        with pipeline.timed("write"):
            for writer in writers:
                # After a stop the source has read on already, and speaks of a later frame.
                if isinstance(writer, AnnotatedVideoWriter) and not outcome.stopped:
                    writer.last_duration = source.last_duration
                writer.close()


@contextmanager
def _open_writers(source: Source, pipeline: Pipeline, outcome: Outcome) -> Iterator[list[ResultWriter]]:
    """The writers of a run; their files are removed again where not even the first frame could be written."""
    info = _video_info(source, pipeline.config)
    writers: list[ResultWriter] = []
    try:
        with ExitStack() as stack:
            for path in outcome.places:
                writers.append(open_writer(path, info, pipeline.categories, pipeline.config.output))
                stack.enter_context(writers[-1])
            yield writers
    finally:
        if outcome.frames == 0:
            for writer in writers:
                writer.path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


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
    )


def run_record(source: Source, pipeline: Pipeline, outcome: Outcome) -> dict[str, Any]:
    """What `run.json` holds: enough to know what a result came from, and to get it again."""
    config = pipeline.config
    weights = {"detector": weights_path(config.detector)}
    if config.appearance.embedder != "none":
        weights["embedder"] = embedder_path(config.appearance.embedder)
    return {
        "source": {
            "name": source.spec,
            "width": source.width,
            "height": source.height,
            "frame_rate": str(source.frame_rate),
            "time_base": str(source.time_base),
            "damaged_packets": outcome.damaged,
            "ended_early": outcome.ended_early,
        },
        "versions": versions(),
        "device": str(pipeline.detector.device),
        "weights": {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in weights.items()},
        "config": plain(config),
        "frames": outcome.frames,
        "stopped_by_user": outcome.stopped,
        "tracks": {name: n for name, n in outcome.summary.counts.items() if n},
        "elapsed_s": round(outcome.elapsed, 3),
        "stage_s": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
    }
