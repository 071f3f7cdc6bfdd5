"""Runs over a clip whose stages are timed, one after the other and at the same time."""

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
from typing import Any

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tracker.config import Config
from tracker.errors import InputError
from tracker.evaluation.speed.gpu import gpu_use
from tracker.evaluation.speed.speed import THREADS, Clip, Cost, Speeds
from tracker.output import Annotator, VideoInfo
from tracker.output.base import cannot_write
from tracker.output.encoder import FragmentedMp4Writer
from tracker.output.paths import DEFAULT_NAMES, VIDEO_SUFFIXES, resolve_outputs
from tracker.pipeline.analyzer import check_source
from tracker.pipeline.file_run import RunResult, run_to_files
from tracker.pipeline.networks import Pipeline
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source

KEPT = 8  # frames that networks see before the clock starts
CHUNK = 2**27  # bytes of frames that are kept to be drawn and encoded together
NOTHING = 1e-6  # seconds for a frame in which nothing but the clock itself was at work
_TICK = Fraction(1, 90_000)  # seconds in which frames to encode are placed

Tell = Callable[[int, int, str], None]
"""Is told how much of a measurement is done, of how much, and in words."""

Shown = Callable[[Source, Frame, Tracks], object]
"""Is shown a source, and each frame and its tracks, once these are written."""


def first_frames(source: str, config: Config, frames: int) -> tuple[Clip, list[Frame]]:
    """What a measurement of a source's first frames is of, and the first `KEPT` of these.

    Raises:
        InputError: The source is live, or it cannot be used with the config.
    """
    if config.detector.realtime:
        raise InputError("--realtime keeps the source's own pace, which says nothing of speed: leave it out")
    with open_source(source, config.source, config.detector.threads) as opened:
        if opened.live:
            raise InputError(f"{opened.spec} is live, and is to be read several times: give a file")
        check_source(config, opened)
        seen: list[Frame] = []
        begin = last = -1.0
        count = 0
        for count, frame in enumerate(islice(opened, frames), 1):
            begin, last = frame.time if count == 1 else begin, frame.time
            seen += [frame] if count <= KEPT else []
        rate = (count - 1) / (last - begin) if count > 1 else float(opened.frame_rate) / config.source.every
        return Clip(opened.spec, opened.width, opened.height, rate, count, last + 2e-6), seen


def stage_speeds(
    source: str, clip: Clip, seen: Sequence[Frame], config: Config, tell: Tell = lambda *_: None
) -> Speeds:
    """Runs the first frames of a source twice: with one stage after the other, and with all at the same time.

    Args:
        source: As `track` takes it.
        clip: As `first_frames` gives it, like `seen`.
        seen: Frames that the networks see before the clock starts.
        config: Settings of the run. Files of the kinds that it names are written elsewhere, and thrown away.
        tell: See `Tell`.

    Raises:
        InputError: The source, a network, a class or a kind of file is unknown or cannot be had.
    """
    config = config.model_copy(update={"source": config.source.model_copy(update={"end": clip.end})})
    names = config.output.output or DEFAULT_NAMES
    if config.output.output:  # complains as a run would, before any work is done
        resolve_outputs(config.output.model_copy(update={"overwrite": True}), None, [])
    tables = [name for name in names if Path(name).suffix.lower() not in VIDEO_SUFFIXES]
    count = _counter(2 * clip.frames, tell)
    with tempfile.TemporaryDirectory() as folder:
        alone = _Timed(_writing(config, tables or ["tracks.csv"], folder), seen, overlap=False)
        drawn = _Drawn(alone, clip, folder)

        def draw(_: Source, frame: Frame, tracks: Tracks) -> None:
            if len(tables) < len(names):
                drawn.add(frame, tracks)
            count()

        _run(source, alone, draw)
        drawn.flush()
        together = _Timed(_writing(config, names, folder), seen)
        with gpu_use(together.detector.device) as gpu:
            outcome, busy = _run(source, together, lambda *_: count())
    return Speeds(
        clip,
        device=str(alone.detector.device),
        backend=alone.detector.backend,
        cores=os.cpu_count() or 1,
        stages=alone.costs(clip.frames),
        whole=outcome.frames / outcome.elapsed,
        cores_used=busy / outcome.elapsed,
        queues=together.queue_stats,
        gpu=gpu,
    )


