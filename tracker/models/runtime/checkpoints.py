"""Weights of trained networks in files: the trainers' .safetensors and .ckpt, and files that torch.save wrote."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.model_file import METADATA_KEY, ModelInfo, load_model, parse_info

log = logging.getLogger(__name__)
StateDict = dict[str, Tensor]
CHECKPOINT_PREFIX = "model."  # of the network's arrays in a checkpoint


def read_weights(path: Path, *tasks: str) -> tuple[StateDict, ModelInfo]:
    """Reads the weights and the description of a network from a .safetensors or .ckpt file; runs no code from it.

    Args:
        path: A file that one of our trainers wrote.
        tasks: The accepted values of `ModelInfo.task`.

    Raises:
        InputError: The file is missing, damaged, or holds a network for another task.
    """
    if path.suffix == ".ckpt":
        state, info = _read_checkpoint(path)
    else:
        arrays, info = load_model(path)
        state = {key: torch.from_numpy(value) for key, value in arrays.items()}
    if info.task not in tasks:
        raise InputError(f"{path} is a model for {info.task}, not for {' or '.join(tasks)}")
    return state, info


def _read_checkpoint(path: Path) -> tuple[StateDict, ModelInfo]:
    content = load_torch_file(path)
    info = parse_info(str(content.get(METADATA_KEY, "")), path)
    state: StateDict = content.get("state_dict", {})
    return {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in state.items() if k.startswith(CHECKPOINT_PREFIX)}, info


def load_matching_weights(model: nn.Module, state: StateDict, architecture: str, source: str) -> None:
    """Loads the arrays that match an untrained network by name and shape, and logs how many do.

    Args:
        model: The network.
        state: The trained arrays.
        architecture: Name of the network, for messages.
        source: Name of the weights, for messages.

    Raises:
        InputError: No array matches.
    """
    own = model.state_dict()
    matching = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if not matching:
        raise InputError(f"no weights of {source} match {architecture}")
    model.load_state_dict(matching, strict=False)
    random = sorted({".".join(key.split(".")[:2]) for key in own.keys() - matching.keys()})
    count = f"{len(matching)} of {len(own)} arrays"
    log.info("loaded %s from %s; randomly initialized, all or in part: %s", count, source, ", ".join(random) or "none")


def load_torch_file(path: Path) -> Mapping[str, Any]:
    """Reads a mapping by name that torch.save wrote; runs no code from the file.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged files make torch.load raise errors of many types
        raise InputError(f"{path} is not a readable PyTorch file that holds only arrays") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds no arrays by name")
    return content
