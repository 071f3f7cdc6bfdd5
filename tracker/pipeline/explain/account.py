"""The account of a track: its decisions in order of time, uneventful frames folded."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf, isnan
from typing import NamedTuple

import numpy as np

from tracker.config import Config
from tracker.data.edits import Entry, Trace, TrackRow
from tracker.pipeline.explain.wording import Words, number
from tracker.tracking.decisions import Step, TrackChange
from tracker.tracking.linking import LinkLog
from tracker.tracking.track_table import TIME_TOLERANCE

LOST = 3
"""Frames in a row without a detection from which on a track counts as lost; fewer are folded with the others."""


@dataclass(frozen=True, slots=True)
class Link:
    """The link of one side of a tracklet, or the likeliest one if there is none; times in seconds, costs in nats.

    Attributes:
        frame_time: Time of the start or the end of the tracklet.
        side: start or end.
        chosen: The link that was made; None for none.
        best: The likeliest other one; None if there was none within `link_gap`.
        same: True if the link joins two parts of one track of the first pass.
    """

    frame_time: float
    side: str
    chosen: "LinkCost | None"
    best: "LinkCost | None"
    same: bool

    @classmethod
    def from_log(cls, links: LinkLog, one: int, side: str, likeliest: list[int]) -> "Link":
        """Returns the link at a side of the tracklet `one`; `likeliest` are rows of the terms, the linked one first."""
        tracklets, terms = links.tracklets, links.terms
        rows = tracklets.last if side == "end" else tracklets.first
        found = []
        for row in likeliest:
            other = terms.pairs.detections[row] if side == "end" else terms.pairs.tracks[row]
            gap, motion, cosine, nll = (column[row] for column in (terms.gaps, terms.motion, terms.cosine, terms.nll))
            cost = LinkCost(int(links.numbers[other]), int(other), float(gap), float(motion), float(cosine), float(nll))
            found.append((bool(links.linked[row]), cost))
        chosen = found[0][1] if found and found[0][0] else None
        rest = [cost for linked, cost in found if not linked]
        same = chosen is not None and links.serials[one] == links.serials[chosen.tracklet]
        return cls(float(tracklets.times[rows[one]]), side, chosen, rest[0] if rest else None, bool(same))


class LinkCost(NamedTuple):
    """The terms of a link to another tracklet; cosine is NaN without embeddings, nll infinite where it is excluded."""

    track: int
    tracklet: int
    gap: float
    motion: float
    cosine: float
    nll: float


@dataclass(frozen=True)
class Part:
    """The decisions about one track of the tables of a run.

    Attributes:
        track: Its id there.
        steps: The associations, in order of time.
        events: Its birth, confirmation and end, of an offline run those of all its tracks of the first pass.
        links: Of an offline run, what its tracklets were linked with.
        ids: Ids of the tracks of the first pass, by serial.
        log: Of an offline run, what was linked.
        is_whole: False if edits have given its end to another track.
    """

    track: int
    steps: list[Step]
    events: list[TrackChange]
    links: list[Link] = field(default_factory=list)
    ids: dict[int, int] = field(default_factory=dict)
    log: LinkLog | None = None
    is_whole: bool = True

    def between(self, first: int, stop: float) -> "Part":
        """Returns the part in frames from `first` to before `stop`."""
        steps = [step for step in self.steps if first <= step.frame < stop]
        events = [event for event in self.events if first <= event.frame < stop]
        times = [step.time for step in steps] + [event.time for event in events]
        low, high = min(times, default=inf), max(times, default=-inf)
        links = [link for link in self.links if low <= link.frame_time <= high]
        return replace(self, steps=steps, events=events, links=links, is_whole=stop == inf)

    @property
    def is_open(self) -> bool:
        """True if the track had not ended when the run did, and no edit has cut its end off."""
        last = self.steps[-1].time if self.steps else -inf
        return self.is_whole and not any(event.kind == "ended" and event.time >= last for event in self.events)

    def final_track(self, serial: int, time: float) -> int:
        """Returns the id in the tables of a track of the first pass at a time, seconds; 0 if it has none."""
        if self.log is None:
            return self.ids.get(serial, 0)
        tracklets = self.log.tracklets
        rows = np.flatnonzero(self.log.serials == serial)
        rows = rows[tracklets.times[tracklets.first[rows]] <= time]
        return int(self.log.numbers[rows].tolist()[-1]) if len(rows) else 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an account: what happened at a time, or between two.

    Attributes:
        start: Time of the first frame, seconds.
        end: Time of the last one.
        frame: Index of the first frame.
        kind: edit, born, settled, covered, confirmed, matched, lost, missed, found, linked or ended.
        text: What happened, in words.
    """

    start: float
    end: float
    frame: int
    kind: str
    text: str

    def __str__(self) -> str:
        """Returns the line with its times."""
        when = f"{self.start:.2f} s" if self.end <= self.start else f"{self.start:.2f} s to {self.end:.2f} s"
        return f"{when:>22}  {self.text}"


