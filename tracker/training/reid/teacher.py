"""Learning from other embedders: a network that maps crops to where its teachers, together, place them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.models.reid import embedder_path
from tracker.models.reid.network import IMAGENET
from tracker.models.reid.weights import read_network
from tracker.models.runtime.backends import load_session

MOST_EXAMPLES = 4096
"""Crops by which the main directions of the teachers' embeddings are computed."""
RELATION_WEIGHT = 10.0
"""Weight of the squared differences of cosines, beside that of one minus a cosine."""
_CHUNK = 64

TeacherFunction = Callable[[Tensor], Tensor]
"""Maps crops, float32 (B, 3, H, W) RGB from 0 to 255, to embeddings (B, D)."""


def load_teacher(name: str) -> TeacherFunction:
    """Loads an embedder as a teacher.

    Args:
        name: `builtin`, a .safetensors or .ckpt file of our trainer, or an ONNX file with one input (B, 3, H, W), RGB
            less ImageNet's mean, divided by its standard deviation, and one output (B, D); B may be fixed.

    Raises:
        InputError: The file cannot be read, or is no embedder.
    """
    if name.endswith(".onnx"):
        return _load_onnx(Path(name))
    network, info = read_network(embedder_path(name), "embedding")
    network.eval().requires_grad_(False)

    def embed(crops: Tensor) -> Tensor:
        return network.to(crops.device)(_resize(crops, info.size))  # type: ignore[no-any-return]

    return embed


def _load_onnx(path: Path) -> TeacherFunction:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        session = load_session(path, {})
    except Exception as error:  # ONNX Runtime's own exceptions have no common class
        raise InputError(f"{path} cannot be read by ONNX Runtime: {str(error).splitlines()[0]}") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = list(inputs[0].shape)
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or len(outputs[0].shape) != 2:
        raise InputError(f"{path} is no embedder: one maps (B, 3, H, W) to (B, D)")
    if not all(isinstance(side, int) for side in shape[2:]):
        raise InputError(f"{path} does not say the size of its crops: export it with a fixed height and width")
    size = shape[2], shape[3]
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    count = shape[0] if isinstance(shape[0], int) else _CHUNK

    def embed(crops: Tensor) -> Tensor:
        prepared = ((_resize(crops.cpu(), size) / 255 - mean) / std).numpy()
        parts = []
        for start in range(0, len(prepared), count):
            part = prepared[start : start + count]
            padding = [(0, count - len(part) if isinstance(shape[0], int) else 0), (0, 0), (0, 0), (0, 0)]
            parts.append(session.run(None, {inputs[0].name: np.pad(part, padding)})[0][: len(part)])
        return torch.from_numpy(np.concatenate(parts)).to(crops.device)

    return embed


def _resize(crops: Tensor, size: tuple[int, int]) -> Tensor:
    return crops if tuple(crops.shape[2:]) == size else F.interpolate(crops, size, mode="bilinear", antialias=True)


class TeacherLoss(nn.Module):
    """Draws embeddings to those of one or several teachers of the same crops.

    The teachers' embeddings, each less its mean and of length 1, are joined: the cosine of two joined vectors is the
    mean of the teachers' cosines. Their main directions are the targets. The loss is one minus the cosine of embedding
    and target, and the squared differences of the cosines between the crops of a batch (Tung and Mori 2019, arXiv
    1907.09682).
    """

    def __init__(self, teachers: Sequence[str], examples: Tensor, dimension: int) -> None:
        """Takes names for `load_teacher`, example crops (N, 3, H, W) from 0 to 255, and the length of an embedding.

        Raises:
            InputError: A teacher cannot be used.
        """
        super().__init__()
        self._teachers = [load_teacher(name) for name in teachers]
        with torch.no_grad():
            parts = [self._embed(part) for part in torch.split(examples, _CHUNK)]
        outputs = [torch.cat(parts_of_one) for parts_of_one in zip(*parts, strict=True)]
        self._means = [output.mean(0) for output in outputs]
        directions = torch.linalg.svd(self._join(outputs), full_matrices=False)[2][:dimension].T
        self._directions = F.pad(directions, (0, dimension - directions.shape[1]))  # (numbers of all teachers, D)

    @torch.no_grad()
    def targets(self, crops: Tensor) -> Tensor:
        """Maps crops (B, 3, H, W) from 0 to 255 to their targets, (B, D) of length 1."""
        joined = self._join(self._embed(crops))
        return F.normalize(joined @ self._directions.to(joined), dim=1)

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss of embeddings (B, D) of length 1."""
        cosines, expected = embeddings @ embeddings.T, targets @ targets.T
        others = ~torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
        relation = (cosines - expected)[others].square().mean()
        return (1 - (embeddings * targets).sum(1)).mean() + RELATION_WEIGHT * relation

    def _embed(self, crops: Tensor) -> list[Tensor]:
        return [F.normalize(teacher(crops).float(), dim=1) for teacher in self._teachers]

    def _join(self, outputs: Sequence[Tensor]) -> Tensor:
        pairs = zip(outputs, self._means, strict=True)
        joined = torch.cat([F.normalize(output - mean.to(output), dim=1) for output, mean in pairs], 1)
        return joined / math.sqrt(len(outputs))
