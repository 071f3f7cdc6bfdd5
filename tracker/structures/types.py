"""The values that the stages hand to each other: arrays of one length, checked once, never optional."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def _check(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    # Texts of any length are of one type, but of as many dtypes.
    if not isinstance(array, np.ndarray) or (np.dtype(dtype) != array.dtype and dtype is not array.dtype.type):
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

    @staticmethod
    def empty() -> "Detections":
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class MaskedDetections(Detections):
    """Detections of a network that also says which part of its box each object covers.

    Attributes:
        masks: uint8 (N, S, S), how likely the object is in each of S rows of S equal cells that the box is cut into,
            0 to 255 for 0 to 1. `tracker.masks` turns them into pixels.
    """

    masks: NDArray[np.uint8]

    def __post_init__(self) -> None:
        Detections.__post_init__(self)  # super() knows no class with slots
        _check("masks", self.masks, np.uint8, (len(self), None, None))


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
        found: int64 (M,), the row of the frame's detections that the track took, -1 where it took none: the box is
            predicted, or the detector found the object only when it looked there again.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    velocities: NDArray[np.float32]
    ages: NDArray[np.float32]
    observed: NDArray[np.bool_]
    found: NDArray[np.int64]

    def __post_init__(self) -> None:
        m = len(self.ids)
        _check("ids", self.ids, np.int64, (m,))
        _check("boxes", self.boxes, np.float32, (m, 4))
        _check("scores", self.scores, np.float32, (m,))
        _check("labels", self.labels, np.int64, (m,))
        _check("velocities", self.velocities, np.float32, (m, 2))
        _check("ages", self.ages, np.float32, (m,))
        _check("observed", self.observed, np.bool_, (m,))
        _check("found", self.found, np.int64, (m,))


@dataclass(frozen=True, eq=False)
class FineTracks(Tracks):
    """Tracks whose crops a classifier has judged.

    Attributes:
        fine_classes: str (M,), the name of the finer class; empty where nothing is known of it.
        fine_scores: float32 (M,), how probable it is, from 0 to 1.
    """

    fine_classes: NDArray[np.str_]
    fine_scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        Tracks.__post_init__(self)
        _check("fine_classes", self.fine_classes, np.str_, (len(self),))
        _check("fine_scores", self.fine_scores, np.float32, (len(self),))

    @staticmethod
    def judged(tracks: Tracks, classes: NDArray[np.str_], scores: NDArray[np.float32]) -> "FineTracks":
        """Tracks of a frame, with masks or without, with the fine classes (M,) and scores (M,) given."""
        columns: dict[str, Any] = {field.name: getattr(tracks, field.name) for field in fields(tracks)}
        kind = FineMaskedTracks if isinstance(tracks, MaskedTracks) else FineTracks
        return kind(**columns, fine_classes=classes, fine_scores=scores)


@dataclass(frozen=True, eq=False, slots=True)
class MaskedTracks(Tracks):
    """Tracks of a frame in which a network with masks looked.

    Attributes:
        mask_boxes: float32 (M, 4), x1 y1 x2 y2 in pixels, the detection that the track took, in which its mask lies;
            of no area where it took none.
        masks: uint8 (M, S, S), as those of `MaskedDetections`; zero where the track took no detection.
    """

    mask_boxes: NDArray[np.float32]
    masks: NDArray[np.uint8]

    def __post_init__(self) -> None:
        Tracks.__post_init__(self)  # super() knows no class with slots
        _check("mask_boxes", self.mask_boxes, np.float32, (len(self), 4))
        _check("masks", self.masks, np.uint8, (len(self), None, None))

    @classmethod
    def of(cls, tracks: Tracks, boxes: NDArray[np.float32], masks: NDArray[np.uint8]) -> Self:
        """Tracks, with the masks of the detections that they took.

        Args:
            tracks: M tracks of a frame.
            boxes: float32 (N, 4) xyxy, those of all detections in the frame.
            masks: uint8 (N, S, S), theirs.
        """
        taken = tracks.found >= 0
        rows = tracks.found[taken]
        own_boxes = np.zeros((len(tracks), 4), np.float32)
        own_masks = np.zeros((len(tracks), *masks.shape[1:]), np.uint8)
        own_boxes[taken], own_masks[taken] = boxes[rows], masks[rows]
        columns: dict[str, Any] = {field.name: getattr(tracks, field.name) for field in fields(Tracks)}
        return cls(**columns, mask_boxes=own_boxes, masks=own_masks)


@dataclass(frozen=True, eq=False)
class FineMaskedTracks(MaskedTracks, FineTracks):
    """Tracks with masks whose crops a classifier has judged."""

    def __post_init__(self) -> None:
        MaskedTracks.__post_init__(self)
        FineTracks.__post_init__(self)
