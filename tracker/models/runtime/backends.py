"""Libraries that compute the graph of a network on a CPU faster than PyTorch does."""

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
import torch
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.models.runtime.device import count_threads

log = logging.getLogger(__name__)

Run = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]
"""Computes a graph: its inputs, C-contiguous and in their order -> its outputs in theirs. Each thread that calls it
gets one core to itself, so that what it says does not depend on how many there are."""

EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}  # by backend, the fastest first; ONNX is what they read
_ONE_BY_ONE = threading.Lock()
HALF = {"BF16": "bf16", "FP16": "f16"}  # what OpenVINO says that a CPU can do, and how to ask for it


def choose_backend(name: str, device: torch.device, precision: str = "auto") -> str:
    """What computes networks: torch, openvino or onnxruntime.

    Args:
        name: One of them, or auto: the fastest one that is installed and can do it; on a GPU torch.
        device: Where.
        precision: auto, fp32 or half.

    Raises:
        InputError: It is not installed, or cannot compute there or so.
    """
    if name == "auto":
        able = [known for known in EXTRAS if _lacks(known, device, precision) == ""]
        return able[0] if able else "torch"
    reason = _lacks(name, device, precision)
    if reason:
        raise InputError(reason)
    return name


def _lacks(backend: str, device: torch.device, precision: str) -> str:
    """Why a backend cannot be used; nothing where it can."""
    if backend == "torch":
        return ""
    if device.type != "cpu":
        return f"{backend} computes on the CPU, not on {device}: leave --backend out, or give --device cpu"
    if backend == "onnxruntime" and precision == "half":
        return "onnxruntime computes in full precision here: leave --precision out, or give another --backend"
    missing = [package for package in (backend, "onnx") if find_spec(package) is None]
    if missing:
        return f"the backend {backend} needs the package {missing[0]}: pip install 'tracker[{EXTRAS[backend]}]'"
    return ""


def load_graph(graph: bytes | Path, backend: str, half: bool, threads: int) -> Run:
    """Makes a graph ready to be computed.

    Args:
        graph: ONNX in memory, or a file: .onnx, for OpenVINO also .xml beside its .bin.
        backend: openvino or onnxruntime.
        half: Compute in half precision.
        threads: How many threads will compute at a time, 0 for as many as there are cores.

    Raises:
        InputError: The CPU cannot compute in half precision.
    """
    if backend == "openvino":
        return _with_openvino(graph, half, count_threads(threads))
    return _with_onnxruntime(graph)


def _with_openvino(graph: bytes | Path, half: bool, threads: int) -> Run:

    with _ONE_BY_ONE:
        _make_tables()
        core = openvino_core()
    settings: Mapping[str, Any] = {
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,  # one for each stream
        "INFERENCE_PRECISION_HINT": _half_of(core) if half else "f32",
        "ENABLE_CPU_PINNING": False,  # other threads read, draw and encode meanwhile
    }
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    own = threading.local()

    def run(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return list(own.request.infer(list(arrays), share_inputs=True).values())

    return run


@cache
def _make_tables() -> None:
    """Lets OpenVINO's Python bindings make their tables of types, by computing something.

    They make them when they are first needed, and hold a lock meanwhile, without which another thread that needs them
    does not give up the interpreter's: two threads that compute for the first time can wait for each other for ever.
    """
    openvino = load_openvino()
    from openvino import opset13

    given = opset13.parameter([1], openvino.Type.f32)
    model = openvino.Model([opset13.relu(given)], [given], "tables")
    request = openvino_core().compile_model(model, "CPU").create_infer_request()
    request.infer([np.zeros(1, np.float32)], share_inputs=True)


def load_onnxruntime() -> Any:
    """ONNX Runtime's Python package, loaded so that it tells nobody.

    To import it begins to send messages to its makers, the names of graphs among them, and leaves a number in the home
    folder by which they know the machine, unless this is set.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def load_openvino() -> Any:
    """OpenVINO's Python package, loaded so that it tells nobody.

    To import it sends a message to its makers, and leaves a number in the home folder by which they know the user,
    unless the package that does so is missing.
    """
    sender = "openvino_telemetry"
    hidden = sender not in sys.modules
    if hidden:
        sys.modules[sender] = None  # type: ignore[assignment] # as the documentation of sys.modules has it
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[sender]
    return openvino


@cache
def openvino_core() -> Any:
    """OpenVINO's runtime, loaded once and for good.

    Its CPU plugin gives signals a stack of their own, for the large registers of some CPUs, and takes that memory away
    when it is unloaded, without telling the system where there was none before: the next Ctrl-C would end the process.
    """
    return load_openvino().Core()


def _half_of(core: Any) -> str:
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for name, hint in HALF.items():
        if name in able:
            return hint
    raise InputError("this CPU cannot compute in half precision: leave --precision out")


def _with_onnxruntime(graph: bytes | Path) -> Run:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return session.run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]

    return run
