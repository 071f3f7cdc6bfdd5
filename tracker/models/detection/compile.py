"""Detection networks whose convolutions and layers run in half precision or by another backend."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.models.detection.rpn import rpn_feature_maps
from tracker.models.runtime import BATCH_AXES, FEATURE_MAP_AXES, compile_module

Compile = Callable[[nn.Module, tuple[Any, ...], tuple[int, ...]], nn.Module]

EXAMPLE_SIDE = 512  # of the square example image, pixels


def compile_detector(model: nn.Module, backend: str, half: bool, threads: int) -> None:
    """Compiles, in place, the parts of a network that take most of the time; they are called as before.

    PyTorch keeps, in full precision, the parts whose shapes depend on the data: anchors, proposals, RoI pooling and
    the filtering of boxes.

    Args:
        model: A detector in torchvision's form, in evaluation mode, on the CPU.
        backend: torch, openvino or onnxruntime; with torch and without `half` nothing changes.
        half: Run in half precision.
        threads: Number of threads that will call the network at the same time, 0 for the number of cores.
    """
    if backend == "torch" and not half:
        return

    def compile_part(part: nn.Module, arguments: tuple[Any, ...], axes: tuple[int, ...]) -> nn.Module:
        return compile_module(part, arguments, axes, backend, half, threads)

    with torch.inference_mode():
        image = torch.zeros(1, 3, EXAMPLE_SIDE, EXAMPLE_SIDE)
        feature_maps = model.get_submodule("backbone")(image)
        if isinstance(feature_maps, Tensor):
            feature_maps = {"0": feature_maps}
        inputs = (list(rpn_feature_maps(feature_maps).values()),)
        model.backbone = compile_part(model.get_submodule("backbone"), (image,), FEATURE_MAP_AXES)
        head = "rpn.head" if isinstance(model, GeneralizedRCNN) else "head"
        model.set_submodule(head, compile_part(model.get_submodule(head), inputs, FEATURE_MAP_AXES))
        if isinstance(model, GeneralizedRCNN):
            _compile_roi_heads(model.roi_heads, feature_maps, compile_part)


def _compile_roi_heads(roi_heads: nn.Module, feature_maps: dict[str, Tensor], compile_part: Compile) -> None:
    """Compiles each head together with its predictor; an Identity takes the predictor's place."""
    boxes = torch.tensor([[0.0, 0.0, EXAMPLE_SIDE / 2, EXAMPLE_SIDE / 2]] * 2)
    for kind in ("box", "mask"):
        pool = getattr(roi_heads, f"{kind}_roi_pool")
        if pool is not None:
            head = nn.Sequential(getattr(roi_heads, f"{kind}_head"), getattr(roi_heads, f"{kind}_predictor"))
            pooled = pool(feature_maps, [boxes], [(EXAMPLE_SIDE, EXAMPLE_SIDE)])
            setattr(roi_heads, f"{kind}_head", compile_part(head, (pooled,), BATCH_AXES))
            setattr(roi_heads, f"{kind}_predictor", nn.Identity())
