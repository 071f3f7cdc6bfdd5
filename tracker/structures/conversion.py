"""Tracks as tables of other libraries: pandas, PyArrow, supervision. These are imported when they are asked for."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.structures.masks import paste
from tracker.structures.types import Frame, Tracks

if TYPE_CHECKING:
    from pandas import DataFrame
    from supervision import Detections as SupervisionDetections


def table_columns(tracks: Tracks, frame: Frame | None) -> dict[str, Any]:
    """Returns the columns of `Tracks.to_pandas` by name; embeddings as a list of arrays.

    Example:
        >>> none = np.zeros(0, np.float32)
        >>> empty = Tracks(none.astype(int), np.zeros((0, 4), np.float32), none, none.astype(int),
        ...     np.zeros((0, 2), np.float32), none, none > 0, none.astype(int))
        >>> list(table_columns(empty, None))[:5]
        ['track_id', 'class', 'score', 'x1', 'y1']
    """
    count = len(tracks)
    columns: dict[str, Any] = {}
    if frame is not None:
        columns |= {"frame": np.full(count, frame.index), "time_s": np.full(count, frame.time)}
    columns |= {
        "track_id": tracks.ids,
        "class": np.array(tracks.class_names, np.str_),
        "score": tracks.scores,
        **{name: np.ascontiguousarray(tracks.boxes[:, n]) for n, name in enumerate(("x1", "y1", "x2", "y2"))},
        "observed": tracks.observed,
        "vx": np.ascontiguousarray(tracks.velocities[:, 0]),
        "vy": np.ascontiguousarray(tracks.velocities[:, 1]),
        "age_s": tracks.ages,
        "detection_index": tracks.detection_index,
    }
    if "fine_classes" in tracks.data:
        columns |= {"fine_class": tracks.data["fine_classes"], "fine_score": tracks.data["fine_scores"]}
    if "embeddings" in tracks.data:
        columns["embedding"] = list(tracks.data["embeddings"])
    return columns


def to_pandas(tracks: Tracks, frame: Frame | None) -> "DataFrame":
    """Returns a table with a row for each track; see `Tracks.to_pandas`."""
    try:
        from pandas import DataFrame
    except ImportError:
        raise ImportError("to_pandas needs pandas: pip install pandas") from None
    return DataFrame(table_columns(tracks, frame))


def to_supervision(tracks: Tracks, frame: Frame | None) -> "SupervisionDetections":
    """Returns the tracks with their ids in `tracker_id`; see `Tracks.to_supervision`."""
    try:
        from supervision import Detections as SupervisionDetections
    except ImportError:
        raise ImportError("to_supervision needs supervision: pip install supervision") from None
    masks = None
    if frame is not None and "masks" in tracks.data:
        height, width, _ = frame.image.shape
        pairs = zip(tracks.data["masks"], tracks.data["mask_boxes"], strict=True)
        pasted = [paste(mask, box, width, height) for mask, box in pairs]
        masks = np.stack(pasted) if pasted else np.zeros((0, height, width), np.bool_)
    columns = {name: column for name, column in tracks.data.items() if name not in ("masks", "mask_boxes")}
    return SupervisionDetections(
        xyxy=tracks.boxes,
        mask=masks,
        confidence=tracks.scores,
        class_id=tracks.labels,
        tracker_id=tracks.ids,
        data={"class_name": np.array(tracks.class_names, np.str_), **columns},
    )
