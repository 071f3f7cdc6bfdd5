"""The built-in detector computed by ONNX Runtime on the CPU, without PyTorch; graph_export.py writes its graphs."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.models.detection.detector import Detector
from tracker.models.detection.factory import BUILTIN, detector_class_ids, input_sizes, tiling
from tracker.models.detection.rescoring import EMPTY, CachedFeatures
from tracker.models.detection.selection import calibrate_scores, group_labels, select_detections
from tracker.models.model_file import Arrays, ModelInfo, load_model
from tracker.models.runtime.device import AnyDevice
from tracker.models.runtime.graphs import BACKEND, Graph
from tracker.models.runtime.resizing import PlanarImage, resize_image, to_planar
from tracker.structures.types import Detections

log = logging.getLogger(__name__)

DETECT, SCORE, EMBED = "", "_score", "_embed"
"""What the graphs beside a weights file do, by the ends of their names: all of a detection; the scores, and the
embeddings, of given boxes on the feature maps of an image."""
IMAGE, BOXES, SCORES, REGRESSED, EMBEDDINGS = "image", "boxes", "scores", "regressed", "embeddings"
"""Names of inputs and outputs: uint8 (H, W, 3) RGB; float32 (R, C, 4) xyxy or, as an input, (M, 4); (R, C);
(M, C, 4); (M, D)."""
MAP_PREFIX = "map_"  # before the names of feature maps, inputs and outputs
ROI_WEIGHTS = "roi_heads."  # before the names of the weights that SCORE has


def graph_path(weights: Path, graph: str) -> Path:
    """Returns the path of one of a detector's graphs, DETECT, SCORE or EMBED, beside its weights."""
    return weights.with_name(f"{weights.stem}{graph}.onnx")


def load_graph_detector(config: DetectorConfig, device: AnyDevice) -> Detector:
    """Loads the built-in detector.

    Raises:
        InputError: A class is unknown, or the tiles are not valid.
    """
    weights, info = load_model(BUILTIN)
    log.info("running the detector on %s with %s", device, BACKEND)
    return GraphDetector(weights, info, device, config)


class GraphDetector(Detector):
    """A detector whose network is a graph."""

    def __init__(self, weights: Arrays, info: ModelInfo, device: AnyDevice, config: DetectorConfig) -> None:
        """Takes the weights and the description of the network, the CPU, and the thresholds."""
        class_ids, size = detector_class_ids(config.classes, info), input_sizes(config, info)
        graph = Graph(graph_path(BUILTIN, DETECT), weights)
        super().__init__(info, device, config.threads, class_ids, BACKEND, size, tiling(config, info))
        self._graph = graph
        self._config = config
        self._groups = group_labels(info.categories, config.class_groups)
        self._caches_features = False

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[PlanarImage]:
        return to_planar(images)

    def enable_feature_cache(self) -> None:
        self._caches_features = True

    def _roi_head(self) -> "GraphRoIHead":
        self._caches_features = True
        return self._head

    @cached_property
    def _head(self) -> "GraphRoIHead":
        return GraphRoIHead(load_model(BUILTIN)[0], self.info)

    def _infer(self, images: Sequence[NDArray[np.uint8]]) -> list[tuple[Detections, CachedFeatures]]:
        return [self._infer_image(np.asarray(image)) for image in images]

    def _infer_image(self, image: NDArray[np.uint8]) -> tuple[Detections, CachedFeatures]:
        original = image.shape[1:]
        shape = self._resized_shape(*original)
        resized = np.ascontiguousarray(resize_image(image.transpose(1, 2, 0), *shape))
        outputs = self._graph.outputs if self._caches_features else [BOXES, SCORES]
        arrays = dict(zip(outputs, self._graph.run(outputs, {IMAGE: resized}), strict=True))
        scores = calibrate_scores(arrays.pop(SCORES), self.info.calibration)
        found = select_detections(arrays.pop(BOXES), scores, self._groups, self._config)
        return self._to_image(found, shape, original), CachedFeatures(arrays, shape) if arrays else EMPTY


class GraphRoIHead:
    """The head of the built-in detector for given boxes."""

    def __init__(self, weights: Arrays, info: ModelInfo) -> None:
        head = {name: array for name, array in weights.items() if name.startswith(ROI_WEIGHTS)}
        self._score = Graph(graph_path(BUILTIN, SCORE), head)
        self._embed = Graph(graph_path(BUILTIN, EMBED), {})
        self._calibration = info.calibration

    def score(
        self, features: CachedFeatures, boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scores, regressed = self._score.run([SCORES, REGRESSED], _inputs(self._score, features, boxes))
        return calibrate_scores(scores, self._calibration), regressed

    def embed(self, features: CachedFeatures, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._embed.run([EMBEDDINGS], _inputs(self._embed, features, boxes))[0]


def _inputs(graph: Graph, features: CachedFeatures, boxes: NDArray[np.float32]) -> Arrays:
    maps = {name: features.feature_maps[name] for name in graph.inputs if name.startswith(MAP_PREFIX)}
    return {**maps, BOXES: np.ascontiguousarray(boxes, np.float32)}
