"""Makes the graphs with which ONNX Runtime computes a detector without PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from tracker.models.detection.graph_detector import (
    BOXES,
    DETECT,
    EMBED,
    EMBEDDINGS,
    IMAGE,
    MAP_PREFIX,
    REGRESSED,
    SCORE,
    SCORES,
)
from tracker.models.detection.mobilenet_v3 import SamePaddingConv
from tracker.models.detection.roi_embeddings import embed_rois
from tracker.models.detection.rpn import APPEARANCE_MAP
from tracker.models.runtime.compile import export_onnx
from tracker.models.runtime.weightless import without_weights

EXAMPLE_SIZE = (320, 448)  # height and width of the image with which the networks are traced


class ImageGraph(nn.Module):
    """All of a detection before its selection: uint8 (H, W, 3) to boxes (R, C, 4), scores (R, C) and feature maps."""

    def __init__(self, model: Any, maps: Sequence[str]) -> None:
        """Takes the network and the names of the feature maps to return."""
        super().__init__()
        self.model, self.maps = model, maps

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        images, _ = self.model.transform([image.permute(2, 0, 1).float()], None)
        features = self.model.backbone(images.tensors)
        (proposals,), _ = self.model.rpn(images, features)
        (size,) = images.image_sizes
        boxes, scores = _score(self.model.roi_heads, features, proposals, size)
        return clip_boxes_to_image(boxes, size), scores, *(features[name] for name in self.maps)


class ScoreGraph(nn.Module):
    """The scores (M, C) of given boxes (M, 4) and the regressed boxes (M, C, 4), on feature maps."""

    def __init__(self, roi_heads: nn.Module, maps: Sequence[str]) -> None:
        super().__init__()
        self.roi_heads, self.maps = roi_heads, maps

    def forward(self, boxes: Tensor, *maps: Tensor) -> tuple[Tensor, Tensor]:
        features = dict(zip(self.maps, maps, strict=True))
        regressed, scores = _score(self.roi_heads, features, boxes, EXAMPLE_SIZE)  # the pool knows its scales
        return scores, regressed


class EmbedGraph(nn.Module):
    """The embeddings (M, D) of given boxes (M, 4) on feature maps."""

    def __init__(self, roi_heads: Any, maps: Sequence[str]) -> None:
        super().__init__()
        self.pool, self.maps = roi_heads.box_roi_pool, maps

    def forward(self, boxes: Tensor, *maps: Tensor) -> Tensor:
        return embed_rois(self.pool, dict(zip(self.maps, maps, strict=True)), boxes, EXAMPLE_SIZE)


def _score(roi_heads: Any, features: dict[str, Tensor], boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Returns the regressed boxes and the scores, not calibrated, of boxes."""
    pooled = roi_heads.box_roi_pool(features, [boxes], [size])
    logits, offsets = roi_heads.box_predictor(roi_heads.box_head(pooled))
    return roi_heads.box_coder.decode(offsets, [boxes])[:, 1:], logits.softmax(1)[:, 1:]


def detector_graphs(model: Any) -> dict[str, bytes]:
    """Returns the graphs of an R-CNN, serialized, by their kind, as `graph_path` takes it.

    Args:
        model: In evaluation mode, on the CPU, without batch norms.
    """
    image = torch.randint(0, 256, (*EXAMPLE_SIZE, 3), dtype=torch.uint8)
    with torch.no_grad():
        model([image.permute(2, 0, 1).float()])  # finds the scales of the feature maps
        features = model.backbone(image.permute(2, 0, 1)[None].float())
    pooled = list(model.roi_heads.box_roi_pool.featmap_names)
    embedded = [APPEARANCE_MAP] if APPEARANCE_MAP in features else pooled
    maps = list(dict.fromkeys([*pooled, *embedded]))
    axes = {MAP_PREFIX + name: {2: f"{name}_height", 3: f"{name}_width"} for name in maps}
    boxes = torch.tensor([[8.0, 8.0, 200.0, 300.0], [40.0, 40.0, 60.0, 72.0], [0.0, 0.0, 400.0, 320.0]])

    def export(network: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> bytes:
        rows = {name: {0: "boxes"} for name in (BOXES, SCORES, REGRESSED, EMBEDDINGS)}
        dynamic = {IMAGE: {0: "height", 1: "width"}, **axes, **rows}
        content = export_onnx(network.eval(), example, inputs, outputs, _pick(dynamic, [*inputs, *outputs]))
        return without_weights(content, model, self_padding(model))

    def on_maps(network: nn.Module, names: list[str], outputs: list[str]) -> bytes:
        inputs = [BOXES, *(MAP_PREFIX + name for name in names)]
        return export(network, (boxes, *(features[name] for name in names)), inputs, outputs)

    outputs = [BOXES, SCORES, *axes]
    return {
        DETECT: export(ImageGraph(model, maps), (image,), [IMAGE], outputs),
        SCORE: on_maps(ScoreGraph(model.roi_heads, pooled), pooled, [SCORES, REGRESSED]),
        EMBED: on_maps(EmbedGraph(model.roi_heads, embedded), embedded, [EMBEDDINGS]),
    }


def _pick(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def self_padding(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Returns the padding of each `SamePaddingConv`, before and after, by the name of its weight."""
    modules = ((name, module) for name, module in model.named_modules() if isinstance(module, SamePaddingConv))
    return {f"{name}.weight": module.padding_sizes for name, module in modules}
