"""Detection networks whose convolutions and layers are computed in half precision, or by another library."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from tracker.models.runtime import MAPS, ROWS, compiled

Compile = Callable[[nn.Module, tuple[Any, ...], tuple[int, ...]], nn.Module]

SIDE = 512  # of the square picture by which parts are shown what they are given, pixels


def compile_parts(model: nn.Module, backend: str, half: bool, threads: int) -> None:
    """Replaces, in place, the parts of a network that take its time; each is called as before.

    What PyTorch keeps, in full precision, follows what is found: anchors, proposals, regions cut out of maps, and the
    choice among boxes.

    Args:
        model: A detector in torchvision's form, in evaluation mode, on the CPU.
        backend: torch, openvino or onnxruntime; with torch and without `half` nothing changes.
        half: Compute in half precision.
        threads: How many threads will compute at a time, 0 for as many as there are cores.
    """
    if backend == "torch" and not half:
        return

    def compile_one(part: nn.Module, arguments: tuple[Any, ...], axes: tuple[int, ...]) -> nn.Module:
        return compiled(part, arguments, axes, backend, half, threads)

    with torch.inference_mode():
        picture = torch.zeros(1, 3, SIDE, SIDE)
        maps = model.get_submodule("backbone")(picture)
        if isinstance(maps, Tensor):
            maps = {"0": maps}
        model.backbone = compile_one(model.get_submodule("backbone"), (picture,), MAPS)
        head = "rpn.head" if isinstance(model, GeneralizedRCNN) else "head"
        model.set_submodule(head, compile_one(model.get_submodule(head), (list(maps.values()),), MAPS))
        if isinstance(model, GeneralizedRCNN):
            _compile_judges(model.roi_heads, maps, compile_one)


def _compile_judges(heads: nn.Module, maps: dict[str, Tensor], compile_one: Compile) -> None:
    """Replaces what judges regions, and what marks the objects in them; what came second there now passes on."""
    boxes = torch.tensor([[0.0, 0.0, SIDE / 2, SIDE / 2]] * 2)
    for kind in ("box", "mask"):
        pool = getattr(heads, f"{kind}_roi_pool")
        if pool is not None:
            judge = nn.Sequential(getattr(heads, f"{kind}_head"), getattr(heads, f"{kind}_predictor"))
            regions = pool(maps, [boxes], [(SIDE, SIDE)])
            setattr(heads, f"{kind}_head", compile_one(judge, (regions,), ROWS))
            setattr(heads, f"{kind}_predictor", nn.Identity())
