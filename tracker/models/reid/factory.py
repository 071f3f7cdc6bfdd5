"""Loads embedders and classifiers: the built-in embedder without PyTorch where that is possible, all others with it."""

from pathlib import Path

from tracker.errors import InputError, did_you_mean
from tracker.models.model_file import load_model
from tracker.models.reid.embedder import Classifier, Embedder
from tracker.models.runtime.backends import choose_backend
from tracker.models.runtime.device import AnyDevice, require_torch
from tracker.models.runtime.graphs import BACKEND, is_graph_backend

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"


def load_embedder(
    name: str, device: AnyDevice, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Embedder:
    """Loads an embedder; nothing is downloaded.

    Args:
        name: `builtin`, or the path of a .safetensors or .ckpt file that `train_embedder` wrote.
        device: The device to run on.
        half: Run in half precision.
        threads: CPU threads, 0 for all cores; results do not depend on it.
        backend: The backend of its body: torch, openvino, onnxruntime, or auto for the fastest.

    Raises:
        InputError: The name is unknown, or the file is missing, damaged, or not an embedder.

    Example:
        >>> import numpy as np
        >>> from tracker.models.runtime import find_device
        >>> image, boxes = np.zeros((120, 160, 3), np.uint8), np.array([[10, 20, 50, 100]], np.float32)
        >>> with load_embedder("builtin", find_device("cpu")) as embedder:
        ...     (embeddings,) = embedder.embed(embedder.upload([image]), [boxes])
        >>> embeddings.shape
        (1, 128)
    """
    path = embedder_path(name)
    if path == BUILTIN and is_graph_backend(backend, device, half):
        from tracker.models.reid.graph_crops import GraphCrops

        weights, info = load_model(path)
        return Embedder(GraphCrops(weights, info, path), info, device, threads, BACKEND)
    require_torch(f"the backend {backend}" if path == BUILTIN else "an embedder other than the built-in one")
    from tracker.models.reid.torch_crops import torch_embedder
    from tracker.models.reid.weights import load_network

    backend = choose_backend(backend, device, "half" if half else "fp32")
    return torch_embedder(*load_network(path, "embedding", half, threads, backend), device, threads, backend)


def load_classifier(
    path: Path, device: AnyDevice, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Classifier:
    """Loads a classifier that `train_classifier` wrote; the other arguments are those of `load_embedder`.

    Raises:
        InputError: The file is missing, damaged, or not a classifier.
    """
    require_torch("a classifier")
    from tracker.models.reid.torch_crops import torch_classifier
    from tracker.models.reid.weights import load_network

    backend = choose_backend(backend, device, "half" if half else "fp32")
    return torch_classifier(*load_network(path, "classification", half, threads, backend), device, threads, backend)


def embedder_path(name: str) -> Path:
    """Returns the file of an embedder's weights.

    Raises:
        InputError: The name is neither `builtin` nor the path of a .safetensors or .ckpt file.
    """
    if name == "builtin":
        return BUILTIN
    if not name.endswith((".safetensors", ".ckpt")):
        raise InputError(f"unknown embedder {name!r}{did_you_mean(name, ['builtin', 'none', 'a .safetensors file'])}")
    return Path(name)
