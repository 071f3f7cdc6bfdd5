"""Inference libraries that run a network's graph on a CPU faster than PyTorch does: OpenVINO and ONNX Runtime."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.models.runtime.device import AnyDevice, count_threads

log = logging.getLogger(__name__)

GraphFunction = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]
"""A function that runs a graph: C-contiguous input arrays in the graph's order -> output arrays in the graph's order.
Each calling thread computes on one core, so that results do not depend on the number of threads."""

EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}  # package extra by backend, the fastest backend first
_OPENVINO_LOCK = threading.Lock()
HALF_PRECISION_HINTS = {"BF16": "bf16", "FP16": "f16"}  # OpenVINO's name of a CPU's capability -> its precision hint


def choose_backend(name: str, device: AnyDevice, precision: str = "auto") -> str:
    """Returns the backend that runs the networks: torch, openvino or onnxruntime.

    Args:
        name: One of them, or auto: the fastest installed one that supports device and precision; on a GPU torch.
        device: The device of the networks.
        precision: auto, fp32 or half.

    Raises:
        InputError: The backend is not installed, or does not support the device or the precision.
    """
    if name == "auto":
        usable = [backend for backend in EXTRAS if _unusable_reason(backend, device, precision) == ""]
        return usable[0] if usable else "torch"
    reason = _unusable_reason(name, device, precision)
    if reason:
        raise InputError(reason)
    return name


def _unusable_reason(backend: str, device: AnyDevice, precision: str) -> str:
    """Returns the error message for a backend that cannot be used; empty if it can."""
    if backend == "torch":
        return ""
    if device.type != "cpu":
        return f"{backend} runs on the CPU, not on {device}: leave --backend out, or give --device cpu"
    if backend == "onnxruntime" and precision == "half":
        return "onnxruntime runs in full precision only: leave --precision out, or give another --backend"
    missing = [package for package in (backend, "onnx") if find_spec(package) is None]
    if missing:
        return f"the backend {backend} needs the package {missing[0]}: pip install 'video-tracker[{EXTRAS[backend]}]'"
    return ""


def load_graph(graph: bytes | Path, backend: str, half: bool, threads: int) -> GraphFunction:
    """Loads a graph and returns the function that runs it.

    Args:
        graph: ONNX in memory, or a file: .onnx, for OpenVINO also .xml beside its .bin.
        backend: openvino or onnxruntime.
        half: Run in half precision.
        threads: Number of threads that will call the function at the same time, 0 for the number of cores.

    Raises:
        InputError: The CPU does not support half precision.
    """
    if backend == "openvino":
        return _load_openvino_graph(graph, half, count_threads(threads))
    return _load_onnxruntime_graph(graph)


def _load_openvino_graph(graph: bytes | Path, half: bool, threads: int) -> GraphFunction:
    with _OPENVINO_LOCK:
        _initialize_openvino()
        core = openvino_core()
    settings: Mapping[str, Any] = {
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,  # one per stream
        "INFERENCE_PRECISION_HINT": _half_precision_hint(core) if half else "f32",
        "ENABLE_CPU_PINNING": False,  # other threads read, draw and encode at the same time
    }
    model = core.compile_model(core.read_model(graph), "CPU", settings)
    local = threading.local()

    def run(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        if not hasattr(local, "request"):
            local.request = model.create_infer_request()
        return list(local.request.infer(list(arrays), share_inputs=True).values())

    return run


@cache
def _initialize_openvino() -> None:
    """Runs a tiny model, so that OpenVINO's Python bindings create their type tables now, in one thread.

    Otherwise they create them at the first inference, under a lock, and a second thread that waits for that lock does
    not release the interpreter's lock: two threads whose first inference is at the same time can deadlock.
    """
    openvino = load_openvino()
    from openvino import opset13

    parameter = opset13.parameter([1], openvino.Type.f32)
    model = openvino.Model([opset13.relu(parameter)], [parameter], "tables")
    request = openvino_core().compile_model(model, "CPU").create_infer_request()
    request.infer([np.zeros(1, np.float32)], share_inputs=True)


def load_onnxruntime() -> Any:
    """Imports ONNX Runtime without its telemetry.

    Unless this variable is set, importing it starts to send messages to its makers, with the names of graphs, and
    stores an identifier of the machine in the home folder.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def load_openvino() -> Any:
    """Imports OpenVINO without its telemetry.

    Importing it sends a message to its makers and stores an identifier of the user in the home folder, unless the
    package that does so is missing.
    """
    telemetry = "openvino_telemetry"
    hide = telemetry not in sys.modules
    if hide:
        sys.modules[telemetry] = None  # type: ignore[assignment] # documented in sys.modules: makes its import fail
    try:
        import openvino
    finally:
        if hide:
            del sys.modules[telemetry]
    return openvino


@cache
def openvino_core() -> Any:
    """Returns OpenVINO's runtime, loaded once and never unloaded.

    Its CPU plugin registers an alternate signal stack, for the large registers of some CPUs. When it is unloaded where
    there was no such stack before, it frees that memory but leaves it registered: the next Ctrl-C would crash.
    """
    return load_openvino().Core()


def _half_precision_hint(core: Any) -> str:
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for capability, hint in HALF_PRECISION_HINTS.items():
        if capability in capabilities:
            return hint
    raise InputError("this CPU does not support half precision: leave --precision out")


def _load_onnxruntime_graph(graph: bytes | Path) -> GraphFunction:
    session = load_session(graph, {})
    names = [node.name for node in session.get_inputs()]

    def run(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return session.run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]

    return run


def load_session(graph: bytes | Path, weights: Mapping[str, NDArray[np.float32]]) -> Any:
    """Loads a graph in ONNX Runtime, which computes it on one core in each thread that runs it.

    Args:
        graph: ONNX in memory, or an .onnx file.
        weights: The initializers that the graph names without holding them; they must outlive the session.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it reserves a block for each size of image, and is no quicker here
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    if values:
        options.add_external_initializers(list(weights), values)
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
