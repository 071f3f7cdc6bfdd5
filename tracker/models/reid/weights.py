"""Loads embedders and classifiers with their weights from the trainers' files."""

from pathlib import Path

import torch

from tracker.config import EmbedderNetwork, validate_section
from tracker.errors import InputError, did_you_mean
from tracker.models.model_file import ModelInfo
from tracker.models.reid.embedder import Classifier, Embedder
from tracker.models.reid.network import AppearanceNetwork, build_embedder
from tracker.models.runtime import BATCH_AXES, check_size, compile_module, fold_batch_norm, read_weights

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"


def load_embedder(
    name: str, device: torch.device, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Embedder:
    """Loads an embedder; nothing is downloaded.

    Args:
        name: `builtin`, or the path of a .safetensors or .ckpt file that `train_embedder` wrote.
        device: The device to run on.
        half: Run in half precision.
        threads: CPU threads, 0 for all cores; results do not depend on it.
        backend: The backend of its body: torch, openvino or onnxruntime.

    Raises:
        InputError: The name is unknown, or the file is missing, damaged, or not an embedder.

    Example:
        >>> import numpy as np
        >>> image, boxes = np.zeros((120, 160, 3), np.uint8), np.array([[10, 20, 50, 100]], np.float32)
        >>> with load_embedder("builtin", torch.device("cpu")) as embedder:
        ...     (embeddings,) = embedder.embed(embedder.upload([image]), [boxes])
        >>> embeddings.shape
        (1, 128)
    """
    network, info = read_network(embedder_path(name), "embedding")
    _optimize(network, info, half, threads, backend)
    return Embedder(network, info, device, threads, backend)


def load_classifier(
    path: Path, device: torch.device, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Classifier:
    """Loads a classifier that `train_classifier` wrote; the other arguments are those of `load_embedder`.

    Raises:
        InputError: The file is missing, damaged, or not a classifier.
    """
    network, info = read_network(path, "classification")
    _optimize(network, info, half, threads, backend)
    return Classifier(network, info, device, threads, backend)


def _optimize(network: AppearanceNetwork, info: ModelInfo, half: bool, threads: int, backend: str) -> None:
    """Folds batch norms and compiles the body for a backend, in place."""
    fold_batch_norm(network)
    example = (torch.zeros(2, 3, *info.size),)
    network.body = compile_module(network.body, example, BATCH_AXES, backend, half, threads)


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


def read_network(path: Path, task: str) -> tuple[AppearanceNetwork, ModelInfo]:
    """Builds the network of a model file and loads its weights; runs no code from the file.

    Args:
        path: A .safetensors or .ckpt file of our trainer.
        task: `embedding` or `classification`.

    Raises:
        InputError: The file is missing, damaged, or for another task.
    """
    state, info = read_weights(path, task)
    settings = validate_section(EmbedderNetwork, info.network, str(path))
    num_classes = len(info.categories) if task == "classification" else 0
    check_size(lambda: build_embedder(settings, info.size, num_classes), state, info, path)
    network = build_embedder(settings, info.size, num_classes)
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise InputError(f"{path} does not hold the weights of a {info.architecture} network: train it again") from None
    return network, info
