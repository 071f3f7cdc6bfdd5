"""The stored analysis of one frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.structures.fit import Fit
from tracker.structures.types import Detections

_STEPS = np.float32(64)


@dataclass(frozen=True, eq=False, slots=True)
class StoredFrame:
    """The analysis of one frame as it is stored.

    Attributes:
        index: Position in the source, from 0.
        pts: Timestamp in units of the source's time base.
        time: Seconds since the source's first frame.
        detections: Its N detections, with `masks` in their data if the network gives them.
        embeddings: float32 (N, D), of the precision of `to_stored_precision`; D is 0 without an embedder.
        class_probs: float32 (N, C), probabilities of the fine classes; C is 0 without a classifier.
        detector_ran: False if the frame was skipped.
        fit: See `Frame.fit`.
    """

    index: int
    pts: int
    time: float
    detections: Detections
    embeddings: NDArray[np.float32]
    class_probs: NDArray[np.float32]
    detector_ran: bool = True
    fit: Fit | None = None


def to_stored_precision(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns unit vectors (N, D) as reading the store gives them, float32: multiples of 1/64, which float16 holds.

    All runs track embeddings of this precision, so that one that goes on from the store, or tracks again from it,
    gives the same tracks as one that did not stop. So few values compress to a third of what float16 would take, and
    move a cosine distance by 0.005 on average.

    Example:
        >>> to_stored_precision(np.array([[0.1, 0.5]], np.float32)).tolist()
        [[0.09375, 0.5]]
    """
    steps: NDArray[np.float32] = np.rint(embeddings * _STEPS)
    return (steps / _STEPS).astype(np.float16).astype(np.float32)
