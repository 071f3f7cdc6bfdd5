"""Weights of trained networks in files: the trainers' .safetensors and .ckpt, and files that torch.save wrote."""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.model_file import METADATA_KEY, ModelInfo, load_model, parse_info

log = logging.getLogger(__name__)
StateDict = dict[str, Tensor]
USUAL_NUMBER = 1024
"""Largest number of channels, classes and so on up to which the description of a network is not checked beforehand."""
_NO_SIZE = re.compile("rpn_|box_|min_size|max_size")  # settings of which the size of a network does not depend
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
        try:
            state = {key: torch.from_numpy(value) for key, value in arrays.items()}
        except TypeError as error:  # a type of numbers that PyTorch lacks
            raise InputError(f"{path} is not a readable .safetensors model: {error}") from None
    if info.task not in tasks:
        raise InputError(f"{path} is a model for {info.task}, not for {' or '.join(tasks)}")
    return state, info


def _read_checkpoint(path: Path) -> tuple[StateDict, ModelInfo]:
    content = load_torch_file(path)
    info = parse_info(str(content.get(METADATA_KEY, "")), path)
    state = content.get("state_dict", {})
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no weights by name: train it again")
    return {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in state.items() if k.startswith(CHECKPOINT_PREFIX)}, info


def check_size(build: Callable[[], nn.Module], state: StateDict, info: ModelInfo, path: Path) -> None:
    """Checks the weights of a file against the network that it describes, if that may be too large for the memory.

    A damaged description may be that of a network of any size. One with an unusual number in it is first built without
    memory for its weights.

    Args:
        build: Builds the network.
        state: The weights in the file.
        info: The description in the file.
        path: The file, for messages.

    Raises:
        InputError: They are not the weights of such a network.
    """
    numbers = [value for name, value in info.network.items() if isinstance(value, int) and not _NO_SIZE.match(name)]
    if max([*numbers, len(info.categories)]) <= USUAL_NUMBER:
        return
    try:
        with torch.device("meta"):
            own = {key: value.shape for key, value in build().state_dict().items()}
    except (RuntimeError, OverflowError, MemoryError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} describes a network that cannot be built: {reason}") from None
    wrong = [key for key in {**own, **state} if key not in own or key not in state or own[key] != state[key].shape]
    if wrong:
        raise InputError(f"{path} does not fit its architecture: {wrong[0]} is not as it should be; train it again")


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
