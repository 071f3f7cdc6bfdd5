"""The account of a track as rows of a table: one for each association and each event."""

from dataclasses import dataclass
from math import nan

from tracker.pipeline.explain.account import Account
from tracker.tracking.decisions import Step, TrackChange


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision about a track; see `Pair` and `Step` for the columns. Numbers that do not apply are NaN, ids 0.

    Attributes:
        event: matched or missed, or what happened; see `Line`.
        source_track: The track in the tables of the run, before edits.
        rival_track: The track that was the likeliest other one for the detection, or that got it; 0 for one without id.
        rival_cost: Its cost.
        other_score: Score of the likeliest other detection.
        other_cost: Its cost.
        text: The decision in words.
    """

    frame: int
    time_s: float
    track_id: int
    source_track: int
    event: str
    round: str
    score: float
    overlap: float
    motion: float
    absence: float
    appearance: float
    cosine: float
    likelihood: float
    cost: float
    obstacle: str
    rival_track: int
    rival_cost: float
    other_score: float
    other_cost: float
    presence: float
    text: str


def decision_rows(account: Account, start: float, end: float) -> list[DecisionRow]:
    """Returns the decisions between two times, seconds, in order of time."""
    found: list[DecisionRow] = []
    for part, item, line in account.decisions(start, end):
        step = item if isinstance(item, Step) else None
        own, rival, other = (step.own, step.rival, step.other) if step else (None, None, None)
        shown = account.trace.visible(part.final_track(rival.serial, line.start), line.frame) if rival and step else 0
        row = DecisionRow(
            frame=line.frame,
            time_s=line.start,
            track_id=account.row.id,
            source_track=part.track,
            event=line.kind,
            round=str(step.round or "") if step else "",
            score=own.score if own else item.score if isinstance(item, TrackChange) else nan,
            overlap=own.overlap if own else nan,
            motion=own.motion if own else nan,
            absence=own.absence if own else nan,
            appearance=own.appearance if own else nan,
            cosine=own.cosine if own else nan,
            likelihood=own.likelihood if own else nan,
            cost=own.cost if own else nan,
            obstacle=str(own.obstacle) if own else "",
            rival_track=shown,
            rival_cost=rival.cost if rival else nan,
            other_score=other.score if other else nan,
            other_cost=other.cost if other else nan,
            presence=step.presence if step else nan,
            text=line.text,
        )
        found.append(row)
    return found
