"""Parts of networks that are computed in half precision, or by another library in PyTorch's stead."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d

from tracker.models.runtime.backends import Run, load_graph

ROWS = (0,)
MAPS = (0, 2, 3)
"""Which sides of a part's tensors differ from call to call: the number of rows; that of pictures, height and width."""

OPSET = 17  # the newest that all of the parts can be written in


class CompiledPart(nn.Module):
    """Takes and gives what the part does that it stands for, in lists, tuples and dicts of float32 tensors."""

    def __init__(self, run: Run, nothing: Sequence[Tensor], form: TreeSpec) -> None:
        """Takes what computes the part's graph, what that gives for no rows, and how its results are put together."""
        super().__init__()
        self._run = run
        self._nothing = nothing
        self._form = form

    def forward(self, *arguments: Any) -> Any:
        given = tree_flatten(arguments)[0]
        found = self._nothing
        if all(len(tensor) for tensor in given):
            found = [torch.from_numpy(array) for array in self._run([t.contiguous().numpy() for t in given])]
        return tree_unflatten(found, self._form)


def compiled(
    part: nn.Module, arguments: tuple[Any, ...], axes: Sequence[int], backend: str, half: bool, threads: int
) -> nn.Module:
    """A part of a network that takes and gives the same float32 tensors, but for rounding.

    Args:
        part: The part; what it does must not depend on its input but through tensors.
        arguments: What it is given, for example; a call with others gets the same arithmetic.
        axes: Of the sides of all tensors that differ from call to call; the first one is among them.
        backend: torch, openvino or onnxruntime; with torch and without `half` it stays as it is.
        half: Compute in half precision.
        threads: How many threads will compute at a time, 0 for as many as there are cores.
    """
    if backend == "torch":
        return HalfPart(part) if half else part
    with torch.inference_mode():
        results, form = tree_flatten(part.eval()(*arguments))
    graph = _as_onnx(part, arguments, axes, len(results))
    return CompiledPart(load_graph(graph, backend, half, threads), [tensor[:0] for tensor in results], form)


def _as_onnx(part: nn.Module, arguments: tuple[Any, ...], axes: Sequence[int], results: int) -> bytes:
    given, form = tree_flatten(arguments)
    inputs, outputs = [f"in{n}" for n in range(len(given))], [f"out{n}" for n in range(results)]
    sides = {name: {axis: f"{name}_{axis}" for axis in axes} for name in inputs}
    return export_onnx(_Flat(part, form), tuple(given), inputs, outputs, sides)


class _Flat(nn.Module):
    """A part as exporters want it: tensors in, a tuple of tensors out."""

    def __init__(self, part: nn.Module, form: TreeSpec) -> None:
        super().__init__()
        self.part = part
        self.form = form

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_flatten(self.part(*tree_unflatten(given, self.form)))[0])


def export_onnx(
    network: nn.Module,
    given: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    sides: Mapping[str, Mapping[int, str]],
) -> bytes:
    """A network as ONNX.

    Args:
        network: In evaluation mode; tensors in, a tuple of tensors out.
        given: What it is given, for example.
        inputs: Names of what it is given.
        outputs: Names of what it gives.
        sides: By the name of an input or output, names of its sides that differ from call to call, by axis.
    """
    file = io.BytesIO()
    with quiet_exporters():
        torch.onnx.export(
            network,
            given,
            file,  # type: ignore[arg-type] # the older exporter takes it
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=sides,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter follows no shape that depends on what is found in a picture
        )
    return file.getvalue()


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Lets exporters see plain operators, and keeps to itself what they say to those who write networks."""
    speakers = [logging.getLogger(name) for name in ("torch.onnx", "torch.jit")]
    levels = [speaker.level for speaker in speakers]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # one operator for all of an attention, which ONNX does not know
        for speaker in speakers:
            speaker.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for speaker, level in zip(speakers, levels, strict=True):
            speaker.setLevel(level)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Puts, in place, each batch norm that follows a convolution into that convolution; the function stays the same.

    What follows what is told by the order of a sequence, and elsewhere by torchvision's names: bn1 follows conv1. Other
    batch norms stay. The network is set to evaluation.
    """
    for module in list(model.eval().modules()):
        for first, second in _followed(module):
            convolution, norm = module.get_submodule(first), module.get_submodule(second)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return model


def _followed(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of a module's parts, of which the second one takes what the first one gives, and nothing else does."""
    names = [name for name, _ in module.named_children()]
    if isinstance(module, nn.Sequential | IntermediateLayerGetter):
        return pairwise(names)
    pairs = ((name, name.replace("conv", "bn")) for name in names if name.startswith("conv"))
    return (pair for pair in pairs if pair[1] in names)


HALF = torch.float16


class HalfPart(nn.Module):
    """Computes a part of a network in half precision; what it takes and gives, in lists, tuples and dicts, is float32.

    What is around it keeps full precision, unlike under autocast, where all that follows from a layer's output is
    rounded as that is: half precision tells pixels beyond 1,024 apart, but nothing finer.
    """

    def __init__(self, part: nn.Module) -> None:
        """Takes the part and rounds its weights, in place."""
        super().__init__()
        self.part = part.to(HALF)

    def forward(self, *arguments: Any) -> Any:
        return tree_map(_as_float, self.part(*tree_map(_as_half, arguments)))


def _as_half(value: Any) -> Any:
    return value.to(HALF) if isinstance(value, Tensor) and value.is_floating_point() else value


def _as_float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
