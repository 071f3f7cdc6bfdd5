"""The interface of what turns frames into detections, embeddings and class probabilities."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.data.store.stored_frame import to_stored_precision
from tracker.errors import InputError, did_you_mean
from tracker.pipeline.class_voting import ClassProbabilities
from tracker.pipeline.frame_analysis import Embeddings, FrameAnalysis
from tracker.pipeline.stage_timer import StageTimer
from tracker.structures.boxes import Rectangle
from tracker.structures.types import Detections, Frame

if TYPE_CHECKING:
    from tracker.models.reid import Classifier, Embedder

Boxes = NDArray[np.float32]


class FrameAnalyzer(ABC):
    """Finds the objects in frames and describes them; holds no state of any source.

    The implementations are `NetworkAnalyzer` (a detector), `StoredAnalyzer` (stored detections) and `BatcherClient`
    (networks that several runs share).

    Attributes:
        config: All settings.
        embedder: Computes appearance embeddings; None without one.
        classifier: Tells the finer class of a crop; None without one.
        fine_class_ids: Labels of the detector's classes whose crops the classifier is asked about.
        timer: Time spent in each stage.
        filtered_out: Stored detections that are left out because of their score, class or position.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.embedder: Embedder | None = None
        self.classifier: Classifier | None = None
        self.fine_class_ids: list[int] = []
        self.timer = StageTimer()
        self.filtered_out = 0

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""

    @property
    def reid_class_ids(self) -> list[int]:
        """Labels of the classes whose identities the embedder was trained to tell apart."""
        if self.embedder is None:
            return []
        return [n for n, name in enumerate(self.categories) if name in self.embedder.info.categories]

    @property
    def fine_categories(self) -> Sequence[str]:
        """Names of the finer classes; none without a classifier."""
        return self.classifier.info.categories if self.classifier else ()

    @property
    def is_worth_storing(self) -> bool:
        """False if the analyses are read from a file, and storing them would only copy it."""
        return True

    @property
    def neutral_distance(self) -> float:
        """Cosine distance of the embeddings that speaks neither for nor against one identity; 0 if unknown."""
        return self.embedder.info.max_distance if self.embedder else 0.0

    def set_classifier(self, classifier: "Classifier") -> None:
        """Sets the classifier of the crops of the classes that the config names, or of all classes.

        Raises:
            InputError: One of these is unknown.
        """
        wanted = self.config.appearance.classify_classes or self.categories
        for name in wanted:
            if name not in self.categories:
                hint = did_you_mean(name, list(self.categories))
                raise InputError(f"--classify-classes: unknown class {name!r}{hint}")
        self.classifier = classifier
        self.fine_class_ids = [n for n, name in enumerate(self.categories) if name in wanted]

    def tiles(self, height: int, width: int) -> list[Rectangle]:
        """Returns the tiles in which the detector looks at an image of this size too; none without tiles."""
        return []

    @abstractmethod
    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Returns the analysis of each frame of a batch; results do not depend on the batch."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Returns what the record of a run says of the analyzer: device, backend, files and their hashes."""

    @abstractmethod
    def close(self) -> None:
        """Ends the networks' threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load_crop_networks(self, stack: ExitStack, embedder: str) -> None:
        """Loads an embedder by name, and the classifier of the config; the stack closes them.

        Raises:
            InputError: A network, a class or the device is unknown or not available.
        """
        appearance, runtime = self.config.appearance, self.config.detector
        if embedder == "none" and not appearance.classify:
            return
        from tracker.models.reid import load_classifier, load_embedder
        from tracker.models.runtime import find_device, use_half_precision

        device = find_device(runtime.device)
        arguments = device, use_half_precision(runtime.precision, device), runtime.threads, runtime.backend
        if embedder != "none":
            self.embedder = stack.enter_context(load_embedder(embedder, *arguments))
        if appearance.classify:
            self.set_classifier(stack.enter_context(load_classifier(Path(appearance.classify), *arguments)))

    def _upload(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """Returns the images on the device of the crops' networks; nothing without these."""
        network = self.embedder or self.classifier
        return network.upload(images) if network else []

    def _embed(self, images: list[Any], boxes: list[Boxes]) -> list[Embeddings]:
        """Returns the embeddings (N, D) of boxes (N, 4) of uploaded images, as precise as they are stored.

        D is 0 without an embedder.
        """
        if self.embedder is None:
            return [np.zeros((len(rows), 0), np.float32) for rows in boxes]
        return [to_stored_precision(rows) for rows in self.embedder.embed(images, boxes)]

    def _classify(
        self, images: list[Any], boxes: list[Boxes], detections: list[Detections]
    ) -> list[ClassProbabilities]:
        """Returns the class probabilities (N, C) of detections; (N, 0) without a classifier.

        Args:
            images: Uploaded images.
            boxes: (N, 4) xyxy in each image.
            detections: N detections in each image, of which only those of `fine_class_ids` are classified.
        """
        if self.classifier is None:
            return [np.zeros((len(rows), 0), np.float32) for rows in boxes]
        with self.timer.measure("classify"):
            asked = [np.isin(one.labels, self.fine_class_ids) for one in detections]
            crops = [rows[mask] for rows, mask in zip(boxes, asked, strict=True)]
            probabilities = self.classifier.classify(images, crops)
            return [_scatter(rows, mask) for rows, mask in zip(probabilities, asked, strict=True)]


def _scatter(rows: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns (N, columns) with the rows where the mask (N,) is True, and zeros elsewhere."""
    scattered = np.zeros((len(mask), rows.shape[1]), np.float32)
    scattered[mask] = rows
    return scattered
