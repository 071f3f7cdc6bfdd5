"""The cost of matching a track with a detection, pair by pair."""

import numpy as np

from tracker.structures.boxes import Floats, paired_giou, paired_iou
from tracker.tracking.candidate_pairs import Indices, Mask

_AXES = [0, 1, 3]
"""Columns of cx, cy and h in a state. The aspect ratio is left out: it changes as people swing their arms."""
_MIN_SHIFT = 0.02
"""Shift of the center, in box heights, below which a direction is noise."""


def gating_threshold(probability: float) -> float:
    """Returns the squared Mahalanobis distance within which `probability` of a track's true detections lie.

    The quantile of the chi-square distribution with the 4 degrees of freedom of a box, 9.4877 at 0.95.
    Source: arXiv 1703.07402, equation 2.
    """
    from scipy.special import chdtri  # takes as long to import as NumPy, and few runs need it

    return float(chdtri(4, 1 - probability))


def overlap_cost(
    track_boxes: Floats, detection_boxes: Floats, scores: Floats, score_weight: float, generalized: bool
) -> tuple[Floats, Floats]:
    """Computes the IoU cost of predicted and detected boxes.

    Args:
        track_boxes: float64 (P, 4) xyxy, predicted.
        detection_boxes: float64 (P, 4) xyxy.
        scores: float64 (P,), of the detections.
        score_weight: From 0, the overlap alone, to 1, overlap times score. Source: arXiv 2110.06864.
        generalized: Uses the generalized IoU, mapped from [-1, 1] to [0, 1].

    Returns:
        The IoU, and the cost from 0 to 1, both float64 (P,). Source: arXiv 1602.00763, section 3.3.
    """
    overlap = paired_iou(track_boxes, detection_boxes)
    similarity = (paired_giou(track_boxes, detection_boxes) + 1) / 2 if generalized else overlap
    if score_weight:
        similarity = similarity * (1 - score_weight + score_weight * np.clip(scores, 0, 1))
    return overlap, 1 - similarity


def negative_log_likelihood(
    mean: Floats,
    innovation_variance: Floats,
    measurement_variance: Floats,
    measurements: Floats,
    tracks: Indices,
    detections: Indices,
    height_weight: float,
) -> Floats:
    """Computes the negative log-likelihood of detections under the predicted tracks, in nats.

    The negative logarithm of the normal density that the filter predicts for center and height, relative to the
    density at the center of a track whose state is exactly known, so that only the measurement noise is left. An
    uncertain track thus pays for its wide gate, and no track needs precedence over others. The result does not depend
    on the scale of the image.

    Args:
        mean: float64 (T, 8), predicted states.
        innovation_variance: float64 (T, 4), variances of the innovation of cx, cy, a, h.
        measurement_variance: float64 (T, 4), the part of these that is measurement noise.
        measurements: float64 (N, 4) xyah.
        tracks: int64 (P,), the track of each pair.
        detections: int64 (P,), the detection of each pair.
        height_weight: Weight of the squared deviation of the height; the weight of the center is 1.

    Returns:
        float64 (P,), 0 or more. Source: Blackman and Popoli 1999, Modern Tracking Systems, section 6.3.
    """
    ratio = innovation_variance[:, _AXES] / measurement_variance[:, _AXES]
    nll: Floats = 0.5 * np.log(ratio[:, 0] * ratio[:, 1] * ratio[:, 2])[tracks]
    for axis, weight in zip(_AXES, (1, 1, height_weight), strict=True):
        deviation = measurements[:, axis][detections] - mean[:, axis][tracks]
        nll += (0.5 * weight / innovation_variance[:, axis])[tracks] * deviation**2
    return nll


def direction_cost(earlier_boxes: Floats, last_boxes: Floats, detection_boxes: Floats) -> Floats:
    """Computes the angle between a track's motion so far and the direction to a detection, as a fraction of 180°.

    Args:
        earlier_boxes: float64 (P, 4) xyxy, a detection of the track some time before its last.
        last_boxes: float64 (P, 4) xyxy, its last detection.
        detection_boxes: float64 (P, 4) xyxy.

    Returns:
        float64 (P,), 0 to 1; 0 where one of the two shifts is too short to have a direction.
        Source: observation-centric momentum, arXiv 2203.14360, equation 8.
    """
    start = (earlier_boxes[:, :2] + earlier_boxes[:, 2:]) / 2
    motion, shift = ((boxes[:, :2] + boxes[:, 2:]) / 2 - start for boxes in (last_boxes, detection_boxes))
    lengths = np.linalg.norm(motion, axis=1), np.linalg.norm(shift, axis=1)
    height = last_boxes[:, 3] - last_boxes[:, 1]
    known = (lengths[0] > _MIN_SHIFT * height) & (lengths[1] > 0)
    cosine = np.divide((motion * shift).sum(1), lengths[0] * lengths[1], out=np.ones(len(last_boxes)), where=known)
    angle: Floats = np.arccos(np.clip(cosine, -1, 1)) / np.pi
    return angle


def motion_appearance_cost(
    motion: Floats, gate: float, cosine: Floats, max_cosine_distance: float, weight: float
) -> tuple[Floats, Mask]:
    """Computes the weighted sum of motion and appearance, each as a fraction of its gate.

    Args:
        motion: float64 (P,), squared Mahalanobis distances.
        gate: Largest of them that is admissible.
        cosine: float64 (P,), cosine distances.
        max_cosine_distance: Largest of them that is admissible.
        weight: Weight of the appearance, from 0 to 1; motion has the rest.

    Returns:
        Costs, 0 to 1 inside both gates, and bool (P,), True inside both gates.
        Source: arXiv 1703.07402, equations 5 and 6.
    """
    cost = (1 - weight) / gate * motion + weight / max_cosine_distance * cosine
    return cost, (motion <= gate) & (cosine <= max_cosine_distance)


def min_of_both(overlap: Floats, cost: Floats, cosine: Floats, max_cosine_distance: float) -> Floats:
    """Computes the smaller of the overlap's cost and half the cosine distance, pair by pair; all are float64 (P,).

    It is the overlap's cost where its IoU is below 0.5 or the cosine distance above `max_cosine_distance`.
    Source: arXiv 2206.14651, equations 12 and 13.
    """
    agree = (cosine <= max_cosine_distance) & (overlap >= 0.5)
    return np.where(agree, np.minimum(cost, cosine / 2), cost)
