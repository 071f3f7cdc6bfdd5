"""Appearance networks in .safetensors files of our trainer."""

from pathlib import Path

import torch

from tracker.config import EmbedderNetwork, validated
from tracker.errors import InputError, did_you_mean
from tracker.models.model_file import ModelInfo
from tracker.models.reid.embedder import Classifier, Embedder
from tracker.models.reid.network import AppearanceNetwork, build_embedder
from tracker.models.runtime import ROWS, compiled, fold_batch_norm, read_weights

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"


def load_embedder(
    name: str, device: torch.device, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Embedder:
    """Loads an embedder; nothing is downloaded.

    Args:
        name: `builtin`, or the path of a .safetensors or .ckpt file that `train_embedder` wrote.
        device: Where it is to run.
        half: Compute in half precision.
        threads: CPU threads, 0 for all cores; results do not depend on it.
        backend: What computes its body: torch, openvino or onnxruntime.

    Raises:
        InputError: The name is unknown, or the file is missing, damaged, or no embedder.
    """
    network, info = read_network(embedder_path(name), "embedding")
    _make_ready(network, info, half, threads, backend)
    return Embedder(network, info, device, threads, backend)


def load_classifier(
    path: Path, device: torch.device, half: bool = False, threads: int = 0, backend: str = "torch"
) -> Classifier:
    """Loads a classifier that `train_classifier` wrote; arguments as those of `load_embedder`.

    Raises:
        InputError: The file is missing, damaged, or no classifier.
    """
    network, info = read_network(path, "classification")
    _make_ready(network, info, half, threads, backend)
    return Classifier(network, info, device, threads, backend)


def _make_ready(network: AppearanceNetwork, info: ModelInfo, half: bool, threads: int, backend: str) -> None:
    """Makes a network fast, in place."""
    fold_batch_norm(network)
    network.body = compiled(network.body, (torch.zeros(2, 3, *info.size),), ROWS, backend, half, threads)


def embedder_path(name: str) -> Path:
    """The file that an embedder's weights come from.

    Raises:
        InputError: The name is neither `builtin` nor that of a .safetensors or .ckpt file.
    """
    if name == "builtin":
        return BUILTIN
    if not name.endswith((".safetensors", ".ckpt")):
        raise InputError(f"unknown embedder {name!r}{did_you_mean(name, ['builtin', 'none', 'a .safetensors file'])}")
    return Path(name)


def read_network(path: Path, task: str) -> tuple[AppearanceNetwork, ModelInfo]:
    """The network of a model file, with its weights, and what the file says of it; runs no code of it.

    Args:
        path: A .safetensors or .ckpt file of our trainer.
        task: `embedding` or `classification`.

    Raises:
        InputError: The file is missing, damaged, or of another task.
    """
    state, info = read_weights(path, task)
    made_of = validated(EmbedderNetwork, info.network, str(path))
    network = build_embedder(made_of, info.size, len(info.categories) if task == "classification" else 0)
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise InputError(f"{path} does not hold the weights of a network {info.architecture}: train it again") from None
    return network, info
