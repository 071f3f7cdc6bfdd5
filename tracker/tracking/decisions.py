"""The record of a tracker's decisions about some tracks: what each was matched with, what else could have been."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import nan

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats
from tracker.tracking.association_inputs import PredictedTracks, PreparedDetections
from tracker.tracking.candidate_pairs import CandidatePairs, Indices, Mask
from tracker.tracking.track_table import TrackTable


class Round(StrEnum):
    """The rounds of the association; see `Associator`."""

    COST = "cost"
    LOW_SCORE = "low score"
    LAST_BOX = "last box"
    TENTATIVE = "tentative"
    OVERLAP = "overlap"
    BORDER = "border"
    WEAK = "weak"


class Obstacle(StrEnum):
    """Reasons why a track and a detection cannot be matched by their cost."""

    NONE = ""
    CLASS = "class"
    SCORE = "score"
    OVERLAP = "overlap"
    LIKELIHOOD = "likelihood"
    GATE = "gate"
    APPEARANCE = "appearance"


class EndCause(StrEnum):
    """Reasons why a track ends."""

    AGE = "age"
    AREA = "area"
    TENTATIVE = "tentative"
    LEFT = "left"
    DUPLICATE = "duplicate"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, eq=False)
class PairTerms:
    """The terms of the costs of P pairs of a track and a detection."""

    pairs: CandidatePairs
    overlap: Floats  # float64 (P,), IoU of the expanded boxes
    known: Indices  # int64 (K,), the pairs of which both sides have an embedding
    distance: Floats | None  # "likelihood": float64 (P,) nats; "mahalanobis": (K,), squared; "iou": None
    cosine: Floats  # float64 (K,), cosine distance of those
    cost: Floats  # float64 (P,)
    admissible: Mask  # bool (P,)


@dataclass(frozen=True, slots=True)
class Pair:
    """A track and a detection that were compared; numbers that were not computed are NaN.

    Attributes:
        serial: Number of the track among all that were started, from 0.
        track: Its id at that time; 0 for one that was not confirmed.
        detection: Row among the frame's detections.
        box: The detection, xyxy in pixels of the image.
        score: Score of the detection.
        overlap: IoU of predicted and detected box, both expanded by `buffer_scale`.
        motion: Negative log-likelihood of place and height, nats; of "mahalanobis" the squared distance.
        absence: Nats for the time since the latest detection.
        appearance: Nats for the cosine distance.
        cosine: Cosine distance of the embeddings.
        cost: What the assignment minimizes.
        obstacle: Why they cannot be matched by their cost; empty if they can.
    """

    serial: int
    track: int
    detection: int
    box: tuple[float, ...]
    score: float
    overlap: float
    motion: float
    absence: float
    appearance: float
    cosine: float
    cost: float
    obstacle: Obstacle

    @property
    def likelihood(self) -> float:
        """The negative log-likelihood that `max_nll` limits: the sum of motion, absence and appearance, nats."""
        return self.motion + self.absence + (0.0 if np.isnan(self.appearance) else self.appearance)


@dataclass(slots=True)
class Step:
    """The result of the association of one frame for a track.

    Attributes:
        frame: Index of the frame.
        time: Its time, seconds.
        serial: The track; see `Pair`.
        round: The round that matched it; None if it was missed.
        value: What that round minimized, of the match: the cost, or 1 - IoU; NaN if it was missed.
        own: The pair that was matched; if none was, the likeliest one; None if no detection was near.
        other: The likeliest other detection of the track.
        rival: The likeliest other track of the detection; if the track was missed, the one that got it.
        presence: Probability that the object is visible, 1 where it was detected.
    """

    frame: int
    time: float
    serial: int
    round: Round | None = None
    value: float = nan
    own: Pair | None = None
    other: Pair | None = None
    rival: Pair | None = None
    presence: float = 1.0


@dataclass(frozen=True, slots=True)
class TrackChange:
    """A change in the life of a track.

    Attributes:
        frame: Index of the frame.
        time: Its time, seconds.
        serial: The track; see `Pair`.
        kind: born, settled (enough evidence for a tentative track), covered (not confirmed, since other tracks cover
            it), confirmed or ended.
        score: Of the detection with which it was born.
        is_weak: True if it was born of a detection that starts no track on its own.
        hits: Number of detections so far.
        evidence: Nats, see `log_odds`.
        nearest: The likeliest track of that detection, which was not matched with it.
        cause: Why it ended; None for the others.
    """

    frame: int
    time: float
    serial: int
    kind: str
    score: float = nan
    is_weak: bool = False
    hits: int = 0
    evidence: float = nan
    nearest: Pair | None = None
    cause: EndCause | None = None


@dataclass(slots=True)
class _Frame:
    """The pairs, matches and results so far of the frame that is tracked."""

    of_track: dict[int, list[Pair]] = field(default_factory=dict)  # by serial
    of_detection: dict[int, list[Pair]] = field(default_factory=dict)
    matches: dict[int, tuple[Round, int, float]] = field(default_factory=dict)  # by serial: round, detection, value
    steps: dict[int, Step] = field(default_factory=dict)


class DecisionLog:
    """The decisions about some tracks, frame by frame; `DeepSort` fills it where its `log` is one.

    A log only reads, and changes no result. Of tracks that are not followed nothing is kept but their ids.

    Attributes:
        frame: Index of the frame that is tracked; whoever reads the frames sets it.
        steps: Of each track that is followed, by serial.
        events: Likewise.
        ids: Ids of all confirmed tracks, by serial.
    """

    def __init__(self, ids: Collection[int] = (), serials: Collection[int] = ()) -> None:
        """Takes the tracks to follow: those that will be confirmed with some ids, and those of some serials."""
        self.frame = -1
        self.steps: dict[int, list[Step]] = {}
        self.events: dict[int, list[TrackChange]] = {}
        self.ids: dict[int, int] = {}
        self._wanted_ids, self._wanted = frozenset(ids), set(serials)
        self._open = len(self._wanted_ids) + len(self._wanted)
        self._weak: dict[int, bool] = {}
        self._now = _Frame()

    @property
    def is_complete(self) -> bool:
        """True once all tracks that are followed have ended."""
        return self._open <= 0

    def add_match(self, table: TrackTable, name: Round, pairs: CandidatePairs, values: Floats) -> None:
        """Takes the matches of a round, and the value of each that the round minimized, float64 (P,)."""
        serials = table.serials[pairs.tracks].tolist()
        for serial, detection, value in zip(serials, pairs.detections.tolist(), values.tolist(), strict=True):
            self._now.matches[serial] = name, detection, value

    def add_terms(
        self,
        terms: PairTerms,
        obstacles: Iterable[Obstacle],
        predicted: PredictedTracks,
        detections: PreparedDetections,
        config: TrackerConfig,
        time: float,
    ) -> None:
        """Takes all pairs of the frame that are near each other, with an `Obstacle` for each, after the rounds."""
        frame = self._now
        for pair in _pairs(terms, obstacles, predicted, detections, config):
            frame.of_track.setdefault(pair.serial, []).append(pair)
            frame.of_detection.setdefault(pair.detection, []).append(pair)
        got = {int(detections.rows[detection]): serial for serial, (_, detection, _) in frame.matches.items()}
        table = predicted.table
        for serial, track in zip(table.serials.tolist(), table.ids.tolist(), strict=True):
            if self._is_followed(serial, track):
                row = frame.matches.get(serial)
                found = (row[0], int(detections.rows[row[1]]), row[2]) if row else None
                frame.steps[serial] = self._step(serial, time, found, got)

    def add_starts(self, table: TrackTable, first: int, is_weak: bool, time: float) -> None:
        """Takes the tracks that start, the rows of the table from `first` on."""
        for row in range(first, len(table)):
            serial, detection = int(table.serials[row]), int(table.detection_index[row])
            if not self._is_followed(serial, 0):
                continue
            nearest = min(self._now.of_detection.get(detection, []), key=_by_cost, default=None)
            evidence = float(table.evidence[row])
            score = float(table.scores[row])
            self._add(TrackChange(self.frame, time, serial, "born", score, is_weak, 1, evidence, nearest))
            self._weak[serial] = is_weak

    def add_confirmed(self, table: TrackTable, rows: Indices, covered: Indices, time: float) -> None:
        """Takes the rows of the table that have just got an id, and those that others cover."""
        for kind, which in (("confirmed", rows), ("covered", covered)):
            for row in which.tolist():
                serial, track = int(table.serials[row]), int(table.ids[row])
                if kind == "confirmed":
                    self.ids[serial] = track
                if not self._is_followed(serial, track):
                    self._forget(serial)
                    continue
                hits, evidence = int(table.hits[row]), float(table.evidence[row])
                self._add(TrackChange(self.frame, time, serial, kind, hits=hits, evidence=evidence))

    def add_ends(self, serials: Indices, cause: EndCause, time: float) -> None:
        """Takes the tracks that end."""
        for serial in serials.tolist():
            track = self.ids.get(serial, 0)
            if track in self._wanted_ids or serial in self._wanted:
                self._open -= cause is not EndCause.REPLACED  # its id goes on with another track
                self._add(TrackChange(self.frame, time, serial, "ended", cause=cause))
            else:
                self._forget(serial)

    def end_frame(self, table: TrackTable, time: float) -> None:
        """Takes the table after a frame."""
        frame, self._now = self._now, _Frame()
        columns = table.serials, table.ids, table.misses, table.weak, table.presence, table.hits, table.evidence
        for serial, track, misses, weak, presence, hits, evidence in zip(*(c.tolist() for c in columns), strict=True):
            if not self._is_followed(serial, track):
                continue
            if self._weak.get(serial) and not weak:
                self._add(TrackChange(self.frame, time, serial, "settled", hits=hits, evidence=evidence))
            self._weak[serial] = weak
            if misses and serial not in frame.steps:  # there was nothing to associate
                frame.steps[serial] = Step(self.frame, time, serial)
            if serial in frame.steps:
                frame.steps[serial].presence = presence
        for serial, step in frame.steps.items():
            if serial in self.events:  # otherwise it has just been given up
                self.steps.setdefault(serial, []).append(step)

    def _is_followed(self, serial: int, track: int) -> bool:
        return track in self._wanted_ids or serial in self._wanted or (not track and bool(self._wanted_ids))

    def _forget(self, serial: int) -> None:
        self.steps.pop(serial, None)
        self.events.pop(serial, None)
        self._weak.pop(serial, None)

    def _add(self, event: TrackChange) -> None:
        self.events.setdefault(event.serial, []).append(event)

    def _step(self, serial: int, time: float, match: tuple[Round, int, float] | None, got: dict[int, int]) -> Step:
        frame = self._now
        pairs = sorted(frame.of_track.get(serial, []), key=_by_cost)
        if match is None:
            own, other = _first(pairs), _first(pairs[1:])
            rivals = (
                [pair for pair in frame.of_detection[own.detection] if pair.serial == got.get(own.detection)]
                if own
                else []
            )
            return Step(self.frame, time, serial, own=own, other=other, rival=_first(rivals))
        name, detection, value = match
        own = _first([pair for pair in pairs if pair.detection == detection])
        others = [pair for pair in pairs if pair.detection != detection]
        rivals = sorted((p for p in frame.of_detection.get(detection, []) if p.serial != serial), key=_by_cost)
        return Step(self.frame, time, serial, name, value, own, _first(others), _first(rivals))


def _first(pairs: list[Pair]) -> Pair | None:
    return pairs[0] if pairs else None


def _by_cost(pair: Pair) -> tuple[bool, float, int, int]:
    return pair.obstacle is not Obstacle.NONE, pair.cost, pair.serial, pair.detection


def _pairs(
    terms: PairTerms,
    obstacles: Iterable[Obstacle],
    predicted: PredictedTracks,
    detections: PreparedDetections,
    config: TrackerConfig,
) -> list[Pair]:
    t, d, table = terms.pairs.tracks, terms.pairs.detections, predicted.table
    cosine, motion, appearance, absence = (np.full(len(t), nan) for _ in range(4))
    cosine[terms.known] = terms.cosine
    if config.association == "likelihood" and terms.distance is not None:
        absence = predicted.absence_penalty[t]
        appearance = config.appearance_evidence * (cosine - config.neutral_distance)
        motion = terms.distance - absence - np.nan_to_num(appearance)
    elif terms.distance is not None:
        motion[terms.known] = terms.distance
    columns = table.serials[t], table.ids[t], detections.rows[d], detections.boxes[d], detections.scores[d]
    numbers = terms.overlap, motion, absence, appearance, cosine, terms.cost
    rows = zip(*(column.tolist() for column in (*columns, *numbers)), obstacles, strict=True)
    return [Pair(serial, track, row, tuple(box), *rest) for serial, track, row, box, *rest in rows]
