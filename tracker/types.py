"""The values that the stages hand to each other: arrays of one length, checked once, never optional."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def _check(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype):
        got = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"{name} must be an array of {np.dtype(dtype).name}, got {got}")
    if array.ndim != len(shape) or any(w not in (None, g) for w, g in zip(shape, array.shape, strict=True)):
        want = tuple("N" if w is None else w for w in shape)
        raise ValueError(f"{name} must have shape {want}, got {array.shape}")


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One picture of a source and the moment that it shows.

    Attributes:
        index: Position in the source, counted from 0 over all of its frames, skipped ones included.
        time: Seconds since the source's first frame.
        pts: Presentation timestamp in units of the source's time base.
        image: uint8 (H, W, 3), RGB, upright (rotation metadata already applied).
    """

    index: int
    time: float
    pts: int
    image: NDArray[np.uint8]

    def __post_init__(self) -> None:
        _check("image", self.image, np.uint8, (None, None, 3))


class _Rows:
    """What dataclasses of equally long arrays share: a length, and indexing of all fields at once."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, rows: "NDArray[np.bool_] | NDArray[np.int64] | slice") -> Self:
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False, slots=True)
class Detections(_Rows):
    """The objects that a detector found in one frame.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the frame, origin at its top left corner.
        scores: float32 (N,), confidence from 0 to 1.
        labels: int64 (N,), indices into the detector's categories.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, np.float32, (n, 4))
        _check("scores", self.scores, np.float32, (n,))
        _check("labels", self.labels, np.int64, (n,))

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class Tracks(_Rows):
    """The confirmed tracks of one frame.

    Attributes:
        ids: int64 (M,), counted from 1 in order of confirmation, never reused by one tracker.
        boxes: float32 (M, 4), x1 y1 x2 y2 in pixels; the filter's estimate for this frame.
        scores: float32 (M,), score of the track's latest detection.
        labels: int64 (M,), the class that most of the track's detections had.
        velocities: float32 (M, 2), of the box centre, pixels per second; where the camera's motion is taken out, that
            of the object in the scene.
        ages: float32 (M,), seconds since the track's first detection.
        observed: bool (M,), True where a detection was matched in this frame, False where the box is
            predicted.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    velocities: NDArray[np.float32]
    ages: NDArray[np.float32]
    observed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        m = len(self.ids)
        _check("ids", self.ids, np.int64, (m,))
        _check("boxes", self.boxes, np.float32, (m, 4))
        _check("scores", self.scores, np.float32, (m,))
        _check("labels", self.labels, np.int64, (m,))
        _check("velocities", self.velocities, np.float32, (m, 2))
        _check("ages", self.ages, np.float32, (m,))
        _check("observed", self.observed, np.bool_, (m,))
