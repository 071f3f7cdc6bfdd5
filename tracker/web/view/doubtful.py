"""The moments of a run at which an identity may be wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracker.data.edits import RunTable
from tracker.structures.boxes import paired_iou

CROSSING_IOU = 0.4
"""Least overlap of two tracks that cross."""
GAP_S = 0.5
"""Least seconds in which a track has no box."""
SHORT_S = 0.5
"""Longest duration of a short track, seconds."""
JUMP = 1.0
"""Least move from one frame to the next, relative to the height of the box."""


@dataclass(frozen=True)
class Moment:
    """A moment at which an identity may be wrong.

    Attributes:
        kind: crossing (two tracks overlap), gap (a track comes again), jump (it moves far at once) or short (a track
            of few frames).
        frame: Index of the frame to look at.
        time: Its time, seconds.
        ids: The tracks.
        text: The moment in words.
    """

    kind: str
    frame: int
    time: float
    ids: tuple[int, ...]
    text: str


def find_moments(table: RunTable, after: float, limit: int) -> tuple[list[Moment], float]:
    """Returns the doubtful moments of a run after a time, in order of time, and the time up to which these are all.

    The table is read a part at a time, until there are `limit` moments.

    Args:
        table: The tracks.
        after: Seconds since the source's first frame.
        limit: Number of moments that are enough.
    """
    edits = table.journal.edits()
    tracks = table.tracks(edits)
    short = [
        Moment("short", one.first_frame, one.first_s, (one.id,), f"{one.id} lasts {one.last_s - one.first_s:.2f} s")
        for one in tracks
        if one.last_s - one.first_s < SHORT_S and one.first_s > after
    ]
    first, _ = table.frames_between(after, np.inf)
    found: list[Moment] = []
    last_rows: dict[int, tuple[int, float]] = {}
    for part in table.parts(edits, first):
        if not len(part):
            continue
        found += [moment for moment in _in_part(part, last_rows) if moment.time > after]
        until = float(part["time_s"][-1].as_py())
        if len(found) + sum(moment.time <= until for moment in short) >= limit:
            found += [moment for moment in short if moment.time <= until]
            return sorted(found, key=lambda moment: (moment.time, moment.ids)), until
    return sorted([*found, *short], key=lambda moment: (moment.time, moment.ids)), np.inf


def _in_part(part: pa.Table, last_rows: dict[int, tuple[int, float]]) -> Iterator[Moment]:
    frames, times, ids = (part[name].to_numpy() for name in ("frame", "time_s", "track_id"))
    boxes = np.stack([part[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], 1).astype(np.float64)
    yield from _crossings(frames, times, ids, boxes)
    order = np.lexsort((frames, ids))
    same = ids[order][1:] == ids[order][:-1]
    before, now = order[:-1][same], order[1:][same]
    waits = times[now] - times[before]
    for row in np.flatnonzero(waits >= GAP_S):
        yield _gap(int(ids[now[row]]), int(frames[now[row]]), float(times[now[row]]), float(waits[row]))
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = np.linalg.norm(centers[now] - centers[before], axis=1) / np.maximum(boxes[before, 3] - boxes[before, 1], 1)
    for row in np.flatnonzero((steps >= JUMP) & (waits < GAP_S)):
        one = int(ids[now[row]])
        text = f"{one} moves by {steps[row]:.1f} of its height at once"
        yield Moment("jump", int(frames[now[row]]), float(times[now[row]]), (one,), text)
    starts = np.flatnonzero(np.diff(ids[order], prepend=np.int64(-1)))
    ends = np.append(starts[1:], len(order)) - 1
    for start, end in zip(order[starts].tolist(), order[ends].tolist(), strict=True):
        one = int(ids[start])
        if one in last_rows and times[start] - last_rows[one][1] >= GAP_S:
            yield _gap(one, int(frames[start]), float(times[start]), float(times[start] - last_rows[one][1]))
        last_rows[one] = int(frames[end]), float(times[end])


def _gap(track: int, frame: int, time: float, wait: float) -> Moment:
    return Moment("gap", frame, time, (track,), f"{track} comes again after {wait:.1f} s")


def _crossings(frames: Any, times: Any, ids: Any, boxes: NDArray[np.float64]) -> list[Moment]:
    """Returns the frame of the greatest overlap of each pair of tracks that cross."""
    best: dict[tuple[int, int], tuple[float, int]] = {}
    step = 1
    while True:  # rows of one frame are next to each other
        rows = np.flatnonzero(frames[:-step] == frames[step:]) if step < len(frames) else np.zeros(0, np.int64)
        if not len(rows):
            break
        overlaps = paired_iou(boxes[rows], boxes[rows + step])
        for row, overlap in zip(rows[overlaps >= CROSSING_IOU], overlaps[overlaps >= CROSSING_IOU], strict=True):
            a, b = sorted((int(ids[row]), int(ids[row + step])))
            best[a, b] = max(best.get((a, b), (0.0, 0)), (float(overlap), int(row)))
        step += 1
    return [
        Moment(
            "crossing", int(frames[row]), float(times[row]), pair, f"{pair[0]} and {pair[1]} overlap by {overlap:.2f}"
        )
        for pair, (overlap, row) in best.items()
    ]
