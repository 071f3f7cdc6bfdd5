"""Measures the stages of a run over a clip, one after the other and at the same time."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from time import process_time

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tracker.config import Config
from tracker.errors import InputError
from tracker.evaluation.speed.gpu import monitor_gpu
from tracker.evaluation.speed.speed import THREADS, Clip, SpeedReport, StageCost
from tracker.output import Annotator, VideoInfo
from tracker.output.base import write_error
from tracker.output.encoder import FragmentedMp4Writer
from tracker.output.paths import DEFAULT_NAMES, VIDEO_SUFFIXES, resolve_outputs
from tracker.pipeline.file_run import FileRun
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.run_result import RunResult
from tracker.pipeline.stage_timer import StageTimer
from tracker.pipeline.tracking_run import check_source
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source

WARMUP_FRAMES = 8  # frames on which the networks run before the clock starts
DRAW_BATCH_BYTES = 2**27  # images that are drawn and encoded together
MIN_SECONDS = 1e-6  # for a frame; a stage that takes less did nothing
_TIME_BASE = Fraction(1, 90_000)  # time base of the frames that are encoded, seconds

ProgressCallback = Callable[[int, int, str], None]
"""Called with the number of frames that are done, their total, and a text."""

FrameCallback = Callable[[Frame, Tracks], object]
"""Called with each frame and its tracks, once these are written."""


def read_first_frames(source: str, config: Config, frames: int) -> tuple[Clip, list[Frame]]:
    """Reads the first frames of a source: a description of them, and the first `WARMUP_FRAMES` of them.

    Raises:
        InputError: The source is live, or it cannot be used with the config.
    """
    if config.detector.realtime:
        raise InputError("--realtime limits the speed to that of the source: leave it out")
    with open_source(source, config.source, config.detector.threads) as opened:
        if opened.live:
            raise InputError(f"{opened.uri} is live, and is to be read several times: give a file")
        check_source(config, opened)
        warmup: list[Frame] = []
        begin = last = -1.0
        count = 0
        for count, frame in enumerate(islice(opened, frames), 1):
            begin, last = frame.time if count == 1 else begin, frame.time
            warmup += [frame] if count <= WARMUP_FRAMES else []
        rate = (count - 1) / (last - begin) if count > 1 else float(opened.frame_rate) / config.source.every
        return Clip(opened.uri, opened.width, opened.height, rate, count, last + 2e-6), warmup


def measure_stages(
    source: str, clip: Clip, warmup: Sequence[Frame], config: Config, on_progress: ProgressCallback = lambda *_: None
) -> SpeedReport:
    """Runs the first frames of a source twice: with one stage after the other, and with all at the same time.

    Args:
        source: See `track`.
        clip: See `read_first_frames`.
        warmup: Frames on which the networks run before the clock starts.
        config: Settings of the run. Its outputs are written to a temporary folder and deleted.
        on_progress: See `ProgressCallback`.

    Raises:
        InputError: The source, a network, a class or a kind of file is unknown or not available.
    """
    config = config.model_copy(update={"source": config.source.model_copy(update={"end": clip.end})})
    names = config.output.output or DEFAULT_NAMES
    if config.output.output:  # raises what a run would raise, before any work is done
        resolve_outputs(config.output.model_copy(update={"overwrite": True}), None, [])
    tables = [name for name in names if Path(name).suffix.lower() not in VIDEO_SUFFIXES]
    count = _counter(2 * clip.frames, on_progress)
    with tempfile.TemporaryDirectory() as folder:
        sequential = _WarmAnalyzer(_with_outputs(config, tables or ["tracks.csv"], folder), warmup)
        drawer = _BatchDrawer(sequential, clip, folder)

        def draw(frame: Frame, tracks: Tracks) -> None:
            if len(tables) < len(names):
                drawer.add(frame, tracks)
            count()

        _run(source, sequential, draw, overlap=False)
        drawer.flush()
        concurrent = _WarmAnalyzer(_with_outputs(config, names, folder), warmup)
        with monitor_gpu(concurrent.detector.device) as gpu:
            result, cpu_seconds = _run(source, concurrent, lambda *_: count())
    return SpeedReport(
        clip,
        device=str(sequential.detector.device),
        backend=sequential.detector.backend,
        cores=os.cpu_count() or 1,
        stages=sequential.cpu_timer.costs(clip.frames),
        throughput=result.frames / result.elapsed,
        cores_used=cpu_seconds / result.elapsed,
        queues=result.queue_stats,
        gpu=gpu,
    )


def _counter(total: int, on_progress: ProgressCallback) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(done, total, f"{done}/{total} frames")

    return count


def _with_outputs(config: Config, names: Sequence[str], folder: str) -> Config:
    """Returns the settings of the same run with results of these names in a folder."""
    changes = {
        "output": tuple(f"{folder}/{number}-{Path(name).name}" for number, name in enumerate(names)),
        "detections": f"{folder}/detections.csv" if config.output.detections else "",
        "overwrite": True,
        "show": False,
    }
    return config.model_copy(update={"output": config.output.model_copy(update=changes)})


class _CpuTimer(StageTimer):
    """Adds up CPU time too.

    Attributes:
        cpu_seconds: Seconds of all cores together, by stage; those of a stage that ran alone are its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds |= dict.fromkeys(("draw", "encode"), 0.0)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str) -> Generator[None]:
        start = process_time()
        with super().measure(stage):
            yield
        self.cpu_seconds[stage] += process_time() - start

    def costs(self, frames: int) -> dict[str, StageCost]:
        """Returns the cost of a frame in each stage; without stages that did nothing."""
        all_stages = [stage for thread_stages in THREADS.values() for stage in thread_stages]
        stages = [stage for stage in all_stages if self.seconds.get(stage, 0.0) > MIN_SECONDS * frames]
        return {stage: StageCost(self.seconds[stage] / frames, self.cpu_seconds[stage] / frames) for stage in stages}


