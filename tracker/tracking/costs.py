"""What it costs to give a detection to a track, pair by pair."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from tracker.structures.boxes import Floats, paired_giou, paired_iou

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

_MEASURED = [0, 1, 3]
"""Columns of cx, cy and h in a state. The aspect ratio tells no two objects apart: people swing their arms."""
_AT_REST = 0.02
"""Shift of the centre, in box heights, below which a direction is noise."""


def gating_threshold(probability: float) -> float:
    """The squared Mahalanobis distance within which `probability` of a track's true detections lie.

    The quantile of the chi-square distribution with the 4 degrees of freedom of a box, 9.4877 at 0.95.
    Source: arXiv 1703.07402, equation 2.
    """
    return float(chdtri(4, 1 - probability))


def overlap_cost(
    boxes: Floats, detected: Floats, scores: Floats, score_weight: float, generalised: bool
) -> tuple[Floats, Floats]:
    """How little predicted and detected boxes overlap.

    Args:
        boxes: float64 (P, 4) xyxy, predicted.
        detected: float64 (P, 4) xyxy.
        scores: float64 (P,), of the detections.
        score_weight: From 0, the overlap alone, to 1, overlap times score. Source: arXiv 2110.06864.
        generalised: Take the generalised IoU, brought from [-1, 1] to [0, 1].

    Returns:
        The IoU, and the cost from 0 to 1, both float64 (P,). Source: arXiv 1602.00763, section 3.3.
    """
    overlap = paired_iou(boxes, detected)
    likeness = (paired_giou(boxes, detected) + 1) / 2 if generalised else overlap
    if score_weight:
        likeness = likeness * (1 - score_weight + score_weight * np.clip(scores, 0, 1))
    return overlap, 1 - likeness


def negative_log_likelihood(
    mean: Floats,
    spread: Floats,
    noise: Floats,
    measured: Floats,
    tracks: Indices,
    detections: Indices,
    height_weight: float,
) -> Floats:
    """How little a detection was to be expected of a track, in nats; scaling the picture does not change it.

    The negative logarithm of the normal density that the filter predicts, of centre and height, less what it is at the
    centre of a track about which nothing but the measurement's own noise is unknown. So a track of which little is
    known pays for its wide reach, and needs no precedence of others.

    Args:
        mean: float64 (T, 8), predicted states.
        spread: float64 (T, 4), variances with which cx, cy, a, h are expected to be measured.
        noise: float64 (T, 4), the part of these that is the measurement's.
        measured: float64 (N, 4) xyah.
        tracks: int64 (P,), the track of each pair.
        detections: int64 (P,), its detection.
        height_weight: Weight of the squared deviation of the height; that of the centre has 1.

    Returns:
        float64 (P,), 0 or more. Source: Blackman and Popoli 1999, Modern Tracking Systems, section 6.3.
    """
    widening = spread[:, _MEASURED] / noise[:, _MEASURED]
    nats: Floats = 0.5 * np.log(widening[:, 0] * widening[:, 1] * widening[:, 2])[tracks]
    for axis, weight in zip(_MEASURED, (1, 1, height_weight), strict=True):
        deviation = measured[:, axis][detections] - mean[:, axis][tracks]
        nats += (0.5 * weight / spread[:, axis])[tracks] * deviation**2
    return nats


def direction_cost(earlier: Floats, last: Floats, detected: Floats) -> Floats:
    """The angle between a track's motion so far and the way to a detection, as a fraction of a half turn.

    Args:
        earlier: float64 (P, 4) xyxy, a detection of the track some time before its last.
        last: float64 (P, 4) xyxy, its last detection.
        detected: float64 (P, 4) xyxy.

    Returns:
        float64 (P,), 0 to 1; 0 where the track or the way is too short to have a direction. Source: observation-centric
        momentum, arXiv 2203.14360, equation 8.
    """
    start = (earlier[:, :2] + earlier[:, 2:]) / 2
    so_far, way = ((box[:, :2] + box[:, 2:]) / 2 - start for box in (last, detected))
    lengths = np.linalg.norm(so_far, axis=1), np.linalg.norm(way, axis=1)
    height = last[:, 3] - last[:, 1]
    known = (lengths[0] > _AT_REST * height) & (lengths[1] > 0)
    cosine = np.divide((so_far * way).sum(1), lengths[0] * lengths[1], out=np.ones(len(last)), where=known)
    turned: Floats = np.arccos(np.clip(cosine, -1, 1)) / np.pi
    return turned


def motion_appearance_cost(
    motion: Floats, gate: float, cosine: Floats, max_cosine_distance: float, weight: float
) -> tuple[Floats, Mask]:
    """Appearance and motion together, each as a fraction of its gate, for pairs inside both gates.

    Args:
        motion: float64 (P,), squared Mahalanobis distances.
        gate: Largest of them that is admissible.
        cosine: float64 (P,), cosine distances.
        max_cosine_distance: Largest of them that is admissible.
        weight: Weight of the appearance, from 0 to 1; motion has the rest.

    Returns:
        Costs from 0 to 1, and which pairs are admissible. Source: arXiv 1703.07402, equations 5 and 6.
    """
    cost = (1 - weight) / gate * motion + weight / max_cosine_distance * cosine
    return cost, (motion <= gate) & (cosine <= max_cosine_distance)


def min_of_both(overlap: Floats, cost: Floats, cosine: Floats, max_cosine_distance: float) -> Floats:
    """The overlap's cost, or half the cosine distance where that is less and both agree that it may be.

    Args:
        overlap: float64 (P,), IoU.
        cost: float64 (P,), of the overlap.
        cosine: float64 (P,), cosine distances.
        max_cosine_distance: Largest of them that counts.

    Returns:
        float64 (P,). Source: arXiv 2206.14651, equations 12 and 13.
    """
    agree = (cosine <= max_cosine_distance) & (overlap >= 0.5)
    return np.where(agree, np.minimum(cost, cosine / 2), cost)
