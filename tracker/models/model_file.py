"""Model files: safetensors whose header describes the model, so that nothing has to be guessed or configured."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tracker.data.files import write_bytes
from tracker.errors import InputError

Side = Annotated[int, Field(ge=0, le=2**14)]  # pixels; more is a mistake in the file
Arrays = dict[str, NDArray[Any]]
# What reading of a damaged or unknown file raises: of the header, of a type that NumPy lacks, of more than the memory.
_UNREADABLE = (SafetensorError, OSError, TypeError, AttributeError, KeyError, OverflowError, MemoryError)
METADATA_KEY = "tracker"  # the metadata key that holds ModelInfo as JSON


class ModelInfo(BaseModel):
    """The description of a model in its file.

    Attributes:
        task: "detection", "embedding" or "classification".
        architecture: Name of the network.
        categories: Class names. Detector, classifier: in the order of the labels, without the background. Embedder:
            the classes whose identities it distinguishes.
        size: Detector: (longest, shortest) side in pixels to which an image is resized, (0, 0) where the network
            resizes images itself. Embedder, classifier: (height, width) of a crop.
        license: License of the weights.
        provenance: Training data, their licenses, and the recipe.
        calibration: Detector: factor and summand of each class's log-odds that turn its score into a precision, in the
            order of the categories; empty for scores as they are.
        thresholds: Detector: the score of each class from which on its F1 on the validation images was the highest, in
            the order of the categories; 0 for a class without objects there. Empty where it was not measured.
        network: The settings of the network, a `DetectorNetwork` or `EmbedderNetwork` as plain values; empty for the
            first built-in detectors.
        max_distance: Embedder: cosine distance at which two crops are equally likely to show the same identity and
            different ones; 0 where it was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    architecture: str
    categories: tuple[str, ...]
    size: tuple[Side, Side]
    license: str = ""
    provenance: str = ""
    calibration: tuple[tuple[float, float], ...] = ()
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    network: dict[str, Any] = {}
    max_distance: Annotated[float, Field(ge=0, le=2)] = 0.0


def save_model(path: Path, state: Arrays, info: ModelInfo) -> None:
    """Writes weights and their description to one .safetensors file.

    Raises:
        InputError: It cannot be written.
    """
    contiguous = {key: np.asarray(value, order="C") for key, value in state.items()}
    write_bytes(path, save(contiguous, metadata={METADATA_KEY: info.model_dump_json()}))


def load_model(path: Path) -> tuple[Arrays, ModelInfo]:
    """Reads a file that `save_model` wrote; runs no code from the file.

    Raises:
        InputError: The file is missing, damaged, or not one of our models.
    """
    with _open_model(path) as (file, info):
        return {key: file.get_tensor(key) for key in file.keys()}, info  # noqa: SIM118 (not a mapping)


def read_info(path: Path) -> ModelInfo:
    """Reads the description alone; errors are those of `load_model`."""
    with _open_model(path) as (_, info):
        return info


@contextmanager
def _open_model(path: Path) -> Iterator[tuple[Any, ModelInfo]]:
    """Opens a model file and reads its description first, since a file of other weights can be large."""
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        with safe_open(path, framework="np") as file:
            yield file, parse_info((file.metadata() or {}).get(METADATA_KEY, ""), path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a readable .safetensors model: {reason}") from None


def parse_info(text: str, path: Path) -> ModelInfo:
    """Returns the ModelInfo in the JSON text that the file at `path` holds.

    Raises:
        InputError: The text is not a ModelInfo.
    """
    try:
        return ModelInfo.model_validate_json(text)
    except ValidationError:
        raise InputError(
            f"{path} was not written by this program's trainer (its header does not describe a model)"
        ) from None