Item = Step | TrackChange | Link


@dataclass(frozen=True)
class Account:
    """Why a track is as it is.

    Attributes:
        row: The track, after the edits.
        parts: The tracks of the tables of the run behind it.
        trace: What the edits made of these.
        entries: The edits that touched it, with author and time.
        config: The settings with which it was tracked.
    """

    row: TrackRow
    parts: list[Part]
    trace: Trace
    entries: list[Entry]
    config: Config

    @property
    def step_count(self) -> int:
        """Number of associations."""
        return sum(len(part.steps) for part in self.parts)

    def heading(self) -> str:
        """Returns the track in one sentence."""
        row = self.row
        seen = f"detected in {row.observed} of {row.frames} frames"
        return f"track {row.id} ({row.category}), {row.first_s:.2f} s to {row.last_s:.2f} s, {seen}"

    def edit_lines(self) -> list[str]:
        """Returns the edits that touched the track, and the tracks behind it, in words."""
        lines = [f"edited by {one.author}, {one.time}: {one.edit.describe()}" for one in self.entries if one.edit]
        if self.entries:
            behind = [f"{part.track}{_frames(part)}" for part in self.parts]
            lines.append(
                f"made of the tracks of the run: {', '.join(behind)}" if behind else "no track of the run is left"
            )
        return lines

    def lines(self) -> list[Line]:
        """Returns what happened, in order of time; frames in which nothing of note happened are folded."""
        found = [line for part in self.parts for line in _Folder(self, part).lines()]
        return sorted(found, key=lambda line: line.start)

    def decisions(self, start: float, end: float) -> list[tuple[Part, Item, Line]]:
        """Returns each decision between two times, seconds, with its part and in words, in order of time."""
        found: list[tuple[Part, Item, Line]] = []
        for part in self.parts:
            folder = _Folder(self, part)
            inside = (item for item in folder.items() if start <= _time(item) <= end)
            found += [(part, item, folder.line(item)) for item in inside]
        return sorted(found, key=lambda each: each[2].start)

    def words(self, part: Part) -> Words:
        """Returns what puts the decisions about a part into words, with the ids that tracks have after the edits."""

        def name(serial: int, frame: int, time: float) -> str:
            track = part.final_track(serial, time)
            shown = self.trace.visible(track, frame) if track else 0
            return f"track {shown}" if shown else "a deleted track" if track else "an unconfirmed track"

        return Words(self.config.tracker, name)


def _frames(part: Part) -> str:
    frames = [step.frame for step in part.steps if step.round] + [event.frame for event in part.events]
    return f" (frames {min(frames)} to {max(frames)})" if frames else ""


def _time(item: Item) -> float:
    return item.frame_time if isinstance(item, Link) else item.time


def _order(item: Item) -> tuple[float, int]:
    """Orders what happens in one frame: a track ends before the association, and is confirmed after it."""
    place = 0
    if isinstance(item, Step):
        place = 1
    elif isinstance(item, TrackChange):
        place = {"born": 0, "ended": 5}.get(item.kind, 2)
    elif isinstance(item, Link):
        place = 3
    return _time(item), place


