"""Everything that is measured of an embedder: how well it finds individuals again, and tells them apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset
from tracker.errors import InputError
from tracker.evaluation.reid.pairs import QueryGallery
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve, verification_metrics

DEPTH = 20  # ranks of the CMC
BLOCK = 2**22  # pairs that are compared at once, to bound the memory
ACROSS = "/other cameras"


@dataclass(frozen=True, eq=False)
class ReIDMetrics:
    """How good an embedder is.

    Attributes:
        figures: By name. rank-1, rank-5, rank-10, mAP and mINP by the rules of Market-1501: what the same camera saw
            of the same individual is left out. Where cameras are known, the same with `/other cameras`: all that the
            query's camera saw is left out. AUC, equal error and equal-error distance of `distances`; AUC/track and
            max distance of `track_distances`. See `Retrieval` and `VerificationCurve`.
        cmc: float64 (DEPTH,), share of the queries whose first match stands among the k + 1 nearest.
        distances: Of all queries to all crops of the gallery.
        track_distances: Of all queries to all individuals, as the tracker compares detections with tracks: to the mean
            of an individual's crops in the gallery.
        retrieval: What each query got.
    """

    figures: dict[str, float]
    cmc: NDArray[np.float64]
    distances: VerificationCurve
    track_distances: VerificationCurve
    retrieval: Retrieval


def measured(embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> ReIDMetrics:
    """Measures embeddings of crops of known individuals.

    Args:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: So many of the first crops are the queries, and the others the gallery; 0: all crops are both.

    Raises:
        InputError: Nobody is shown in two pictures, by two cameras where these are known, or there is one individual.
    """
    search = QueryGallery.of(embeddings, crops, queries)
    distances = to_tracks = VerificationCurve.nothing()
    by_rule, by_camera = [], []
    step = max(1, BLOCK // len(search.gallery_rows))
    for start in range(0, len(search.query_rows), step):
        rows = search.query_rows[start : start + step]
        pairs = search.pairs(rows)
        distances += VerificationCurve.of(pairs.distances, pairs.same, ~pairs.same_image)
        to_tracks += search.to_means(rows, pairs)
        by_rule.append(Retrieval.of(pairs.distances, pairs.same, pairs.counted))
        by_camera.append(Retrieval.of(pairs.distances, pairs.same, pairs.across))
    found, across = Retrieval.joined(by_rule), Retrieval.joined(by_camera)
    if not len(found.counted) or not to_tracks.complete:
        raise InputError(
            f"{crops.files[0].parent} and so on: nobody is shown in two pictures (by two cameras, where files name "
            "them), or all are one individual: nothing can be scored"
        )
    figures = found.figures() | verification_metrics(distances, to_tracks)
    if (crops.cameras >= 0).any() and len(across.counted):
        figures |= {f"{name}{ACROSS}": value for name, value in across.figures().items()}
    return ReIDMetrics(figures, found.cmc(DEPTH), distances, to_tracks, found)
