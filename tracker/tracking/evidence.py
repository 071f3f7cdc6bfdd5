"""The evidence that a track shows an object: the sum of the log-odds of its detections' scores."""

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, area, intersection
from tracker.tracking.candidate_pairs import Mask
from tracker.tracking.track_table import Indices, TrackTable

EVEN_SCORE = 0.55
"""Score that is evidence neither for nor against an object. It is above a half since the frames of a video are no
independent samples: a post that looks like a person does so in every frame."""
_COVERED_FACTOR = 4
"""Evidence for a covered track, in `min_evidence`: more often than others it is a part of those that cover it."""
_MAX_SCORE = 0.99
"""Greatest score, and one minus the least, that is taken as a probability: no single box is surer."""


def log_odds(scores: Floats) -> Floats:
    """Returns the evidence of scores (N,), nats: their log-odds as probabilities, relative to those of `EVEN_SCORE`.

    Example:
        >>> log_odds(np.array([0.55, 0.6, 0.8])).round(2).tolist()
        [0.0, 0.2, 1.19]
    """
    probability = np.clip(scores, 1 - _MAX_SCORE, _MAX_SCORE)
    evidence: Floats = np.log(probability / (1 - probability)) - np.log(EVEN_SCORE / (1 - EVEN_SCORE))
    return evidence


def settle_weak_tracks(table: TrackTable, rows: Indices, scores: Floats, config: TrackerConfig) -> None:
    """Turns weak tracks into tentative ones: those of enough evidence, and those with a detection that may start any.

    Such a detection counts as the track's first one. `rows` of the table, int64 (N,), were just detected, with scores
    (N,).
    """
    weak = table.weak[rows]
    rows, scores = rows[weak], scores[weak]
    may_start = scores >= max(config.start_score, config.high_score)
    table.hits[rows[may_start]] = 1
    table.weak[rows] = ~may_start & (table.evidence[rows] < config.min_evidence)


def has_own_evidence(table: TrackTable, rows: Indices, others: Indices, config: TrackerConfig) -> Mask:
    """Returns True for rows of the table, int64 (N,), that show an object of their own, not parts of other tracks.

    That is so where other tracks of the same class cover little of the box, or the evidence is enough although only the
    uncovered fraction of it counts. Source of the sum of log-odds: Wald 1945, the sequential probability ratio test.
    """
    boxes = table.last_box[rows]
    covered = intersection(boxes, table.last_box[others])
    covered[table.labels[rows][:, None] != table.labels[others]] = 0
    fraction = covered.sum(1) / area(boxes)
    own: Mask = fraction < config.max_occlusion
    if config.min_evidence:
        own |= table.evidence[rows] * (1 - fraction) >= _COVERED_FACTOR * config.min_evidence
    return own
