"""How many frames a second each stage does alone, and so where a run's time goes."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Config
from tracker.output import AnnotatedVideoWriter, Annotator, VideoInfo
from tracker.pipeline import Pipeline, track_to_files
from tracker.tracking import DeepSort
from tracker.types import Frame, Tracks
from tracker.video import open_source

WARM_UP = 8  # frames that are computed before the clock starts


def stage_speeds(source: str, config: Config, frames: int) -> dict[str, float]:
    """Frames per second of decode, detect, embed, associate, draw, encode (each alone), and of whole runs.

    Args:
        source: A video file.
        config: Settings.
        frames: How many of its frames to measure; they are kept in memory.
    """
    decoded: list[Frame] = []
    speeds: dict[str, float] = {}

    def decode() -> None:
        with open_source(source, config.source, config.detector.threads) as opened:
            decoded.extend(frame for frame, _ in zip(opened, range(frames), strict=False))

    elapsed = _timed(decode)
    speeds["decode"] = len(decoded) / elapsed
    with Pipeline(config) as pipeline:
        pipeline.perceive(decoded[:WARM_UP])
        pipeline.seconds = dict.fromkeys(pipeline.seconds, 0.0)
        size = config.detector.batch_size
        perceived = [pipeline.perceive(decoded[n : n + size]) for n in range(0, len(decoded), size)]
        speeds["detect"] = len(decoded) / pipeline.seconds["detect"]
        speeds["embed"] = len(decoded) / pipeline.seconds["embed"]
        tracked = _associate(pipeline, decoded, perceived, speeds)
        _write(decoded, tracked, pipeline.categories, config, speeds)
    speeds["whole"] = _whole(source, config, decoded[-1].time)
    return speeds


def _associate(pipeline: Pipeline, frames: list[Frame], perceived: list[Any], speeds: dict[str, float]) -> list[Tracks]:
    tracker = DeepSort(pipeline.config.tracker, pipeline.embedded_labels)
    rows = [pair for batch in perceived for pair in zip(*batch, strict=True)]
    tracked: list[Tracks] = []

    def update() -> None:
        for frame, (detections, embeddings, *_) in zip(frames, rows, strict=True):
            tracked.append(tracker.update(detections, embeddings, frame.time))

    speeds["associate"] = len(frames) / _timed(update)
    return tracked


def _write(
    frames: list[Frame], tracked: list[Tracks], categories: tuple[str, ...], config: Config, speeds: dict[str, float]
) -> None:
    height, width = frames[0].image.shape[:2]
    annotator = Annotator(categories, width, height, config.output.trail)
    pairs = list(zip(frames, tracked, strict=True))

    def draw() -> None:
        for frame, tracks in pairs:
            annotator.draw(frame, tracks)

    drawing = _timed(draw)
    speeds["draw"] = len(frames) / drawing
    info = VideoInfo("benchmark", width, height, Fraction(1, 1000), Fraction(30))
    with tempfile.TemporaryDirectory() as folder:

        def encode() -> None:
            with AnnotatedVideoWriter(Path(folder) / "video.mp4", info, categories, config.output) as writer:
                for n, (frame, tracks) in enumerate(pairs):
                    writer.write(replace(frame, pts=n * 33), tracks)

        speeds["encode"] = len(frames) / max(_timed(encode) - drawing, 1e-9)


def _whole(source: str, config: Config, end: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        names = tuple(str(Path(folder) / name) for name in ("video.mp4", "tracks.csv"))
        part = config.model_copy(
            update={
                "source": config.source.model_copy(update={"end": np.nextafter(end, np.inf).item() + 1e-6}),
                "output": config.output.model_copy(update={"output": names}),
            }
        )
        outcome = track_to_files(source, part)
        return outcome.frames / outcome.elapsed


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
