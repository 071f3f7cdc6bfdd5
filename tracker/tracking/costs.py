"""What it costs to give a detection to a track, from 0 to 1, and which pairs are out of the question."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from tracker.tracking.gallery import Embeddings, Gallery, Indices

Costs = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""float64 (T, N) costs, and bool (T, N) True where the pair is admissible; costs elsewhere mean nothing."""


def gating_threshold(probability: float) -> float:
    """The squared Mahalanobis distance within which `probability` of a track's true detections lie.

    The quantile of the chi-square distribution with the 4 degrees of freedom of a box, 9.4877 at 0.95.
    Source: arXiv 1703.07402, equation 2.
    """
    return float(chdtri(4, 1 - probability))


def overlap_cost(overlap: NDArray[np.float64], min_iou: float) -> Costs:
    """1 - IoU of predicted boxes and detections, for an IoU of float64 (T, N) from `min_iou` up.

    Source: arXiv 1602.00763, section 3.3.
    """
    return 1 - overlap, (overlap >= min_iou) & (overlap > 0)


def appearance_cost(
    motion: Costs,
    gallery: Gallery,
    slots: Indices,
    embeddings: Embeddings,
    max_cosine_distance: float,
    weight: float,
) -> Costs:
    """Appearance and motion together, each as a fraction of its gate, for pairs inside both gates.

    Args:
        motion: Squared Mahalanobis distances as fractions of their gate, float64 (T, N), and the pairs inside it.
        gallery: The tracks' embeddings.
        slots: int64 (T,), each track's slot of the gallery.
        embeddings: float32 (N, D), unit rows, one for each detection.
        max_cosine_distance: The gate of the appearance.
        weight: Weight of the appearance, from 0 to 1; motion has the rest.

    Returns:
        The costs. Source: arXiv 1703.07402, equations 5 and 6.
    """
    distance, inside = motion
    tracks, detections = np.nonzero(inside)
    cosine = gallery.cosine_distance(slots[tracks], embeddings[detections])
    cost = (1 - weight) * distance
    cost[tracks, detections] += weight / max_cosine_distance * cosine
    admissible = np.zeros_like(inside)
    admissible[tracks, detections] = cosine <= max_cosine_distance
    return cost, admissible