class _WarmAnalyzer(NetworkAnalyzer):
    """Networks that have run on some frames, the first of which cost more than others."""

    def __init__(self, config: Config, warmup: Sequence[Frame]) -> None:
        super().__init__(config)
        try:
            self.analyze(list(warmup))
        except BaseException:
            self.close()
            raise
        self.timer = self.cpu_timer = _CpuTimer()


class _CallbackMonitor(RunMonitor):
    def __init__(self, callback: FrameCallback) -> None:
        self._callback = callback

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        self._callback(frame, tracks)


def _run(
    source: str, analyzer: _WarmAnalyzer, on_frame: FrameCallback, overlap: bool = True
) -> tuple[RunResult, float]:
    """Returns the result of a run, and the CPU seconds of all cores that it took; closes the networks."""
    config = analyzer.config
    with analyzer, open_source(source, config.source, config.detector.threads) as opened:
        start = process_time()
        result = FileRun(opened, config, lambda: analyzer, _CallbackMonitor(on_frame), overlap=overlap).run()
        return result, process_time() - start


class _BatchDrawer:
    """Draws and encodes frames in batches, while no stage of a run is at work.

    Each batch has an encoder of its own: the threads of one would still encode while the next stage is measured.
    """

    def __init__(self, analyzer: _WarmAnalyzer, clip: Clip, folder: str) -> None:
        output = analyzer.config.output
        self._timer = analyzer.timer
        self._annotator = Annotator(analyzer.categories, clip.width, clip.height, output)
        info = VideoInfo(
            "drawn", clip.width, clip.height, _TIME_BASE, Fraction(clip.frame_rate).limit_denominator(1000)
        )
        self._open = partial(FragmentedMp4Writer, Path(folder) / "drawn.mp4", info, output)
        self._pending: list[tuple[Frame, Tracks]] = []

    def add(self, frame: Frame, tracks: Tracks) -> None:
        """Adds a frame; a full batch is drawn and encoded."""
        self._pending.append((frame, tracks))
        if len(self._pending) * frame.image.nbytes >= DRAW_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Draws and encodes the pending frames.

        Raises:
            InputError: The disk is full.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        with self._timer.measure("draw"):
            images = [self._annotator.annotate(*pair) for pair in pending]
        try:
            with self._timer.measure("encode"):
                self._encode([frame.time for frame, _ in pending], images)
        except (OSError, FFmpegError) as error:
            raise write_error(Path(tempfile.gettempdir()), error) from None

    def _encode(self, times: Sequence[float], images: Sequence[NDArray[np.uint8]]) -> None:
        video = self._open()
        for time, image in zip(times, images, strict=True):
            video.write_frame(image, round((time - times[0]) / _TIME_BASE))
        video.finalize(1)
