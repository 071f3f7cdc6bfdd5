"""The probability that the object of a missed track is still visible, and only the detector missed it."""

import numpy as np

from tracker.structures.boxes import Floats, iou, xyah_to_xyxy
from tracker.tracking.track_table import Indices, TrackTable

_LEAVE_RATE = 0.5
"""Objects per second that become invisible, of those that are visible."""
_RETURN_TIME = 0.2
"""Time constant, seconds: after a gap this long, one in e objects was visible all the time."""
_PRIOR_HITS, _PRIOR_MISSES = 10.0, 0.1
"""Frames in which the detector is assumed to have found, and to have missed, an object before its first detection."""

_SAME_PLACE = 0.7
"""IoU beyond which a detected track takes the place of a missed one."""
_UNLIKELY = 0.01
"""Probability up to which it makes no difference whether the place is taken."""


def count_misses(table: TrackTable, rows: Indices, time: float) -> None:
    """Counts the frames since the latest detection of tracks that are detected again at `time` seconds.

    They count as misses of the detector, unless the gap was so long that the object was hidden in it. `rows` of the
    table, int64 (N,), still have the time and the misses of before.
    """
    visible = np.exp(-(time - table.last_time[rows]) / _RETURN_TIME)
    table.skipped[rows] += (table.misses[rows] - 1) * visible


def update_presence(table: TrackTable, elapsed: float) -> None:
    """Updates the probability that each object is visible, `elapsed` seconds after the frame before.

    A hidden Markov model of two states: an object that is visible becomes invisible at a constant rate, and is detected
    as often as it was so far. A track that was detected in this frame has probability 1. One that was always detected
    falls below a half with its first miss; the object of one that was missed in every fourth frame is likelier there.
    A missed track whose place a detected one takes has probability 0: it shows the same object, or one behind it.
    Source: the forward algorithm, Rabiner 1989; the existence probability of a track, Musicki and Evans 2004 (IPDA).
    """
    found, missed = table.hits + _PRIOR_HITS, table.skipped + _PRIOR_MISSES
    prior: Floats = table.presence * np.exp(-_LEAVE_RATE * elapsed)
    overlooked = prior * missed / (found + missed)
    detected = table.misses == 0
    table.presence = np.where(detected, 1.0, overlooked / (overlooked + 1 - prior))
    likely = np.flatnonzero(~detected & (table.presence > _UNLIKELY))
    if len(likely):
        boxes = xyah_to_xyxy(table.mean[:, :4])
        taken = iou(boxes[likely], boxes[detected]).max(1, initial=0) > _SAME_PLACE
        table.presence[likely[taken]] = 0
