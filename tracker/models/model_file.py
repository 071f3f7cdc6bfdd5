"""Model files: safetensors whose header says what the model is, so that nothing has to be guessed or configured."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tracker.errors import InputError

Arrays = dict[str, NDArray[Any]]
HEADER = "tracker"  # the metadata key that holds ModelInfo as JSON


class ModelInfo(BaseModel):
    """What a model file says of itself.

    Attributes:
        task: "detection", "embedding" or "classification".
        architecture: Name of the network.
        categories: Class names; for a detector or classifier in the order of its labels, the background left out; for
            an embedder the classes whose individuals it tells apart.
        size: Detector: (longest, shortest) side in pixels that a picture is shrunk or grown to fit, (0, 0) where
            the network does that itself. Embedder, classifier: (height, width) of a crop.
        license: Terms of the weights.
        provenance: Training data, their terms, and the recipe.
        network: What it is made of, a `DetectorNetwork` or `EmbedderNetwork` in plain values; nothing for the first
            built-in detectors.
        max_distance: Embedder: cosine distance at which two crops show one individual as likely as two; 0 where that
            was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    architecture: str
    categories: tuple[str, ...]
    size: tuple[int, int]
    license: str
    provenance: str
    network: dict[str, Any] = {}
    max_distance: float = 0.0


def save_model(path: Path, state: Arrays, info: ModelInfo) -> None:
    """Writes weights and their description to one .safetensors file."""
    whole = {key: np.asarray(value, order="C") for key, value in state.items()}
    path.write_bytes(save(whole, metadata={HEADER: info.model_dump_json()}))


def load_model(path: Path) -> tuple[Arrays, ModelInfo]:
    """Reads what `save_model` wrote; runs no code of the file's.

    Raises:
        InputError: The file is missing, damaged, or not one of our models.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        with safe_open(path, framework="np") as file:
            header = (file.metadata() or {}).get(HEADER, "")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable .safetensors model: {error}") from None
    return state, read_info(header, path)


def read_info(text: str, path: Path) -> ModelInfo:
    """A ModelInfo from its JSON text, as the file at `path` has it.

    Raises:
        InputError: It is none.
    """
    try:
        return ModelInfo.model_validate_json(text)
    except ValidationError:
        raise InputError(
            f"{path} was not written by this program's trainer (its header does not say what it is)"
        ) from None
