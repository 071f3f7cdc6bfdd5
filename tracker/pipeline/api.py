"""The functions that programs call: track a source, or stored detections, frame by frame or to files."""

from collections.abc import Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tracker.config import Config, load_config, merge_config
from tracker.data.detections import StoredDetections, read_detections
from tracker.pipeline.file_run import FileRun
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.resume import StartedRun, is_run, retrack_settings
from tracker.pipeline.run_result import RunResult
from tracker.pipeline.stored import StoredAnalyzer, open_frames
from tracker.pipeline.thresholds import with_stored_thresholds
from tracker.pipeline.tracking_run import TrackingRun, check_source
from tracker.structures.types import Frame, Tracks
from tracker.video import GivenFrame, open_source

Settings = Config | str | Path | Mapping[str, Any]
"""All settings, as `load_config` takes them."""


def track(
    source: str | Path | int | Iterable[GivenFrame], config: Settings | None = None
) -> Generator[tuple[Frame, Tracks]]:
    """Tracks the objects in a video, frame by frame.

    Args:
        source: A file, a folder or glob of images, a URL, or a camera's number; or a program's own frames: any iterable
            of pictures (RGB), or of pairs (seconds, picture). A thread reads it ahead of the results, and copies each
            picture. Pictures without times are `config.source.fps` a second.
        config: All settings, see `load_config`; None for the defaults.

    Yields:
        Each frame and its confirmed tracks; with `offline` their final ones, once the source was read to its end.
        Leaving the loop early closes everything.

    Raises:
        InputError: The source or the config cannot be used.

    Example:
        >>> import tempfile
        >>> import numpy as np, PIL.Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         PIL.Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(f"{folder}/{number}.png")
        ...     for frame, tracks in track(folder):
        ...         print(frame.index, tracks.ids.tolist())
        0 []
        1 []
        2 []
    """
    # Loads torch, which tracking stored detections may do without.
    from tracker.pipeline.networks import NetworkAnalyzer

    config = with_stored_thresholds(load_config({} if config is None else config))
    with open_source(source, config.source, config.detector.threads) as opened:
        check_source(config, opened)
        with NetworkAnalyzer(config) as analyzer:
            yield from TrackingRun(opened, analyzer).tracks()


def track_to_files(
    source: str | Path | int | Iterable[GivenFrame],
    config: Config,
    monitor: RunMonitor | None = None,
    resumed: StartedRun | None = None,
) -> RunResult:
    """Tracks a source and writes the results that `config.output` asks for.

    Args:
        source: See `track`.
        config: All settings.
        monitor: Follows the run, and can stop it.
        resumed: The run that goes on, as `tracker.pipeline.resume.find_run` finds it; its settings are the config.

    Raises:
        InputError: The source, the config or an output cannot be used. What was written before the error is kept and
            plays; where not one frame was written, no file is left.

    Example:
        >>> from tracker import Config, track_to_files
        >>> config = Config.model_validate({"output": {"output": ["tracks.csv"]}})
        >>> result = track_to_files("video.mp4", config)  # doctest: +SKIP
        >>> result.summary.counts  # doctest: +SKIP
        Counter({'person': 6})
    """
    from tracker.pipeline.networks import NetworkAnalyzer

    config = with_stored_thresholds(config)
    with open_source(source, config.source, config.detector.threads) as opened:
        files = [opened.media_path] if opened.media_path else []
        config = config.with_name(opened.name)
        load = partial(NetworkAnalyzer, config)
        return FileRun(opened, config, load, monitor or RunMonitor(), files, resumed=resumed).run()


def retrack(
    detections: str | Path | StoredDetections, config: Settings | None = None, video: str | Path = ""
) -> Generator[tuple[Frame, Tracks]]:
    r"""Tracks stored detections, frame by frame.

    Args:
        detections: See `read_detections`, or its result.
        config: All settings; None for the defaults or, of the folder of a run, for its own. Of the detector's settings,
            only score, classes, `detect_every` and where to compute are used.
        video: The file, folder or glob of the images in which the detections were found; frames are matched by their
            index. Without it, tracking is by motion alone, and frames have a black image, or one without pixels where
            the size is unknown.

    Yields:
        Each frame and its confirmed tracks, as `track` does.

    Raises:
        InputError: The detections, the video or the config cannot be used.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "det.txt")
        ...     rows = [f"{n},-1,{100 + 4 * n},50,40,80,0.9" for n in range(1, 6)]
        ...     _ = path.write_text("\n".join(rows))
        ...     [tracks.ids.tolist() for frame, tracks in retrack(path)]
        [[], [1], [1], [1], [1]]
    """
    config = _default_config(detections) if config is None else load_config(config)
    stored = _read(detections, config)
    config = config if is_run(stored.path) else config.for_given_detections()
    with open_frames(stored, config, str(video)) as source:
        check_source(config, source)
        with StoredAnalyzer(config, stored, source) as analyzer:
            yield from TrackingRun(source, analyzer).tracks()


def retrack_to_files(
    detections: str | Path | StoredDetections,
    config: Config,
    video: str | Path = "",
    monitor: RunMonitor | None = None,
) -> RunResult:
    """Tracks stored detections and writes the results that `config.output` asks for.

    Args:
        detections: See `retrack`.
        config: See `retrack`.
        video: See `retrack`. Without it no annotated video can be written.
        monitor: Follows the run, and can stop it.

    Raises:
        InputError: See `track_to_files`.

    Example:
        >>> from tracker import Config, retrack_to_files
        >>> result = retrack_to_files("detections.csv", Config(), video="video.mp4")  # doctest: +SKIP
    """
    stored = _read(detections, config)
    config = config if is_run(stored.path) else config.for_given_detections()
    with open_frames(stored, config, str(video)) as source:
        config = config.with_name(source.name)
        if config.output.clip_boxes is None:
            clip = not stored.reaches_out(source.width, source.height)
            config = config.model_copy(update={"output": config.output.model_copy(update={"clip_boxes": clip})})
        files = [stored.path, *([source.media_path] if source.media_path else [])]
        load = partial(StoredAnalyzer, config, stored, source)
        return FileRun(source, config, load, monitor or RunMonitor(), files).run()


def _default_config(detections: str | Path | StoredDetections) -> Config:
    path = detections.path if isinstance(detections, StoredDetections) else detections
    return merge_config(retrack_settings(path), {}, where=str(path)) if is_run(path) else Config()


def _read(detections: str | Path | StoredDetections, config: Config) -> StoredDetections:
    if isinstance(detections, StoredDetections):
        return detections
    return read_detections(detections, float(config.source.fps))
