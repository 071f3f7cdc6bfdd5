"""Makes the graph with which ONNX Runtime computes an embedder without PyTorch."""

import torch
from torch import Tensor, nn

from tracker.models.reid.graph_crops import CROPS, EMBEDDINGS
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime.compile import export_onnx
from tracker.models.runtime.weightless import without_weights


class CropGraph(nn.Module):
    """The embeddings (N, D) of crops, uint8 (N, H, W, 3) RGB."""

    def __init__(self, model: AppearanceNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> Tensor:
        return self.model(crops.permute(0, 3, 1, 2).float())  # type: ignore[no-any-return]


def embedder_graph(model: AppearanceNetwork, size: tuple[int, int]) -> bytes:
    """Returns the graph of an embedder for crops of a size (height, width), serialized; its batch norms are kept."""
    example = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    axes = {CROPS: {0: "crops"}, EMBEDDINGS: {0: "crops"}}
    content = export_onnx(CropGraph(model).eval(), (example,), [CROPS], [EMBEDDINGS], axes, fold=False)
    return without_weights(content, model)