class _Folder:
    """Makes the lines of a part of an account."""

    def __init__(self, account: Account, part: Part) -> None:
        self._part = part
        self._words = account.words(part)
        self._account = account
        self._prefix = f"[{part.track}] " if len(account.parts) > 1 else ""

    def items(self) -> list[Item]:
        return sorted([*self._part.steps, *self._part.events, *self._part.links], key=_order)

    def lines(self) -> Iterator[Line]:
        quiet: list[Step] = []  # matched, or missed for a few frames
        missed: list[Step] = []
        covered = False
        for item in self.items():
            if isinstance(item, TrackChange) and item.kind == "covered":
                if not covered:
                    yield self.line(item)
                covered = True
                continue
            if isinstance(item, Step) and item.round is None:
                missed.append(item)
                continue
            if len(missed) >= LOST or (missed and not isinstance(item, Step)):
                yield from self._fold(quiet)
                yield from self._lost(missed)
                quiet = []
                if isinstance(item, Step):
                    yield self._found(item, missed)
                    missed = []
                    continue
            else:
                quiet += missed
            missed = []
            if isinstance(item, Step):
                quiet.append(item)
                continue
            yield from self._fold(quiet)
            quiet = []
            yield self.line(item)
        yield from self._fold(quiet)
        yield from self._lost(missed)
        if self._part.is_open and self._part.steps:
            last = self._part.steps[-1]
            text = (
                "the run ends while the track is still followed"
                if last.round
                else "the run ends before it is found again"
            )
            yield self._line(last.time, last.time, last.frame, "ended", text)

    def line(self, item: Item) -> Line:
        """Returns one decision."""
        if isinstance(item, Link):
            rows = [step for step in self._part.steps if step.time <= item.frame_time]
            frame = rows[-1].frame if rows else self._account.row.first_frame
            return self._line(item.frame_time, item.frame_time, frame, "linked", self._link(item))
        if isinstance(item, Step):
            text = self._words.matched(item) if item.round else self._words.missed(item)
            return self._line(item.time, item.time, item.frame, "matched" if item.round else "missed", text)
        return self._line(item.time, item.time, item.frame, item.kind, self._words.event(item))

    def _line(self, start: float, end: float, frame: int, kind: str, text: str) -> Line:
        return Line(start, end, frame, kind, self._prefix + text)

    def _fold(self, steps: list[Step]) -> Iterator[Line]:
        if len(steps) == 1:
            yield self.line(steps[0])
        elif steps:
            text = self._words.folded(steps)
            yield self._line(steps[0].time, steps[-1].time, steps[0].frame, "matched", text)

    def _lost(self, steps: list[Step]) -> Iterator[Line]:
        if not steps:
            return
        yield self._line(steps[0].time, steps[0].time, steps[0].frame, "lost", f"lost: {self._words.missed(steps[0])}")
        if len(steps) > 1:
            reasons = Counter(self._words.reason(step) for step in steps)
            text = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
            shown = sum(step.presence >= self._account.config.tracker.min_presence for step in steps)
            told = f"; shown by prediction in {shown}" if shown and not self._account.config.tracker.offline else ""
            text = f"missed in {len(steps)} frames: {text}{told}"
            yield self._line(steps[0].time, steps[-1].time, steps[0].frame, "missed", text)

    def _found(self, step: Step, missed: list[Step]) -> Line:
        before = [one.time for one in self._part.steps if one.round and one.time < missed[0].time]
        gap = step.time - max(before, default=missed[0].time)
        text = f"found again after {gap:.2f} s: {self._words.matched(step)}"
        return self._line(step.time, step.time, step.frame, "found", text)

    def _link(self, link: Link) -> str:
        config, edge = self._account.config.tracker, "begins" if link.side == "start" else "ends"
        if link.chosen is not None:
            if link.same:
                gap = f"{link.chosen.gap:.2f} s, longer than relink_gap {config.relink_gap:g} s"
                what = f"the gap of {gap}, was linked anew"
            else:
                what = f"a tracklet ends, and was linked with one that begins {link.chosen.gap:.2f} s later"
            rest = f"; the next best link costs {_nats(link.best.nll)}" if link.best else ""
            is_too_long = link.chosen.gap > config.link_gap + TIME_TOLERANCE and not link.same
            if is_too_long or link.chosen.nll >= config.max_nll:
                rest += "; not linked but for a known number of objects (--max-objects, --exactly)"
            return f"{what}: {self._cost(link.chosen)}{rest}"
        if link.best is None:
            other = "ends in the" if link.side == "start" else "begins in the"
            when = "before" if link.side == "start" else "after"
            return f"{edge} here: no other tracklet of its class {other} {config.link_gap:g} s {when}"
        verdict = "is too unlikely" if link.best.nll >= config.max_nll else "was linked with another one"
        shown = self._account.trace.visible(link.best.track, self._account.row.first_frame) if link.best.track else 0
        name = f"that of track {shown or link.best.track}" if link.best.track else "a tracklet that was dropped"
        return f"{edge} here: the likeliest link, with {name}, {verdict}: {self._cost(link.best)}"

    def _cost(self, cost: LinkCost) -> str:
        config = self._account.config.tracker
        parts = [
            f"motion {_nats(cost.motion)}",
            f"{cost.gap:.2f} s without it {_nats(config.absence_penalty * cost.gap)}",
        ]
        if not isnan(cost.cosine):
            nats = config.appearance_evidence * (cost.cosine - config.neutral_distance)
            parts.append(f"appearance {_nats(nats)} (cosine distance {number(cost.cosine)})")
        return f"{' + '.join(parts)} = {_nats(cost.nll)}, max_nll {config.max_nll:g}"


def _nats(value: float) -> str:
    return number(value, 1)
