"""The built-in embedder computed by ONNX Runtime on the CPU, without PyTorch; graph_export.py writes its graph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.models.model_file import Arrays, ModelInfo
from tracker.models.reid.embedder import FloatArray, Uploaded, crop_image
from tracker.models.runtime.graphs import Graph
from tracker.models.runtime.resizing import PlanarImage, to_planar

CROPS, EMBEDDINGS = "crops", "embeddings"
"""Names of the graph's input, uint8 (N, H, W, 3) RGB, and of its output, float32 (N, D)."""


def graph_path(weights: Path) -> Path:
    """Returns the path of an embedder's graph, beside its weights."""
    return weights.with_suffix(".onnx")


class GraphCrops:
    """The crops of boxes through a graph: embeddings."""

    def __init__(self, weights: Arrays, info: ModelInfo, path: Path) -> None:
        """Takes the weights, their description, and their file, beside which the graph is."""
        counters = "num_batches_tracked"  # of batch norms, which inference does not need
        arrays = {name: array for name, array in weights.items() if not name.endswith(counters)}
        self._graph = Graph(graph_path(path), arrays)
        self._size = info.size
        self.num_outputs = int(info.network["dimension"])

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[PlanarImage]:
        return to_planar(images)

    def __call__(self, images: Sequence[Uploaded], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        return [self._embed(np.asarray(image), rows) for image, rows in zip(images, boxes, strict=True)]

    def _embed(self, image: NDArray[np.uint8], boxes: FloatArray) -> FloatArray:
        if not len(boxes):
            return np.zeros((0, self.num_outputs), np.float32)
        return self._graph.run([EMBEDDINGS], {CROPS: crop_image(image, boxes, self._size)})[0]
