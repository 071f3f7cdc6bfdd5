"""Tracks stored detections: all stages but the detector."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.data.detections import StoredDetections, read_detections
from tracker.errors import InputError
from tracker.pipeline.analyzer import Stages, check_source
from tracker.pipeline.file_run import Looker, RunResult, Watcher, run_to_files
from tracker.pipeline.frame_sampler import Perceived
from tracker.pipeline.run_record import file_hash
from tracker.structures.boxes import clip
from tracker.structures.types import Frame, Tracks
from tracker.tracking import no_rescoring
from tracker.video import BlankSource, Source, open_source


class StoredPipeline(Stages):
    """Stored detections and, where there are pictures, the embedder of a config.

    Attributes:
        stored: The detections, those that the config leaves out no longer among them.
    """

    def __init__(self, config: Config, stored: StoredDetections, source: Source) -> None:
        """Chooses the detections, and loads the embedder where the source has pictures.

        Raises:
            InputError: A class is unknown, or the embedder or the device is and cannot be had.
        """
        super().__init__(config)
        if config.tracker.rescore:
            raise InputError("--rescore looks at boxes with the detector, which stored detections lack: leave it out")
        if config.appearance.embedding_source == "roi":
            raise InputError(
                "--embedding-source roi takes what the detector saw, which stored detections lack: leave it out"
            )
        found = config.detector
        self.stored = stored.chosen(found.score, found.classes, source.width, source.height)
        self.filtered_out = self.stored.filtered_out
        with ExitStack() as stack:
            if source.has_pictures:
                self._load_networks(stack)
            self._resources = stack.pop_all()

    def _load_networks(self, stack: ExitStack) -> None:
        name, found = self.config.appearance.embedder, self.config.detector
        if name == "none" and not self.config.appearance.classify:
            return
        # Torch takes seconds to load, which without networks would be in vain.
        from tracker.models.reid import load_classifier, load_embedder
        from tracker.models.runtime import choose_backend, choose_device, in_half

        device = choose_device(found.device)
        backend = choose_backend(found.backend, device, found.precision)
        where = device, in_half(found.precision, device), found.threads, backend
        if name != "none":
            self.set_embedder(stack.enter_context(load_embedder(name, *where)))
        if path := self.config.appearance.classify:
            self.set_classifier(stack.enter_context(load_classifier(Path(path), *where)))

    def close(self) -> None:
        """Ends the networks' threads."""
        self._resources.close()

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""
        return self.stored.categories

    def perceive(self, frames: list[Frame]) -> Perceived:
        """The stored detections of some frames, and what networks say of their parts inside the picture."""
        with self.timed("detect"):
            found = [self.stored.at(frame.index) for frame in frames]
        height, width, _ = frames[0].image.shape
        boxes = [clip(detections.boxes, width, height) for detections in found]
        with self.timed("embed"):
            images = self._upload([frame.image for frame in frames])
            embeddings = self.embedded(images, boxes)
        class_probs = self.judged(images, boxes, found)
        return found, embeddings, [no_rescoring] * len(frames), class_probs

    def _upload(self, pictures: list[NDArray[np.uint8]]) -> list[Any]:
        """Pictures on the networks' device; nothing where there are no networks."""
        for network in (*self.embedders, *self.classifiers):
            return network.upload(pictures)
        return []

    def describe(self) -> dict[str, Any]:
        """The files of detections and weights with their hashes, and what computed; without networks torch on cpu."""
        paths = {"detections": self.stored.path}
        for _ in self.embedders:
            from tracker.models.reid import embedder_path

            paths["embedder"] = embedder_path(self.config.appearance.embedder)
        for _ in self.classifiers:
            paths["classifier"] = Path(self.config.appearance.classify)
        files = {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in paths.items()}
        places = [(str(network.device), network.backend) for network in (*self.embedders, *self.classifiers)]
        device, backend = (places or [("cpu", "torch")])[0]
        return {
            "detections": files.pop("detections"),
            "filtered_out": self.filtered_out,
            "device": device,
            "backend": backend,
            "weights": files,
        }


def retrack(
    detections: str | Path | StoredDetections, config: Config | None = None, video: str | Path = ""
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
    with open_stored(stored, config, str(video)) as source:
        check_source(config, source)
        with StoredPipeline(config, stored, source) as stages:
            yield from stages.run(source)


def retrack_to_files(
    detections: str | Path | StoredDetections,
    config: Config,
    video: str | Path = "",
    watch: Watcher = lambda *_: True,
    look: Looker = lambda *_: True,
) -> RunResult:
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
    with open_stored(stored, config, str(video)) as source:
        config = config.naming(source.name)
        files = [stored.path, *([source.media_path] if source.media_path else [])]
        load: Callable[[], Stages] = lambda: StoredPipeline(config, stored, source)  # noqa: E731
        return run_to_files(source, files, config, load, watch, look)


def _read(detections: str | Path | StoredDetections, config: Config) -> StoredDetections:
    return detections if isinstance(detections, StoredDetections) else read_detections(detections, config.source.fps)


def open_stored(stored: StoredDetections, config: Config, video: str) -> Source:
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
        source.select_frames(stored.has_frame, int(stored.frames[-1]))
        source.expected_frames = min(source.expected_frames, stored.count())
    else:
        source.select_frames(stored.has_frame)
    return source
