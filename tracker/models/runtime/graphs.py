"""Graphs of the built-in networks in ONNX, without their weights: ONNX Runtime computes them without PyTorch."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.models.runtime.backends import load_session
from tracker.models.runtime.device import AnyDevice

Arrays = Mapping[str, NDArray[Any]]
BACKEND = "onnxruntime"


class Graph:
    """A graph in an .onnx file that takes its weights, by name, from the arrays of a .safetensors file.

    So the graph changes with the architecture alone, and a network that is trained again has the same one.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs.
    """

    def __init__(self, path: Path, weights: Arrays) -> None:
        """Loads a graph with exactly the weights that it has."""
        # ONNX Runtime computes with these arrays themselves, so they have to live as long as the session.
        self._weights = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
        self._session = load_session(path, self._weights)
        self.inputs = [node.name for node in self._session.get_inputs()]
        self.outputs = [node.name for node in self._session.get_outputs()]

    def run(self, outputs: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        """Computes outputs from inputs, both by name, in the calling thread on one core."""
        return self._session.run(list(outputs), dict(inputs))  # type: ignore[no-any-return]


def is_graph_backend(backend: str, device: AnyDevice, half: bool) -> bool:
    """Returns True if the built-in networks can be computed without PyTorch.

    Args:
        backend: torch, openvino, onnxruntime or auto.
        device: The device of the networks.
        half: Run in half precision.
    """
    wanted = backend in ("auto", BACKEND) and device.type == "cpu" and not half
    return wanted and find_spec(BACKEND) is not None
