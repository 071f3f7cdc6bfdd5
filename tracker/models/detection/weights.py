"""Reads the weights of detectors: our trainer's files, and torchvision's own weights."""

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
from tracker.models.runtime import StateDict


def read_weights(path: Path) -> tuple[StateDict, ModelInfo]:
    """Reads a detector's weights and description from a file of our trainer; runs no code from it.

    Raises:
        InputError: The file is missing, damaged, or not one of our detectors.

    Example:
        >>> from tracker.models.detection import BUILTIN
        >>> read_weights(BUILTIN)[1].architecture
        'builtin'
    """
    return runtime.read_weights(path, "detection")


def network_from_info(info: ModelInfo, where: str) -> DetectorNetwork:
    """Returns the network settings that a detector's file holds.

    Raises:
        InputError: The settings are not valid.
    """
    return detector_network(info.network or {"architecture": info.architecture}, where)


@contextmanager
def download_errors(weights: Any) -> Iterator[None]:
    """Turns errors while torchvision loads its weights into an InputError.

    Args:
        weights: A member of one of torchvision's enumerations of weights.

    Raises:
        InputError: The weights cannot be downloaded, or are damaged.
    """
    path = torchvision_weights_path(weights)
    try:
        yield
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"cannot download {weights.url} ({error}); put the file at {path}") from None
    except RuntimeError as error:
        raise InputError(f"the weights at {path} are damaged ({error}); delete them and try again") from None


def torchvision_state_dict(weights: Any) -> StateDict:
    """Returns torchvision's arrays, downloaded if they are not in its cache.

    Raises:
        InputError: The weights cannot be downloaded, or are damaged.
    """
    with download_errors(weights):
        return weights.get_state_dict(progress=False, check_hash=True)  # type: ignore[no-any-return]


def torchvision_weights_path(weights: Any) -> Path:
    """Returns the path of weights in torchvision's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def default_weights(name: str) -> Any:
    """Returns torchvision's default, the best, weights of one of its networks."""
    return torchvision.models.get_model_weights(name).DEFAULT
