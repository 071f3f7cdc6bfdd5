"""The tracks that a file of another program holds."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TrackRows(NamedTuple):
    """A box of a track: frame from 0, id, class, score, xyxy in pixels, and whether it was observed."""

    frame: int
    track_id: int
    category: str
    score: float
    box: tuple[float, float, float, float]
    observed: bool = True


@dataclass
class TrackTable:
    """The boxes of a file.

    Attributes:
        rows: The boxes, in the order of the file.
        width: Of the images, pixels; 0 where the file does not say it.
        height: As `width`.
        times: Seconds of frames, where the file states them.
    """

    rows: list[TrackRows] = field(default_factory=list)
    width: int = 0
    height: int = 0
    times: dict[int, float] = field(default_factory=dict)

    def columns(self) -> tuple[dict[str, NDArray[np.generic]], tuple[str, ...]]:
        """Returns frames, ids, labels, scores, boxes and observed, in order of frames and ids, and the categories."""
        rows = sorted(self.rows, key=lambda row: (row.frame, row.track_id))
        categories = tuple(dict.fromkeys(row.category for row in rows))
        labels = {name: label for label, name in enumerate(categories)}
        return {
            "frames": np.array([row.frame for row in rows], np.int64),
            "ids": np.array([row.track_id for row in rows], np.int64),
            "labels": np.array([labels[row.category] for row in rows], np.int64),
            "scores": np.array([row.score for row in rows], np.float32),
            "boxes": np.array([row.box for row in rows], np.float64).reshape(-1, 4),
            "observed": np.array([row.observed for row in rows], np.bool_),
        }, categories
