"""Weights in files: our trainer's .safetensors and .ckpt, and torchvision's own."""

import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from tracker.config import DetectorNetwork, detector_network
from tracker.config.network import FIRST_BUILTIN
from tracker.errors import InputError
from tracker.weights import HEADER, ModelInfo, load_model, read_info

State = dict[str, Tensor]
BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"
CHECKPOINT_PREFIX = "model."  # of the network's arrays among a checkpoint's


def read_weights(path: Path) -> tuple[State, ModelInfo]:
    """A detector's weights and what they are, from a .safetensors or .ckpt file of our trainer; runs no code of it.

    Raises:
        InputError: The file is missing, damaged, or not one of our detectors.
    """
    if path.suffix == ".ckpt":
        state, info = _read_checkpoint(path)
    else:
        arrays, info = load_model(path)
        state = {key: torch.from_numpy(value) for key, value in arrays.items()}
    if info.task != "detection":
        raise InputError(f"{path} is a model for {info.task}, not for detection")
    return state, info


def network_of(info: ModelInfo, where: str) -> DetectorNetwork:
    """What a detector is made of, as its file says.

    Raises:
        InputError: The description is not understood.
    """
    return detector_network(info.network or FIRST_BUILTIN, where)


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


@contextmanager
def downloading(weights: Any) -> Iterator[None]:
    """Says in one sentence why torchvision cannot give weights of its own.

    Args:
        weights: A member of one of torchvision's enumerations of weights.

    Raises:
        InputError: They cannot be downloaded, or are damaged.
    """
    path = torchvisions_path(weights)
    try:
        yield
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"cannot download {weights.url} ({error}); put the file at {path}") from None
    except RuntimeError as error:
        raise InputError(f"the weights at {path} are damaged ({error}); delete them and try again") from None


def torchvisions_state(weights: Any) -> State:
    """Torchvision's own arrays, downloaded where they are not in its cache.

    Raises:
        InputError: As `downloading`.
    """
    with downloading(weights):
        return weights.get_state_dict(progress=False, check_hash=True)  # type: ignore[no-any-return]


def torchvisions_path(weights: Any) -> Path:
    """Where torchvision keeps them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def default_weights(name: str) -> Any:
    """The best that torchvision has for one of its networks."""
    return torchvision.models.get_model_weights(name).DEFAULT
