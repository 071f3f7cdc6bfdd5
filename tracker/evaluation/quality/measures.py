"""Measures of the quality of tracks that need no ground truth."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.data.run_tracks import RunTracks
from tracker.evaluation.quality.passes import Indices, PassComparison
from tracker.structures.boxes import Floats

_JUMP = 0.3
"""Deviation of a box from where its track was going, in heights of the box, that is no jump however short the time."""
_JUMP_PER_SECOND = 1.0
"""Heights by which the limit of `_JUMP` grows for each second between both detections."""
_SIZE_JUMP = 0.4
"""Change of the logarithm of the height from one detection to the next that is a jump: by half."""


def count_pairs(tracks: RunTracks, comparison: PassComparison) -> tuple[Indices, Indices, Indices]:
    """Returns the pairs of a track of the run and one of the backward pass that share detections.

    They are the ids of the first, those of the second, and the number of detections that they share, int64 (P,) each.
    """
    rows = np.flatnonzero(comparison.row_detection >= 0)
    backward = comparison.backward_ids[comparison.row_detection[rows]]
    pairs = np.stack([tracks.ids[rows], backward], axis=1)[backward > 0]
    known, count = np.unique(pairs, axis=0, return_counts=True)
    return known[:, 0].astype(np.int64), known[:, 1].astype(np.int64), count.astype(np.int64)


def association_agreement(tracks: RunTracks, comparison: PassComparison) -> tuple[dict[int, float], float, float]:
    """Returns how far both passes agree about which detections are one object's.

    Returns:
        By track: the mean over its observed rows of the Jaccard index of the detections of both passes' tracks there,
        0 where the backward pass has none. The same of all tracks together, as HOTA combines it with the agreement
        about which detections belong to any track: the geometric mean of both. And IDF1 of both passes.
        Source: Luiten et al. 2021, arXiv 2009.07736, with one pass in place of the ground truth.
    """
    ids, sizes = np.unique(tracks.ids[tracks.observed], return_counts=True)
    forward, backward, shared = count_pairs(tracks, comparison)
    backward_sizes = np.bincount(comparison.backward_ids)
    size = sizes[np.searchsorted(ids, forward)]
    jaccard = shared / (size + backward_sizes[backward] - shared)
    total = np.zeros(len(ids))
    np.add.at(total, np.searchsorted(ids, forward), shared * jaccard)
    by_track = dict(zip(ids.tolist(), (total / sizes).tolist(), strict=True))
    in_both, in_backward = int(shared.sum()), int(backward_sizes[1:].sum())
    in_any = int(sizes.sum()) + in_backward - in_both
    hota = float(np.sqrt(total.sum() / in_any)) if in_both else 0.0  # AssA and DetA both have `in_both`, which cancels
    return by_track, hota, _idf1(forward, backward, shared, int(sizes.sum()) + in_backward)


def _idf1(forward: Indices, backward: Indices, shared: Indices, detections: int) -> float:
    """Returns IDF1 of two sets of tracks with so many detections in all. Source: arXiv 1609.01775."""
    if not detections or not len(shared):
        return 0.0
    rows, row = np.unique(forward, return_inverse=True)
    columns, column = np.unique(backward, return_inverse=True)
    matrix = np.zeros((len(rows), len(columns)), np.int64)
    matrix[row, column] = shared
    return float(2 * matrix[linear_sum_assignment(matrix, maximize=True)].sum() / detections)


def fill_fraction(track: RunTracks, frame_times: Floats) -> float:
    """Returns the fraction of the frames from the first to the last detection of a track in which it was detected."""
    times = track.times[track.observed]
    if not len(times):
        return 0.0
    first, last = np.searchsorted(frame_times, (times[0] - 1e-6, times[-1] + 1e-6))
    return min(1.0, len(times) / max(1, int(last - first)))


def count_fragments(track: RunTracks, frame_times: Floats) -> int:
    """Returns the number of parts of a track between which it was not detected for a frame or more."""
    frames = np.searchsorted(frame_times, track.times[track.observed] - 1e-6)
    return int((np.diff(frames) > 1).sum()) + 1 if len(frames) else 0


def find_jumps(track: RunTracks) -> NDArray[np.bool_]:
    """Returns which steps between detections, bool (T - 1,), no object makes.

    It is a jump where the height changes by half, or where the center is farther from the straight line through the two
    detections before than an object can get in the time.
    """
    observed = track.select(track.observed)
    times, boxes = observed.times, observed.boxes
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    step = np.diff(times)
    jumps: NDArray[np.bool_] = np.abs(np.diff(np.log(heights))) > _SIZE_JUMP
    if len(times) > 2:
        velocity = np.diff(centers, axis=0) / step[:, None]
        deviation = np.linalg.norm((velocity[1:] - velocity[:-1]) * step[1:, None], axis=1)
        limit = (_JUMP + _JUMP_PER_SECOND * (step[1:] + step[:-1])) * np.maximum(heights[2:], heights[1:-1])
        jumps[1:] |= deviation > limit
    return jumps


def appearance_consistency(tracks: RunTracks, comparison: PassComparison) -> dict[int, float]:
    """Returns for each track how much more alike its detections are than those of it and of others, 0 to 1.

    With `within`, the mean cosine distance of two detections of the track, and `between`, that of one of its detections
    and one of another track that was there at the same time and so is another object, it is
    between / (within + between): 0.5 where appearance tells nothing, 1 where it tells all. Tracks without embeddings,
    of one detection, or without another one beside them are left out.
    """
    ids, sums, counts = comparison.embedding_ids, comparison.embedding_sums, comparison.embedding_counts
    spans = {int(one.ids[0]): (float(one.times[0]), float(one.times[-1])) for one in tracks.by_track()}
    starts, ends = (np.array([spans[each][side] for each in ids.tolist()]) for side in (0, 1))
    found = {}
    for n, track_id in enumerate(ids.tolist()):
        beside = (starts <= ends[n]) & (ends >= starts[n])
        beside[n] = False
        if counts[n] < 2 or not beside.any():
            continue
        length = float(sums[n] @ sums[n])
        within = 1 - (length - counts[n]) / (counts[n] * (counts[n] - 1))
        between = 1 - float(sums[n] @ sums[beside].sum(0)) / (counts[n] * counts[beside].sum())
        found[track_id] = float(np.clip(between / max(within + between, 1e-9), 0, 1))
    return found
