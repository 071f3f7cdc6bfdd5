"""Parts of networks in half precision, among others that need all of it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

HALF = torch.float16


class HalfPart(nn.Module):
    """Computes a part of a network in half precision; what it takes and gives, in lists, tuples and dicts, is float32.

    What is around it keeps full precision, unlike under autocast, where all that follows from a layer's output is
    rounded as that is: half precision tells pixels beyond 1,024 apart, but nothing finer.
    """

    def __init__(self, part: nn.Module) -> None:
        """Takes the part and rounds its weights, in place."""
        super().__init__()
        self.part = part.to(HALF)

    def forward(self, *arguments: Any) -> Any:
        return tree_map(_as_float, self.part(*tree_map(_as_half, arguments)))


def _as_half(value: Any) -> Any:
    return value.to(HALF) if isinstance(value, Tensor) and value.is_floating_point() else value


def _as_float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
