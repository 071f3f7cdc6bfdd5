"""Weights of detectors: our trainer's, and torchvision's own."""

import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision

from tracker.config import DetectorNetwork, detector_network
from tracker.errors import InputError
from tracker.models import runtime
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import State

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"


def read_weights(path: Path) -> tuple[State, ModelInfo]:
    """A detector's weights and what they are, from a file of our trainer; runs no code of it.

    Raises:
        InputError: The file is missing, damaged, or not one of our detectors.
    """
    return runtime.read_weights(path, "detection")


def network_of(info: ModelInfo, where: str) -> DetectorNetwork:
    """What a detector is made of, as its file says.

    Raises:
        InputError: The description is not understood.
    """
    return detector_network(info.network or {"architecture": info.architecture}, where)


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
