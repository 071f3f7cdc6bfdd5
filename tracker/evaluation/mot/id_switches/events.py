"""Finds id switches: the events that MOTA counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.mot.alignment import Alignment, IntArray

MIN_IOU = 0.5
"""Least IoU of a match."""


@dataclass(frozen=True, eq=False)
class IdSwitches:
    """The S id switches of a sequence, by frame.

    Attributes:
        frames: int64 (S,), the first frame in which the object is matched to the new id.
        last_frames: int64 (S,), the last frame before it in which the object is matched, to the old id.
        gt_ids: int64 (S,), ids of the ground-truth objects.
        old_ids: int64 (S,), ids of the tracks before the switch.
        new_ids: int64 (S,), ids of the tracks after it.
    """

    frames: IntArray
    last_frames: IntArray
    gt_ids: IntArray
    old_ids: IntArray
    new_ids: IntArray

    def __len__(self) -> int:
        return len(self.frames)


def find_id_switches(sequence: Alignment) -> IdSwitches:
    """Finds the id switches of a sequence; there are as many as trackeval counts.

    In each frame objects and tracks are matched one to one. The number of pairs that were matched in the frame before
    is maximized first, then the sum of IoUs. An object switches when it is matched to another track than the last time,
    however long ago that was.

    Source: Bernardin and Stiefelhagen 2008, CLEAR MOT (doi 10.1155/2008/246309), section 2.1.3; where that leaves a
    choice, as trackeval: a frame without any object or any track does not end the matches of the frame before.
    """
    from scipy.optimize import linear_sum_assignment

    count = len(sequence.gt_ids)
    last_track, last_frame = np.full(count, -1), np.full(count, -1)
    current_track = np.full(count, -1)  # the track of each object in the frame before
    events: list[NDArray[np.int64]] = [np.zeros((0, 5), np.int64)]
    for frame, gt_indices, track_indices, ious in zip(
        sequence.frames, sequence.gt_indices, sequence.track_indices, sequence.ious, strict=True
    ):
        if not ious.size:
            continue
        scores = 1000 * (track_indices == current_track[gt_indices][:, None]) + ious
        scores[ious < MIN_IOU - np.finfo(float).eps] = 0
        rows, cols = linear_sum_assignment(-scores)
        matched = scores[rows, cols] > 0
        matched_gt, matched_tracks = gt_indices[rows[matched]], track_indices[cols[matched]]
        previous = last_track[matched_gt]
        switched = (previous >= 0) & (previous != matched_tracks)
        gt, old, new = matched_gt[switched], previous[switched], matched_tracks[switched]
        events.append(np.stack([np.full(len(gt), frame), last_frame[gt], gt, old, new], 1))
        last_track[matched_gt], last_frame[matched_gt] = matched_tracks, frame
        current_track[:] = -1
        current_track[matched_gt] = matched_tracks
    frames, last_frames, gt, old, new = np.concatenate(events).T
    return IdSwitches(frames, last_frames, sequence.gt_ids[gt], sequence.track_ids[old], sequence.track_ids[new])
