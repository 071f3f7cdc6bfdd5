"""Weights of trained networks in files: our trainers' .safetensors and .ckpt, and what torch.save wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracker.errors import InputError
from tracker.weights import HEADER, ModelInfo, load_model, read_info

State = dict[str, Tensor]
CHECKPOINT_PREFIX = "model."  # of the network's arrays among a checkpoint's


def read_weights(path: Path, task: str) -> tuple[State, ModelInfo]:
    """A network's weights and what they are, from a .safetensors or .ckpt file of our trainers; runs no code of it.

    Args:
        path: The file.
        task: What the network is for: `ModelInfo.task`.

    Raises:
        InputError: The file is missing, damaged, or of a network for another task.
    """
    if path.suffix == ".ckpt":
        state, info = _read_checkpoint(path)
    else:
        arrays, info = load_model(path)
        state = {key: torch.from_numpy(value) for key, value in arrays.items()}
    if info.task != task:
        raise InputError(f"{path} is a model for {info.task}, not for {task}")
    return state, info


def _read_checkpoint(path: Path) -> tuple[State, ModelInfo]:
    content = load_pickled(path)
    info = read_info(str(content.get(HEADER, "")), path)
    state: State = content.get("state_dict", {})
    return {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in state.items() if k.startswith(CHECKPOINT_PREFIX)}, info


def load_pickled(path: Path) -> Mapping[str, Any]:
    """What torch.save wrote, a mapping by name; runs no code of the file.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged files break torch.load in every way that there is
        raise InputError(f"{path} is not a readable file of PyTorch's that holds only arrays") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds no arrays by name")
    return content
