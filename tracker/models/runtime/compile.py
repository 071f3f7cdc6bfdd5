"""Modules that run in half precision or by another backend in place of PyTorch, ONNX export, and folded batch norms."""

import io
import logging
import threading
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

from tracker.models.runtime.backends import GraphFunction, load_graph

BATCH_AXES = (0,)
FEATURE_MAP_AXES = (0, 2, 3)
"""Dynamic axes of a module's tensors: the batch size alone; the batch size, the height and the width."""

_EXPORTER_LOCK = threading.RLock()
"""PyTorch's exporters keep their state in globals of the process, and so do warnings and levels of loggers."""

OPSET = 17  # the newest ONNX opset in which all modules can be exported


class CompiledModule(nn.Module):
    """A drop-in replacement of a module: the same lists, tuples and dicts of float32 tensors in and out."""

    def __init__(self, run: GraphFunction, empty: Sequence[Tensor], spec: TreeSpec) -> None:
        """Takes the function that runs the module's graph, its outputs for an empty batch, and their structure."""
        super().__init__()
        self._run = run
        self._empty = empty
        self._spec = spec

    def forward(self, *arguments: Any) -> Any:
        inputs = tree_flatten(arguments)[0]
        outputs = self._empty
        if all(len(tensor) for tensor in inputs):
            outputs = [torch.from_numpy(array) for array in self._run([t.contiguous().numpy() for t in inputs])]
        return tree_unflatten(outputs, self._spec)


def compile_module(
    module: nn.Module, arguments: tuple[Any, ...], axes: Sequence[int], backend: str, half: bool, threads: int
) -> nn.Module:
    """Returns a module with the same float32 tensors in and out, up to rounding, that runs on a backend.

    Args:
        module: The module; its computation may depend on its inputs only through tensors.
        arguments: Example inputs; inputs of other sizes get the same arithmetic.
        axes: Dynamic axes of all tensors, axis 0 among them.
        backend: torch, openvino or onnxruntime; with torch and without `half` the module itself is returned.
        half: Run in half precision.
        threads: Number of threads that will call the module at the same time, 0 for the number of cores.
    """
    if backend == "torch":
        return HalfPrecisionModule(module) if half else module
    with torch.inference_mode():
        outputs, spec = tree_flatten(module.eval()(*arguments))
    graph = _to_onnx(module, arguments, axes, len(outputs))
    return CompiledModule(load_graph(graph, backend, half, threads), [tensor[:0] for tensor in outputs], spec)


def _to_onnx(module: nn.Module, arguments: tuple[Any, ...], axes: Sequence[int], num_outputs: int) -> bytes:
    tensors, spec = tree_flatten(arguments)
    inputs, outputs = [f"in{n}" for n in range(len(tensors))], [f"out{n}" for n in range(num_outputs)]
    dynamic_axes = {name: {axis: f"{name}_{axis}" for axis in axes} for name in inputs}
    return export_onnx(_FlatModule(module, spec), tuple(tensors), inputs, outputs, dynamic_axes)


class _FlatModule(nn.Module):
    """A wrapper for exporters, which need tensors in and a tuple of tensors out."""

    def __init__(self, module: nn.Module, spec: TreeSpec) -> None:
        super().__init__()
        self.module = module
        self.spec = spec

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_flatten(self.module(*tree_unflatten(tensors, self.spec)))[0])


def export_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_axes: Mapping[str, Mapping[int, str]],
    fold: bool = True,
) -> bytes:
    """Returns a network as serialized ONNX.

    Args:
        network: In evaluation mode; tensors in, a tuple of tensors out.
        example: Example inputs.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        dynamic_axes: By name of an input or output: the names of its dynamic axes, by axis.
        fold: Fold constants and batch norms; otherwise all weights keep their names.
    """
    mode = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
    file = io.BytesIO()
    with quiet_exporters():
        torch.onnx.export(
            network,
            example,
            file,  # type: ignore[arg-type] # the older exporter takes it
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=dynamic_axes,
            opset_version=OPSET,
            training=mode,
            do_constant_folding=fold,
            dynamo=False,  # the newer exporter cannot export shapes that depend on the number of detections
        )
    return file.getvalue()


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silences the exporters' log messages and warnings, and has attention computed by operators that ONNX has.

    Only one thread at a time is inside.
    """
    with _EXPORTER_LOCK:
        yield from _quiet_exporters()


def _quiet_exporters() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.jit")]
    levels = [logger.level for logger in loggers]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # a single fused attention operator, which ONNX lacks
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Folds, in place, each batch norm that follows a convolution into that convolution; the function stays the same.

    The order of a Sequential gives the successor of a module; elsewhere torchvision's names do: bn1 follows conv1.
    Other batch norms stay. The network is set to evaluation mode.
    """
    for module in list(model.eval().modules()):
        for first, second in _successive_children(module):
            convolution, norm = module.get_submodule(first), module.get_submodule(second)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return model


def _successive_children(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yields pairs of children's names where the output of the first is used by the second and by nothing else."""
    names = [name for name, _ in module.named_children()]
    if isinstance(module, nn.Sequential | IntermediateLayerGetter):
        return pairwise(names)
    pairs = ((name, name.replace("conv", "bn")) for name in names if name.startswith("conv"))
    return (pair for pair in pairs if pair[1] in names)


class HalfPrecisionModule(nn.Module):
    """A wrapper that runs a module in float16; its inputs and outputs, in lists, tuples and dicts, stay float32.

    Everything outside the module keeps full precision, unlike under autocast, where all that is computed from a
    layer's output is rounded like that output: beyond 1,024, float16 represents whole pixels only.
    """

    def __init__(self, module: nn.Module) -> None:
        """Takes the module and rounds its weights, in place."""
        super().__init__()
        self.module = module.to(torch.float16)

    def forward(self, *arguments: Any) -> Any:
        return tree_map(_to_float32, self.module(*tree_map(_to_float16, arguments)))


def _to_float16(value: Any) -> Any:
    return value.half() if isinstance(value, Tensor) and value.is_floating_point() else value


def _to_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
