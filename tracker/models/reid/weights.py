"""Loads the networks of embedders and classifiers with their weights from the trainers' files."""

from pathlib import Path

import torch

from tracker.config import EmbedderNetwork, validate_section
from tracker.errors import InputError
from tracker.models.model_file import ModelInfo
from tracker.models.reid.network import AppearanceNetwork, build_embedder
from tracker.models.runtime import BATCH_AXES, check_size, compile_module, fold_batch_norm, read_weights


def load_network(path: Path, task: str, half: bool, threads: int, backend: str) -> tuple[AppearanceNetwork, ModelInfo]:
    """Loads a network, folds its batch norms, and compiles its body for a backend; errors are those of `read_network`.

    Args:
        path: See `read_network`.
        task: See `read_network`.
        half: Run in half precision.
        threads: CPU threads that will call it at the same time, 0 for the number of cores.
        backend: torch, openvino or onnxruntime.
    """
    network, info = read_network(path, task)
    fold_batch_norm(network)
    example = (torch.zeros(2, 3, *info.size),)
    network.body = compile_module(network.body, example, BATCH_AXES, backend, half, threads)
    return network, info


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
