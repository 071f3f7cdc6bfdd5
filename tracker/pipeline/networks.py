"""The analysis of frames by the networks of a config."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.data.store.stored_frame import to_stored_precision
from tracker.models.detection import Detector, load_detector, weights_path
from tracker.models.detection.rescoring import NEUTRAL_DISTANCE
from tracker.models.reid import embedder_path, load_classifier, load_embedder
from tracker.models.runtime import use_half_precision
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.run_record import file_hash
from tracker.structures.boxes import Rectangle
from tracker.structures.types import Frame
from tracker.tracking import Rescorer, no_rescoring


class NetworkAnalyzer(FrameAnalyzer):
    """Runs the detector, the embedder and the classifier of a config, which are loaded once.

    Attributes:
        detector: Finds the objects.

    Example:
        >>> import numpy as np
        >>> from tracker import Config, Frame
        >>> frame = Frame(0, 0.0, 0, np.zeros((48, 64, 3), np.uint8))
        >>> with NetworkAnalyzer(Config()) as analyzer:
        ...     len(analyzer.analyze([frame])[0].detections)
        0
    """

    def __init__(self, config: Config) -> None:
        """Loads the networks.

        Raises:
            InputError: A network, its weights, a class or the device is unknown or not available.
        """
        super().__init__(config)
        with ExitStack() as stack:
            self.detector: Detector = stack.enter_context(load_detector(config.detector))
            self._roi_embeddings = config.appearance.embedding_source == "roi"
            self._caches_features = self._roi_embeddings or config.tracker.rescore > 0
            if self._caches_features:
                self.detector.enable_feature_cache()
            device, half = self.detector.device, use_half_precision(config.detector.precision, self.detector.device)
            runtime = device, half, config.detector.threads, config.detector.backend
            if not self._roi_embeddings and config.appearance.embedder != "none":
                self.embedder = stack.enter_context(load_embedder(config.appearance.embedder, *runtime))
            if config.appearance.classify:
                classifier = load_classifier(Path(config.appearance.classify), *runtime)
                self.set_classifier(stack.enter_context(classifier))
            self._resources = stack.pop_all()

    def close(self) -> None:
        self._resources.close()

    @property
    def categories(self) -> tuple[str, ...]:
        return self.detector.info.categories

    @property
    def reid_class_ids(self) -> list[int]:
        """Labels of the classes whose identities embeddings can tell apart; all for the detector's own features."""
        return list(range(len(self.categories))) if self._roi_embeddings else super().reid_class_ids

    @property
    def neutral_distance(self) -> float:
        return NEUTRAL_DISTANCE if self._roi_embeddings else super().neutral_distance

    def tiles(self, height: int, width: int) -> list[Rectangle]:
        return self.detector.rectangles(height, width)

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Runs the networks on a batch of frames."""
        with self.timer.measure("detect"):
            images = self.detector.upload([frame.image for frame in frames])
            tiles = [frame.tiles for frame in frames]
            if self._caches_features:
                detections, features = self.detector.detect_with_features(images, tiles)
            else:
                detections, features = self.detector.detect_tensors(images, tiles), []
        boxes = [one.boxes for one in detections]
        with self.timer.measure("embed"):
            if self._roi_embeddings:
                embeddings = [
                    to_stored_precision(cached.embed(rows)) for cached, rows in zip(features, boxes, strict=True)
                ]
            else:
                embeddings = self._embed(images, boxes)
        class_probs = self._classify(images, boxes, detections)
        rescorers: list[Rescorer] = [no_rescoring] * len(frames)
        if self.config.tracker.rescore:
            rescorers = list(features)
        return list(map(FrameAnalysis, frames, detections, embeddings, class_probs, rescorers))

    def describe(self) -> dict[str, Any]:
        """Returns the device, the backend, and the weights' files with their hashes."""
        weights = {"detector": weights_path(self.config.detector)}
        appearance = self.config.appearance
        if self.embedder:
            weights["embedder"] = embedder_path(appearance.embedder)
        if self.classifier:
            weights["classifier"] = Path(appearance.classify)
        return {
            "device": str(self.detector.device),
            "backend": self.detector.backend,
            "weights": {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in weights.items()},
        }
