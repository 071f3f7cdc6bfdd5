"""Repairs of a run's tracks: a journal in its folder, which readers of the tracks apply."""

from tracker.data.edits.apply import apply_edits
from tracker.data.edits.edit import Edit, Keys
from tracker.data.edits.journal import Conflict, Journal
from tracker.data.edits.replay import Misfit, replay_edits
from tracker.data.edits.run_table import RunTable, TrackRow

__all__ = ["Conflict", "Edit", "Journal", "Keys", "Misfit", "RunTable", "TrackRow", "apply_edits", "replay_edits"]
