"""Weights of trained networks in files: our trainers' .safetensors and .ckpt, and what torch.save wrote."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.model_file import HEADER, ModelInfo, load_model, read_info

log = logging.getLogger(__name__)
State = dict[str, Tensor]
CHECKPOINT_PREFIX = "model."  # of the network's arrays among a checkpoint's


def read_weights(path: Path, *tasks: str) -> tuple[State, ModelInfo]:
    """A network's weights and what they are, from a .safetensors or .ckpt file of our trainers; runs no code of it.

    Args:
        path: The file.
        tasks: What the network may be for: `ModelInfo.task`.

    Raises:
        InputError: The file is missing, damaged, or of a network for another task.
    """
    if path.suffix == ".ckpt":
        state, info = _read_checkpoint(path)
    else:
        arrays, info = load_model(path)
        state = {key: torch.from_numpy(value) for key, value in arrays.items()}
    if info.task not in tasks:
        raise InputError(f"{path} is a model for {info.task}, not for {' or '.join(tasks)}")
    return state, info


def _read_checkpoint(path: Path) -> tuple[State, ModelInfo]:
    content = load_pickled(path)
    info = read_info(str(content.get(HEADER, "")), path)
    state: State = content.get("state_dict", {})
    return {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in state.items() if k.startswith(CHECKPOINT_PREFIX)}, info


def load_fitting(model: nn.Module, found: State, architecture: str, source: str) -> None:
    """Puts what fits of trained weights into an untrained network, and logs how much that is.

    Args:
        model: The network; an array fits where one has its name and shape.
        found: The arrays.
        architecture: Name of the network.
        source: Name of the weights.

    Raises:
        InputError: Nothing fits.
    """
    own = model.state_dict()
    fitting = {key: value for key, value in found.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise InputError(f"nothing of {source} fits {architecture}")
    model.load_state_dict(fitting, strict=False)
    noise = sorted({".".join(key.split(".")[:2]) for key in own.keys() - fitting.keys()})
    count = f"{len(fitting)} of {len(own)} arrays"
    log.info("%s start from %s; wholly or in part from noise start: %s", count, source, ", ".join(noise) or "none")


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
