"""The analysis of frames whose detections are stored in a file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.data.detections import StoredDetections
from tracker.errors import InputError
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.run_record import file_hash
from tracker.structures.boxes import clip
from tracker.structures.types import Frame
from tracker.video import BlankSource, Source, open_source


class StoredAnalyzer(FrameAnalyzer):
    """Returns stored detections and, where the source has images, their embeddings.

    Attributes:
        stored: The detections, without those that the config filters out.
    """

    def __init__(self, config: Config, stored: StoredDetections, source: Source) -> None:
        """Filters the detections, and loads the embedder if the source has images.

        Raises:
            InputError: A class, the embedder or the device is unknown or not available.
        """
        super().__init__(config)
        if config.tracker.rescore:
            raise InputError("--rescore needs the detector, and stored detections have none: leave it out")
        if config.appearance.embedding_source == "roi":
            raise InputError("--embedding-source roi needs the detector, and stored detections have none: leave it out")
        wanted = config.detector
        self.stored = stored.filter(wanted.score, wanted.classes, source.width, source.height)
        self.filtered_out = self.stored.filtered_out
        with ExitStack() as stack:
            if source.has_images:
                self._load_networks(stack)
            self._resources = stack.pop_all()

    def _load_networks(self, stack: ExitStack) -> None:
        name, runtime = self.config.appearance.embedder, self.config.detector
        if name == "none" and not self.config.appearance.classify:
            return
        # Torch takes seconds to import, which is not needed without networks.
        from tracker.models.reid import load_classifier, load_embedder
        from tracker.models.runtime import choose_backend, choose_device, use_half_precision

        device = choose_device(runtime.device)
        backend = choose_backend(runtime.backend, device, runtime.precision)
        arguments = device, use_half_precision(runtime.precision, device), runtime.threads, backend
        if name != "none":
            self.embedder = stack.enter_context(load_embedder(name, *arguments))
        if path := self.config.appearance.classify:
            self.set_classifier(stack.enter_context(load_classifier(Path(path), *arguments)))

    def close(self) -> None:
        self._resources.close()

    @property
    def categories(self) -> tuple[str, ...]:
        return self.stored.categories

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Returns the stored detections of some frames; networks see the part of each box inside the image."""
        with self.timer.measure("detect"):
            detections = [self.stored.at(frame.index) for frame in frames]
        height, width, _ = frames[0].image.shape
        boxes = [clip(one.boxes, width, height) for one in detections]
        with self.timer.measure("embed"):
            images = self._upload([frame.image for frame in frames])
            embeddings = self._embed(images, boxes)
        class_probs = self._classify(images, boxes, detections)
        return list(map(FrameAnalysis, frames, detections, embeddings, class_probs))

    def _upload(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """Returns the images on the networks' device; nothing without networks."""
        network = self.embedder or self.classifier
        return network.upload(images) if network else []

    def describe(self) -> dict[str, Any]:
        """Returns the files of detections and weights with their hashes, and device and backend of the networks."""
        paths = {"detections": self.stored.path}
        if self.embedder:
            from tracker.models.reid import embedder_path

            paths["embedder"] = embedder_path(self.config.appearance.embedder)
        if self.classifier:
            paths["classifier"] = Path(self.config.appearance.classify)
        files = {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in paths.items()}
        network = self.embedder or self.classifier
        device, backend = (str(network.device), network.backend) if network else ("cpu", "torch")
        return {
            "detections": files.pop("detections"),
            "filtered_out": self.filtered_out,
            "device": device,
            "backend": backend,
            "weights": files,
        }


def open_frames(stored: StoredDetections, config: Config, video: str) -> Source:
    """Opens the frames of stored detections: those of the video or, without one, blank frames.

    Raises:
        InputError: The video cannot be used, or its size is not that of the detections' images.
    """
    if not video:
        return BlankSource(
            uri=str(stored.path),
            name=stored.name,
            config=config.source,
            frame_times=stored.frame_times,
            frame_count=stored.count(),
            duration=stored.duration(),
            size=(stored.width, stored.height),
            frame_rate=stored.frame_rate,
        )
    source = open_source(video, config.source, config.detector.threads)
    if stored.width and (stored.width, stored.height) != (source.width, source.height):
        source.close()
        raise InputError(
            f"{stored.path} is for images of {stored.width}x{stored.height} pixels, but {source.uri} is "
            f"{source.width}x{source.height}: give the video in which the detections were found"
        )
    if stored.covers_all_frames:
        source.select_frames(stored.has_frame, int(stored.frames[-1]))
        source.expected_frames = min(source.expected_frames, stored.count())
    else:
        source.select_frames(stored.has_frame)
    return source
