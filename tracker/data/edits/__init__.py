"""Repairs of a run's tracks: a journal in its folder, which readers of the tracks apply."""

from tracker.data.edits.apply import apply_edits
from tracker.data.edits.edit import Edit, Keys
from tracker.data.edits.journal import Conflict, Entry, Journal
from tracker.data.edits.replay import Misfit, replay_edits
from tracker.data.edits.run_table import RunTable, TrackRow
from tracker.data.edits.trace import Piece, Trace

__all__ = [
    "Conflict",
    "Edit",
    "Entry",
    "Journal",
    "Keys",
    "Misfit",
    "Piece",
    "RunTable",
    "Trace",
    "TrackRow",
    "apply_edits",
    "replay_edits",
]
