"""Found and true boxes of a sequence brought together frame by frame, as the metrics of tracking take them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.mot.files import Rows
from tracker.structures.boxes import iou, xywh_to_xyxy

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """The T frames of a sequence in which something was found or is true.

    Objects and tracks are numbered from 0 in the order of their ids.

    Attributes:
        frames: int64 (T,), ascending.
        object_ids: int64, the true id of each object.
        track_ids: int64, the found id of each track.
        objects: T arrays int64 (n,), the objects in each frame.
        tracks: T arrays int64 (m,), the tracks in each frame.
        overlaps: T arrays float64 (n, m), the IoU of their boxes.
    """

    frames: Numbers
    object_ids: Numbers
    track_ids: Numbers
    objects: list[Numbers]
    tracks: list[Numbers]
    overlaps: list[NDArray[np.float64]]

    def for_trackeval(self) -> dict[str, Any]:
        """What the metrics of trackeval take of a sequence."""
        return {
            "gt_ids": self.objects,
            "tracker_ids": self.tracks,
            "similarity_scores": self.overlaps,
            "num_timesteps": len(self.frames),
            "num_gt_ids": len(self.object_ids),
            "num_tracker_ids": len(self.track_ids),
            "num_gt_dets": sum(map(len, self.objects)),
            "num_tracker_dets": sum(map(len, self.tracks)),
        }


def align(found: Rows, truth: Rows, name: str) -> Alignment:
    """Brings the boxes of a sequence together; true rows with confidence 0 do not count.

    Args:
        found: (N, 7) rows of tracks.
        truth: (M, 7) rows of the truth.
        name: Of the sequence, for errors.

    Raises:
        InputError: A frame holds an id twice.
    """
    truth = truth[truth[:, 6] != 0]
    frames = np.union1d(found[:, 0], truth[:, 0]).astype(np.int64)
    track_ids, tracks, found_boxes = _by_frame(found, frames, f"the result of {name}")
    object_ids, objects, true_boxes = _by_frame(truth, frames, f"the truth of {name}")
    overlaps = [np.asarray(iou(t, f), np.float64) for t, f in zip(true_boxes, found_boxes, strict=True)]
    return Alignment(frames, object_ids, track_ids, objects, tracks, overlaps)


def _by_frame(rows: Rows, frames: Numbers, what: str) -> tuple[Numbers, list[Numbers], list[Rows]]:
    """Ids, and for each frame the numbers of the ids and the boxes (n, 4) xyxy."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    twice = (np.diff(rows[:, :2], axis=0) == 0).all(1)
    if twice.any():
        frame, track = rows[int(np.argmax(twice)), :2].astype(int)
        raise InputError(f"{what} holds the id {track} twice in frame {frame}: an id stands for one object")
    ids, numbers = np.unique(rows[:, 1].astype(np.int64), return_inverse=True)
    starts = np.searchsorted(rows[:, 0], frames)
    ends = [*starts[1:].tolist(), len(rows)]
    boxes = np.asarray(xywh_to_xyxy(rows[:, 2:6]), np.float64)
    parts = [slice(start, end) for start, end in zip(starts.tolist(), ends, strict=True)]
    return ids, [numbers[part] for part in parts], [boxes[part] for part in parts]
