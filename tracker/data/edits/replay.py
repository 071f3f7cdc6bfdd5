"""Edits of a run, made again on the tracks that another tracking of the same video gave."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tracker.data.edits.edit import Edit, Keys
from tracker.data.edits.run_table import RunTable
from tracker.errors import InputError
from tracker.structures.boxes import iou

MIN_IOU = 0.5
"""Least overlap of a box with one of the track before."""
MIN_SHARE = 0.5
"""Least share of a track's boxes that have to be those of one new track."""


@dataclass(frozen=True)
class Misfit:
    """An edit that was not made again, and why."""

    edit: Edit
    reason: str


def replay_edits(edits: list[Edit], table: RunTable, author: str = "") -> tuple[list[Edit], list[Misfit]]:
    """Adds edits of another run to the journal of a run, and returns those that it got, and the others.

    The tracks of an edit are found by their boxes, which the edit has kept.

    Raises:
        InputError: The journal cannot be written.
    """
    made: list[Edit] = []
    misfits: list[Misfit] = []
    renamed: dict[int, int] = {}  # ids that earlier edits gave, and those that they have now
    for edit in edits:
        known = table.journal.edits()
        try:
            found = _translate(edit, table, known, renamed)
            complete = table.complete(found, known)
        except InputError as error:
            misfits.append(Misfit(edit, str(error)))
            continue
        table.journal.add(lambda _, one=complete: one, author)  # type: ignore[misc]
        renamed |= {edit.new_id: complete.new_id} if edit.new_id else {}
        made.append(complete)
    return made, misfits


def _translate(edit: Edit, table: RunTable, edits: list[Edit], renamed: dict[int, int]) -> Edit:
    """Returns an edit with the ids that its tracks have in a run."""
    ids: list[int] = []
    for one in edit.ids:
        anchors = edit.anchors.get(str(one), ())
        before, after = (_matches(part, table, edits) for part in _sides(anchors, edit.frame))
        counts = before + after
        best = max(counts, key=lambda key: (counts[key], -key), default=0)
        if not best or counts[best] < MIN_SHARE * len(anchors):
            raise InputError(f"no track is where {one} was")
        if edit.frame >= 0 and before and after and not (before[best] and after[best]):
            raise InputError(f"the tracks change at frame {edit.frame} already")
        ids.append(best)
    if len(set(ids)) < len(ids):
        raise InputError(f"{edit.ids[0]} and {edit.ids[1]} are one track already")
    new_id = 0 if edit.verb == "split" else edit.new_id
    return replace(edit, ids=tuple(ids), new_id=new_id, anchors={})


def _sides(anchors: Keys, frame: int) -> tuple[Keys, Keys]:
    return tuple(a for a in anchors if a[0] < frame), tuple(a for a in anchors if a[0] >= frame)


def _matches(anchors: Keys, table: RunTable, edits: list[Edit]) -> Counter[int]:
    """Returns how many of some boxes are those of each track."""
    found: Counter[int] = Counter()
    for frame, *box in anchors:
        rows = table.window(frame, frame + 1, edits)
        if len(rows):
            boxes = np.stack([rows[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], 1)
            overlaps = iou(np.array([box], np.float64), boxes.astype(np.float64))[0]
            best = int(overlaps.argmax())
            if overlaps[best] >= MIN_IOU:
                found[rows["track_id"][best].as_py()] += 1
    return found
