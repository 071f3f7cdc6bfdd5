"""Tracks stored detections: all stages but the detector."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.boxes import clip
from tracker.config import Config
from tracker.errors import InputError
from tracker.record import file_hash
from tracker.results import Looker, Outcome, Watcher, run_to_files
from tracker.stages import Perceived, Stages, check_source
from tracker.stored import Stored, read_detections
from tracker.tracking import nothing_there
from tracker.types import Frame, Tracks
from tracker.video import BlankSource, Source, open_source

if TYPE_CHECKING:
    from tracker.appearance import Embedder


class StoredPipeline(Stages):
    """Stored detections and, where there are pictures, the embedder of a config.

    Attributes:
        stored: The detections, those that the config leaves out no longer among them.
    """

    def __init__(self, config: Config, stored: Stored, source: Source) -> None:
        """Chooses the detections, and loads the embedder where the source has pictures.

        Raises:
            InputError: A class is unknown, or the embedder or the device is and cannot be had.
        """
        super().__init__(config)
        if config.tracker.rescore:
            raise InputError("--rescore looks at boxes with the detector, which stored detections lack: leave it out")
        found = config.detector
        self.stored = stored.chosen(found.score, found.classes, source.width, source.height)
        self.left_out = self.stored.left_out
        self._resources = ExitStack()
        if source.has_pictures and config.appearance.embedder != "none":
            self.embedders.append(self._resources.enter_context(_load_embedder(config)))

    def close(self) -> None:
        """Ends the embedder's threads."""
        self._resources.close()

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""
        return self.stored.categories

    def perceive(self, frames: list[Frame]) -> Perceived:
        """The stored detections of some frames, and embeddings of their parts inside the picture."""
        with self.timed("detect"):
            found = [self.stored.at(frame.index) for frame in frames]
        with self.timed("embed"):
            for embedder in self.embedders:
                height, width, _ = frames[0].image.shape
                boxes = [clip(detections.boxes, width, height) for detections in found]
                images = embedder.upload([frame.image for frame in frames])
                return found, embedder.embed(images, boxes), [nothing_there] * len(frames)
        embeddings = [np.zeros((len(detections), 0), np.float32) for detections in found]
        return found, embeddings, [nothing_there] * len(frames)

    def describe(self) -> dict[str, Any]:
        """The files of the detections and of the weights with their hashes, and the device, cpu without a network."""
        paths = {"detections": self.stored.path}
        for _ in self.embedders:
            from tracker.appearance import embedder_path

            paths["embedder"] = embedder_path(self.config.appearance.embedder)
        files = {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in paths.items()}
        devices = [str(embedder.device) for embedder in self.embedders]
        return {
            "detections": files.pop("detections"),
            "left_out": self.left_out,
            "device": (devices or ["cpu"])[0],
            "weights": files,
        }


def _load_embedder(config: Config) -> "Embedder":
    # Torch takes seconds to load, which without pictures would be in vain.
    from tracker.appearance import load_embedder
    from tracker.networks import choose_device, in_half

    device = choose_device(config.detector.device)
    half = in_half(config.detector.precision, device)
    return load_embedder(config.appearance.embedder, device, half, config.detector.threads)


def retrack(
    detections: str | Path | Stored, config: Config | None = None, video: str | Path = ""
) -> Generator[tuple[Frame, Tracks]]:
    """Tracks stored detections.

    Args:
        detections: As `read_detections`, or what that gave.
        config: Settings; None for the defaults. Of the detector's only score, classes, and where to compute count.
        video: The file, folder or glob of the pictures in which the detections were found; frames belong together by
            their index. Without, tracking is by motion alone, and frames come with a black image, or one of no size
            where that is unknown.

    Yields:
        Each frame and its confirmed tracks, as `track`.

    Raises:
        InputError: The detections, the video or the config cannot be used.
    """
    config = config or Config()
    stored = _read(detections, config)
    with _open(stored, config, str(video)) as source:
        check_source(config, source)
        with StoredPipeline(config, stored, source) as stages:
            yield from stages.run(source)


def retrack_to_files(
    detections: str | Path | Stored,
    config: Config,
    video: str | Path = "",
    watch: Watcher = lambda *_: True,
    look: Looker = lambda *_: True,
) -> Outcome:
    """Tracks stored detections and writes the results that `config.output` asks for.

    Args:
        detections: As `retrack`.
        config: As `retrack`.
        video: As `retrack`. Without it no annotated video can be written.
        watch: As `track_to_files`.
        look: As `track_to_files`.

    Raises:
        InputError: As `track_to_files`.
    """
    stored = _read(detections, config)
    with _open(stored, config, str(video)) as source:
        files = [stored.path, *([source.media_path] if source.media_path else [])]
        load: Callable[[], Stages] = lambda: StoredPipeline(config, stored, source)  # noqa: E731
        return run_to_files(source, files, config, load, watch, look)


def _read(detections: str | Path | Stored, config: Config) -> Stored:
    return detections if isinstance(detections, Stored) else read_detections(detections, config.source.fps)


def _open(stored: Stored, config: Config, video: str) -> Source:
    """The frames of the sequence: those of the video, or blank ones."""
    if not video:
        return BlankSource(
            spec=str(stored.path),
            name=stored.name,
            config=config.source,
            moments=stored.moments,
            count=stored.count(),
            duration=stored.duration(),
            size=(stored.width, stored.height),
            frame_rate=stored.frame_rate,
        )
    source = open_source(video, config.source, config.detector.threads)
    if stored.width and (stored.width, stored.height) != (source.width, source.height):
        source.close()
        raise InputError(
            f"{stored.path} is about pictures of {stored.width}x{stored.height} pixels, but {source.spec} is "
            f"{source.width}x{source.height}: give the video in which the detections were found"
        )
    if stored.complete:
        source.restrict(stored.has_frame, int(stored.frames[-1]))
        source.expected_frames = min(source.expected_frames, stored.count())
    else:
        source.restrict(stored.has_frame)
    return source
