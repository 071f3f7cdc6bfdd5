"""Where tracks change identity: the events that MOTA counts as id switches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.mot.alignment import Alignment, Numbers

MIN_IOU = 0.5
"""Least IoU of a found and a true box that can be matched."""


@dataclass(frozen=True, eq=False)
class Switches:
    """S id switches of a sequence, by frame.

    Attributes:
        frames: int64 (S,), the first frame in which the object was matched to the new id.
        last_frames: int64 (S,), the last frame before in which it was matched, to the old id.
        objects: int64 (S,), true ids.
        old: int64 (S,), found ids.
        new: int64 (S,), found ids.
    """

    frames: Numbers
    last_frames: Numbers
    objects: Numbers
    old: Numbers
    new: Numbers

    def __len__(self) -> int:
        return len(self.frames)


def id_switches(sequence: Alignment) -> Switches:
    """Finds the id switches of a sequence; there are as many as trackeval counts.

    In each frame objects and tracks are matched one to one, so that first as many pairs of the frame before as
    possible stay together, and then the sum of IoUs is largest. An object switches when it is matched to another
    track than the last time, however long ago that was.

    Source: Bernardin and Stiefelhagen 2008, CLEAR MOT (doi 10.1155/2008/246309), section 2.1.3; where that leaves a
    choice, as trackeval: a frame without any object or without any track does not end what was together before.
    """
    from scipy.optimize import linear_sum_assignment

    count = len(sequence.object_ids)
    last_track, last_frame = np.full(count, -1), np.full(count, -1)
    current = np.full(count, -1)  # the track of each object in the frame before
    events: list[NDArray[np.int64]] = [np.zeros((0, 5), np.int64)]
    for frame, objects, tracks, overlap in zip(
        sequence.frames, sequence.objects, sequence.tracks, sequence.overlaps, strict=True
    ):
        if not overlap.size:
            continue
        worth = 1000 * (tracks == current[objects][:, None]) + overlap
        worth[overlap < MIN_IOU - np.finfo(float).eps] = 0
        rows, columns = linear_sum_assignment(-worth)
        matched = worth[rows, columns] > 0
        held, by = objects[rows[matched]], tracks[columns[matched]]
        before = last_track[held]
        switched = (before >= 0) & (before != by)
        which = held[switched]
        events.append(
            np.stack([np.full(len(which), frame), last_frame[which], which, before[switched], by[switched]], 1)
        )
        last_track[held], last_frame[held] = by, frame
        current[:] = -1
        current[held] = by
    columns_of = np.concatenate(events).T
    ids = (sequence.object_ids, sequence.track_ids, sequence.track_ids)
    return Switches(*columns_of[:2], *(known[numbers] for known, numbers in zip(ids, columns_of[2:], strict=True)))
