"""The data that the parts of the package hand to each other: frames, detections and tracks as arrays of one length."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Rectangle
from tracker.structures.fit import Fit

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame
    from supervision import Detections as SupervisionDetections

Column = NDArray[Any]
Data = Mapping[str, Column]

# Columns of `data` that this package itself writes and reads: dtype and shape behind the number of rows.
_KNOWN_DATA: dict[str, tuple[type, tuple[int | None, ...]]] = {
    "masks": (np.uint8, (None, None)),
    "mask_boxes": (np.float32, (4,)),
    "fine_classes": (np.str_, ()),
    "fine_scores": (np.float32, ()),
    "embeddings": (np.float32, (None,)),
}


def _check(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    # Strings of any length are of one type, but of as many dtypes.
    if not isinstance(array, np.ndarray) or (np.dtype(dtype) != array.dtype and dtype is not array.dtype.type):
        got = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"{name} must be an array of {np.dtype(dtype).name}, got {got}")
    if array.ndim != len(shape) or any(w not in (None, g) for w, g in zip(shape, array.shape, strict=True)):
        want = tuple("N" if w is None else w for w in shape)
        raise ValueError(f"{name} must have shape {want}, got {array.shape}")


def _check_data(data: Data, rows: int) -> None:
    for name, array in data.items():
        if name in _KNOWN_DATA:
            dtype, shape = _KNOWN_DATA[name]
            _check(f"data[{name!r}]", array, dtype, (rows, *shape))
        elif not isinstance(array, np.ndarray) or array.shape[:1] != (rows,):
            raise ValueError(f"data[{name!r}] must be an array of {rows} rows")


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One image of a source and the time at which it is shown.

    Attributes:
        index: Position in the source, counted from 0 over all of its frames, skipped ones included.
        time: Seconds since the source's first frame.
        pts: Presentation timestamp in units of the source's time base.
        image: uint8 (H, W, 3), RGB, upright (rotation metadata already applied).
        fit: The place of this frame's picture in `image`, if its size is not that of the source's first frame; None
            where it is. Detections and tracks are in pixels of `image`, and tables in those of the picture itself.
        tiles: Parts of the image in which a detector with tiles looks for small objects; None for all of its tiles.
        unix_time: Seconds since 1970 (UTC) at which a live source captured it; None for others.
    """

    index: int
    time: float
    pts: int
    image: NDArray[np.uint8]
    fit: Fit | None = None
    tiles: tuple[Rectangle, ...] | None = None
    unix_time: float | None = None

    def __post_init__(self) -> None:
        _check("image", self.image, np.uint8, (None, None, 3))


class _Table:
    """Base of the dataclasses whose fields are columns of one length: `len`, indexing of rows, further columns."""

    __slots__ = ()
    _NOT_COLUMNS: ClassVar[tuple[str, ...]] = ("data", "categories")

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, rows: "NDArray[np.bool_] | NDArray[np.int64] | slice") -> Self:
        names = [f.name for f in fields(self) if f.name not in self._NOT_COLUMNS]  # type: ignore[arg-type]
        columns = {name: getattr(self, name)[rows] for name in names}
        data = {name: column[rows] for name, column in self.data.items()}  # type: ignore[attr-defined]
        return replace(self, **columns, data=data)  # type: ignore[type-var]

    def with_data(self, **columns: Column) -> Self:
        """Returns a copy with further columns in `data`; a column of the same name is replaced."""
        return replace(self, data={**self.data, **columns})  # type: ignore[type-var, attr-defined]


