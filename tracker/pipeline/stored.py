"""The analysis of frames whose detections are stored in a file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Config
from tracker.data.detections import StoredDetections
from tracker.data.detections.run_folder import ROW
from tracker.data.store import RECORD, PartReader, StoredFrame
from tracker.errors import InputError
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import Embeddings, FrameAnalysis
from tracker.pipeline.run_record import file_hash
from tracker.structures.boxes import clip
from tracker.structures.types import Detections, Frame
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
        appearance = config.appearance
        wanted_embedder = "roi" if appearance.embedding_source == "roi" else appearance.embedder
        self._run = stored.run_info if stored.run_info and stored.run_info.embedder == wanted_embedder else None
        if config.tracker.rescore:
            raise InputError("--rescore needs the detector, and stored detections have none: leave it out")
        if wanted_embedder == "roi" and self._run is None:
            raise InputError("--embedding-source roi needs the detector, and stored detections have none: leave it out")
        wanted = config.detector
        self.stored = stored.filter(wanted.score, wanted.classes, source.width, source.height, wanted.class_scores)
        self.filtered_out = self.stored.filtered_out
        self._reader = PartReader(stored.path) if stored.run_info is not None else None
        with ExitStack() as stack:
            if source.has_images:
                self._load_crop_networks(stack, "none" if self._run else appearance.embedder)
            self._resources = stack.pop_all()

    def close(self) -> None:
        self._resources.close()

    @property
    def reid_class_ids(self) -> list[int]:
        return list(self._run.reid_class_ids) if self._run else super().reid_class_ids

    @property
    def neutral_distance(self) -> float:
        return self._run.neutral_distance if self._run else super().neutral_distance

    @property
    def is_worth_storing(self) -> bool:
        return False

    @property
    def categories(self) -> tuple[str, ...]:
        return self.stored.categories

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Returns the stored detections of some frames; networks see the part of each box inside the image."""
        with self.timer.measure("detect"):
            detections = [self.stored.at(frame.index) for frame in frames]
            known = [self._find(frame.index) for frame in frames]
            detections = list(map(_with_masks, detections, known))
        height, width, _ = frames[0].image.shape
        boxes = [clip(one.boxes, width, height) for one in detections]
        with self.timer.measure("embed"):
            images = self._upload([frame.image for frame in frames])
            embeddings = list(map(_embeddings, detections, known)) if self._run else self._embed(images, boxes)
        class_probs = self._classify(images, boxes, detections)
        return list(map(FrameAnalysis, frames, detections, embeddings, class_probs))

    def _describe_detections(self) -> dict[str, str]:
        """Returns the file with its hash or, of a run, its folder with that of its record."""
        path = self.stored.path
        if not path.is_dir():
            return {"file": path.name, "sha256": file_hash(path)}
        record = path / RECORD
        return {"folder": str(path), "sha256": file_hash(record) if record.is_file() else ""}

    def _find(self, index: int) -> StoredFrame | None:
        return self._reader.find(index) if self._reader else None

    def describe(self) -> dict[str, Any]:
        """Returns the files of detections and weights with their hashes, and device and backend of the networks."""
        paths: dict[str, Path] = {}
        if self.embedder:
            from tracker.models.reid import embedder_path

            paths["embedder"] = embedder_path(self.config.appearance.embedder)
        if self.classifier:
            paths["classifier"] = Path(self.config.appearance.classify)
        files = {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in paths.items()}
        network = self.embedder or self.classifier
        device, backend = (str(network.device), network.backend) if network else ("cpu", "torch")
        return {
            "detections": self._describe_detections(),
            "filtered_out": self.filtered_out,
            "device": device,
            "backend": backend,
            "weights": files,
        }


def _with_masks(detections: Detections, known: StoredFrame | None) -> Detections:
    if known is None or "masks" not in known.detections.data:
        return detections
    return detections.with_data(masks=known.detections.data["masks"][detections.data[ROW]])


def _embeddings(detections: Detections, known: StoredFrame | None) -> Embeddings:
    return known.embeddings[detections.data[ROW]] if known is not None else np.zeros((0, 0), np.float32)


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
