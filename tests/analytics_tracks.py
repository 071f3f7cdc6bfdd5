"""Tracks of a frame, for tests of what follows them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.structures.types import Tracks

Boxes = NDArray[np.floating[Any]]


def as_tracks(boxes: Mapping[int, Boxes]) -> Tracks:
    """Returns the tracks of one frame, all of them observed persons, by id."""
    count = len(boxes)
    return Tracks(
        np.array(list(boxes), np.int64),
        np.array(list(boxes.values()), np.float32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        np.zeros((count, 2), np.float32),
        np.zeros(count, np.float32),
        np.ones(count, np.bool_),
        np.full(count, -1, np.int64),
        categories=("person",),
    )