@dataclass(frozen=True, eq=False, slots=True)
class Detections(_Table):
    """The objects that a detector found in one frame.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the frame, origin at its top left corner.
        scores: float32 (N,), confidence from 0 to 1.
        labels: int64 (N,), indices into the detector's categories.
        data: Further columns by name, each an array of N rows. Known to this package: `masks`, uint8 (N, S, S), the
            probability that the object covers each of S x S equal cells of its box, 0 to 255 for 0 to 1
            (`tracker.structures.masks` turns them into pixels).

    Example:
        >>> import numpy as np
        >>> boxes = np.array([[10, 20, 50, 80], [30, 30, 60, 90]], np.float32)
        >>> detections = Detections(boxes, np.array([0.9, 0.4], np.float32), np.zeros(2, np.int64))
        >>> len(detections[detections.scores > 0.5])
        1
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    data: Data = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, np.float32, (n, 4))
        _check("scores", self.scores, np.float32, (n,))
        _check("labels", self.labels, np.int64, (n,))
        _check_data(self.data, n)

    @staticmethod
    def empty() -> "Detections":
        """Returns detections of a frame without any object."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class Tracks(_Table):
    """The confirmed tracks of one frame.

    Attributes:
        ids: int64 (M,), counted from 1 in order of confirmation, never reused by one tracker.
        boxes: float32 (M, 4), x1 y1 x2 y2 in pixels; the filter's estimate for this frame.
        scores: float32 (M,), score of the track's latest detection.
        labels: int64 (M,), the class that most of the track's detections had.
        velocities: float32 (M, 2), of the box center, pixels per second; where the camera's motion is compensated,
            that of the object in the scene.
        ages: float32 (M,), seconds since the track's first detection.
        observed: bool (M,), True where a detection was matched in this frame, False where the box is predicted.
        detection_index: int64 (M,), the row of the frame's detections that was matched, -1 where there is none: the
            box is predicted, or was found by rescoring the predicted box.
        data: Further columns by name, each an array of M rows. Known to this package: `masks`, uint8 (M, S, S), and
            `mask_boxes`, float32 (M, 4), the matched detection's mask and the box in which it lies (zeros where there
            is none); `fine_classes`, str (M,), and `fine_scores`, float32 (M,), the finer class by vote ("" where
            none is known) and its probability; `embeddings`, float32 (M, D), the unit vector of the matched detection
            (zeros where there is none), with `save_embeddings`.
        categories: Class names by label; empty where they are unknown.

    Example:
        >>> from tracker import DeepSort, TrackerConfig
        >>> tracker = DeepSort(TrackerConfig(n_init=1))
        >>> detections = Detections(
        ...     np.array([[10, 20, 50, 80]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64)
        ... )
        >>> tracks = tracker.update(detections, None, time=0.0)
        >>> tracks.ids.tolist(), tracks.detection_index.tolist()
        ([1], [0])
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    velocities: NDArray[np.float32]
    ages: NDArray[np.float32]
    observed: NDArray[np.bool_]
    detection_index: NDArray[np.int64]
    data: Data = field(default_factory=dict)
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        m = len(self.ids)
        _check("ids", self.ids, np.int64, (m,))
        _check("boxes", self.boxes, np.float32, (m, 4))
        _check("scores", self.scores, np.float32, (m,))
        _check("labels", self.labels, np.int64, (m,))
        _check("velocities", self.velocities, np.float32, (m, 2))
        _check("ages", self.ages, np.float32, (m,))
        _check("observed", self.observed, np.bool_, (m,))
        _check("detection_index", self.detection_index, np.int64, (m,))
        _check_data(self.data, m)

    def with_masks(self, boxes: NDArray[np.float32], masks: NDArray[np.uint8]) -> "Tracks":
        """Returns the tracks with the masks of their matched detections in `data`.

        Args:
            boxes: float32 (N, 4) xyxy, those of all detections in the frame.
            masks: uint8 (N, S, S), theirs.
        """
        matched = self.detection_index >= 0
        rows = self.detection_index[matched]
        own_boxes = np.zeros((len(self), 4), np.float32)
        own_masks = np.zeros((len(self), *masks.shape[1:]), np.uint8)
        own_boxes[matched], own_masks[matched] = boxes[rows], masks[rows]
        return self.with_data(mask_boxes=own_boxes, masks=own_masks)

    def with_embeddings(self, embeddings: NDArray[np.float32]) -> "Tracks":
        """Returns the tracks with the embeddings of their matched detections, of float32 (N, D), in `data`."""
        own = np.zeros((len(self), embeddings.shape[1]), np.float32)
        matched = self.detection_index >= 0
        own[matched] = embeddings[self.detection_index[matched]]
        return self.with_data(embeddings=own)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes of the M tracks; a class without a name is the number of its label."""
        known = self.categories
        return [known[label] if label < len(known) else str(label) for label in self.labels.tolist()]

    def to_arrow(self, frame: Frame | None = None) -> "pa.Table":
        """Returns a PyArrow table with a row for each track; see `to_pandas`."""
        import pyarrow

        from tracker.structures.conversion import table_columns

        return pyarrow.table(table_columns(self, frame))

    def to_pandas(self, frame: Frame | None = None) -> "DataFrame":
        """Returns a pandas table with a row for each track; needs pandas.

        The columns are those of `tracks.csv`, then `vx` and `vy` in pixels per second, `age_s`, `detection_index`, and
        `fine_class`, `fine_score` and `embedding` where they are known. Boxes are not clipped to the image.

        Args:
            frame: The frame of these tracks: its index and time become the columns `frame` and `time_s`, so that the
                tables of several frames can be put together.

        Raises:
            ImportError: pandas is not installed.

        Example:
            >>> import pandas as pd
            >>> import tracker
            >>> frames = tracker.track("video.mp4")  # doctest: +SKIP
            >>> table = pd.concat([tracks.to_pandas(frame) for frame, tracks in frames])  # doctest: +SKIP
        """
        from tracker.structures.conversion import to_pandas

        return to_pandas(self, frame)

    def to_supervision(self, frame: Frame | None = None) -> "SupervisionDetections":
        """Returns the tracks as `supervision.Detections`, with their ids in `tracker_id`; needs supervision.

        `data` has `class_name`, and the columns of `data` of these tracks but for masks.

        Args:
            frame: The frame of these tracks; with it, masks are pasted into an image of its size.

        Raises:
            ImportError: supervision is not installed.
        """
        from tracker.structures.conversion import to_supervision

        return to_supervision(self, frame)
