"""Aligns the tracks and the ground truth of a sequence frame by frame, for the tracking metrics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.mot.files import MotTable
from tracker.structures.boxes import iou, xywh_to_xyxy

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """The T frames of a sequence that hold a track or a ground-truth object.

    Objects and tracks have indices from 0 in the order of their ids.

    Attributes:
        frames: int64 (T,), ascending.
        gt_ids: int64, the id of each ground-truth object.
        track_ids: int64, the id of each track.
        gt_indices: T arrays int64 (n,), the objects in each frame.
        track_indices: T arrays int64 (m,), the tracks in each frame.
        ious: T arrays float64 (n, m), the IoU of their boxes.
    """

    frames: IntArray
    gt_ids: IntArray
    track_ids: IntArray
    gt_indices: list[IntArray]
    track_indices: list[IntArray]
    ious: list[NDArray[np.float64]]

    def to_trackeval(self) -> dict[str, Any]:
        """Returns the data of a sequence as the metrics of trackeval take them."""
        return {
            "gt_ids": self.gt_indices,
            "tracker_ids": self.track_indices,
            "similarity_scores": self.ious,
            "num_timesteps": len(self.frames),
            "num_gt_ids": len(self.gt_ids),
            "num_tracker_ids": len(self.track_ids),
            "num_gt_dets": sum(map(len, self.gt_indices)),
            "num_tracker_dets": sum(map(len, self.track_indices)),
        }


def align(tracks: MotTable, gt: MotTable, name: str) -> Alignment:
    """Aligns the tracks and the ground truth of a sequence; ground truth with confidence 0 is ignored.

    Args:
        tracks: (N, 7), see `MotTable`.
        gt: (M, 7), see `MotTable`.
        name: Name of the sequence, for errors.

    Raises:
        InputError: A frame holds an id twice.
    """
    gt = gt[gt[:, 6] != 0]
    frames = np.union1d(tracks[:, 0], gt[:, 0]).astype(np.int64)
    track_ids, track_indices, track_boxes = _by_frame(tracks, frames, f"the result of {name}")
    gt_ids, gt_indices, gt_boxes = _by_frame(gt, frames, f"the ground truth of {name}")
    ious = [np.asarray(iou(*boxes), np.float64) for boxes in zip(gt_boxes, track_boxes, strict=True)]
    return Alignment(frames, gt_ids, track_ids, gt_indices, track_indices, ious)


def _by_frame(table: MotTable, frames: IntArray, description: str) -> tuple[IntArray, list[IntArray], list[MotTable]]:
    """Splits a table by frame: the ids, and for each frame the indices of its ids and its boxes (n, 4) xyxy."""
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    repeated = (np.diff(table[:, :2], axis=0) == 0).all(1)
    if repeated.any():
        frame, track = table[int(np.argmax(repeated)), :2].astype(int)
        raise InputError(f"{description} holds the id {track} twice in frame {frame}: an id must be unique in a frame")
    ids, indices = np.unique(table[:, 1].astype(np.int64), return_inverse=True)
    starts = np.searchsorted(table[:, 0], frames)
    ends = [*starts[1:].tolist(), len(table)]
    boxes = np.asarray(xywh_to_xyxy(table[:, 2:6]), np.float64)
    slices = [slice(start, end) for start, end in zip(starts.tolist(), ends, strict=True)]
    return ids, [indices[part] for part in slices], [boxes[part] for part in slices]
