"""The account of a track as the page shows it: its lines, and the terms of the frames of a part of the run."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.tracking.decisions import Step

if TYPE_CHECKING:
    from tracker.pipeline.explain import Account


def window_of_account(account: "Account", start: float, end: float) -> dict[str, Any]:
    """Returns the lines of an account, and what was decided in each frame between two times, seconds.

    `frames` has, by the index of a frame, the texts of its decisions, a table of the terms (see `Words.table`), and the
    box of the runner-up detection.
    """
    frames: dict[int, dict[str, Any]] = {}
    for part, item, line in account.decisions(start, end):
        found = frames.setdefault(line.frame, {"texts": [], "table": [], "other": None})
        found["texts"].append(line.text)
        if isinstance(item, Step):
            found["table"] = account.words(part).table(item) if item.own else []
            found["other"] = item.other.box if item.other else None
    return {
        "heading": account.heading(),
        "edits": account.edit_lines(),
        "lines": [asdict(line) for line in account.lines()],
        "frames": frames,
    }