def _counter(total: int, tell: Tell) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        tell(done, total, f"{done}/{total} frames")

    return count


def _writing(config: Config, names: Sequence[str], folder: str) -> Config:
    """The same run, with results of these names in a folder."""
    changes = {
        "output": tuple(f"{folder}/{number}-{Path(name).name}" for number, name in enumerate(names)),
        "detections": f"{folder}/detections.csv" if config.output.detections else "",
        "overwrite": True,
        "show": False,
    }
    return config.model_copy(update={"output": config.output.model_copy(update=changes)})


class _Timed(Pipeline):
    """Networks that have seen some frames, the first of which cost more than others.

    Attributes:
        busy: Seconds of all cores together since then, by stage; those of a stage that was alone are its own.
    """

    def __init__(self, config: Config, seen: Sequence[Frame], overlap: bool = True) -> None:
        super().__init__(config)
        self.overlap = overlap
        self.busy: dict[str, float] = defaultdict(float)
        try:
            self.perceive(list(seen))
        except BaseException:
            self.close()
            raise
        self.seconds = dict.fromkeys((*self.seconds, "draw", "encode"), 0.0)
        self.busy.clear()

    @contextmanager
    def timed(self, stage: str) -> Generator[None]:
        start = process_time()
        with super().timed(stage):
            yield
        self.busy[stage] += process_time() - start

    def costs(self, frames: int) -> dict[str, Cost]:
        """What each stage took for one of so many frames; without those that did nothing."""
        known = [stage for parts in THREADS.values() for stage in parts]
        stages = [stage for stage in known if self.seconds.get(stage, 0.0) > NOTHING * frames]
        return {stage: Cost(self.seconds[stage] / frames, self.busy[stage] / frames) for stage in stages}


def _run(source: str, pipeline: Pipeline, shown: Shown) -> tuple[RunResult, float]:
    """What a run did, and the seconds of all cores together that it took; closes the networks."""
    config = pipeline.config

    def watch(*seen: Any) -> bool:
        shown(*seen)
        return True

    with pipeline, open_source(source, config.source, config.detector.threads) as opened:
        start = process_time()
        outcome = run_to_files(opened, [], config, lambda: pipeline, watch, lambda *_: True)
        return outcome, process_time() - start


class _Drawn:
    """Frames that are drawn and encoded some at a time, while no stage of a run is at work.

    Each time with a new encoder: one that went on would still encode the last of them while the next stage is timed.
    """

    def __init__(self, stages: _Timed, clip: Clip, folder: str) -> None:
        output = stages.config.output
        self._stages = stages
        self._annotator = Annotator(stages.categories, clip.width, clip.height, output.trail)
        info = VideoInfo("drawn", clip.width, clip.height, _TICK, Fraction(clip.rate).limit_denominator(1000))
        self._open = partial(FragmentedMp4Writer, Path(folder) / "drawn.mp4", info, output)
        self._waiting: list[tuple[Frame, Tracks]] = []

    def add(self, frame: Frame, tracks: Tracks) -> None:
        self._waiting.append((frame, tracks))
        if len(self._waiting) * frame.image.nbytes >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Does what is left.

        Raises:
            InputError: There is no room on the disk.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        with self._stages.timed("draw"):
            images = [self._annotator.draw(*pair) for pair in waiting]
        try:
            with self._stages.timed("encode"):
                self._encode([frame.time for frame, _ in waiting], images)
        except (OSError, FFmpegError) as error:
            raise cannot_write(Path(tempfile.gettempdir()), error) from None

    def _encode(self, times: Sequence[float], images: Sequence[NDArray[np.uint8]]) -> None:
        video = self._open()
        for moment, image in zip(times, images, strict=True):
            video.add(image, round((moment - times[0]) / _TICK))
        video.finish(1)
