"""Detections as programs have them, converted to this package's `Detections`, or refused in one sentence."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.data.array_input import to_array, to_numbers
from tracker.errors import InputError
from tracker.structures.types import Detections


@runtime_checkable
class SupervisionLike(Protocol):
    """The attributes of `supervision.Detections` that are read; the package itself is not imported."""

    xyxy: NDArray[Any]
    confidence: NDArray[Any] | None
    class_id: NDArray[Any] | None


Boxes = ArrayLike | SupervisionLike | Detections
"""Boxes (N, 4), or detections that hold them."""


def split_detections(
    boxes: Boxes, scores: ArrayLike | None, labels: ArrayLike | None
) -> tuple[Any, ArrayLike | None, ArrayLike | None]:
    """Returns the boxes, scores and labels of detections of any kind; names of classes as labels where there are some.

    Raises:
        InputError: The detections hold scores and labels themselves, and others are given beside them.
    """
    if not isinstance(boxes, Detections | SupervisionLike):
        return boxes, scores, labels
    if scores is not None or labels is not None:
        raise InputError("these detections hold their scores and labels: give no others beside them")
    if isinstance(boxes, Detections):
        return boxes.boxes, boxes.scores, boxes.labels
    names = getattr(boxes, "data", {}).get("class_name")
    return boxes.xyxy, boxes.confidence, boxes.class_id if names is None else names


def to_boxes(boxes: ArrayLike, fractions_allowed: bool) -> NDArray[np.float32]:
    """Returns boxes as float32 (N, 4), x1 y1 x2 y2.

    Args:
        boxes: Numbers of any type.
        fractions_allowed: False to refuse boxes of which none is larger than a pixel.

    Raises:
        InputError: They have another shape, are not finite, or are not x1 y1 x2 y2 in pixels.

    Example:
        >>> to_boxes([[10, 20, 50, 80]], False).dtype
        dtype('float32')
    """
    values = to_numbers(boxes, (None, 4), "the boxes")
    sides = values[:, 2:] - values[:, :2]
    wrong = np.flatnonzero((sides < 0).any(1))
    if len(wrong):
        box = ", ".join(f"{value:g}" for value in values[wrong[0]])
        raise InputError(
            f"box {wrong[0]} is {box}: its right or lower edge lies before the other one; boxes are x1 y1 x2 y2, not "
            "x y width height"
        )
    if len(values) and not fractions_allowed and values.max() <= 1:
        raise InputError("all boxes lie within one pixel: give them in pixels, not as fractions of the picture")
    return values.astype(np.float32)


def to_scores(scores: ArrayLike | None, count: int) -> NDArray[np.float32]:
    """Returns scores as float32 (N,); 1 for each of N boxes if there are none.

    Raises:
        InputError: They are not as many as the boxes, or not from 0 to 1.
    """
    if scores is None:
        return np.ones(count, np.float32)
    values = to_numbers(scores, (None,), "the scores")
    _check_count(len(values), count, "scores")
    if len(values) and not 0 <= values.min() <= values.max() <= 1:
        raise InputError(f"the scores must be from 0 to 1, and are from {values.min():g} to {values.max():g}")
    return values.astype(np.float32)


def to_labels(labels: ArrayLike | None, count: int) -> NDArray[np.int64] | list[str]:
    """Returns labels as int64 (N,), or as N names; 0 for each of N boxes if there are none.

    Raises:
        InputError: They are not as many as the boxes, or neither names nor whole numbers from 0 on.

    Example:
        >>> to_labels([2.0, 0.0], 2), to_labels(["car"], 1)
        (array([2, 0]), ['car'])
    """
    if labels is None:
        return np.zeros(count, np.int64)
    array = to_array(labels, "the labels")
    if array.dtype.kind in "US":
        _check_count(array.size, count, "labels")
        return [str(name) for name in array.ravel()]
    values = to_numbers(array, (None,), "the labels")
    _check_count(len(values), count, "labels")
    if len(values) and ((values < 0).any() or (values % 1).any()):
        raise InputError("the labels must be names, or whole numbers from 0 on")
    return values.astype(np.int64)


def to_embeddings(embeddings: ArrayLike, count: int) -> NDArray[np.float32]:
    """Returns embeddings as float32 (N, D), each row scaled to a length of 1.

    Raises:
        InputError: They are not as many as the boxes, or a row is all zeros.
    """
    values = to_array(embeddings, "the embeddings")
    if not count and not values.size:
        return np.zeros((0, values.shape[1] if values.ndim == 2 else 0), np.float32)
    numbers = to_numbers(values, (None, None), "the embeddings")
    _check_count(len(numbers), count, "embeddings")
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    if not lengths.all():
        raise InputError(f"embedding {int(np.flatnonzero(lengths == 0)[0])} is all zeros: it has no direction")
    return np.asarray(numbers / lengths, np.float32)


def _check_count(got: int, want: int, name: str) -> None:
    if got != want:
        raise InputError(f"the number of boxes is {want}, and that of {name} {got}: give one for each box")
