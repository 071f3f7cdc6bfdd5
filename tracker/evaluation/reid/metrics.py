"""Evaluates embeddings of crops: retrieval and verification."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset
from tracker.errors import InputError
from tracker.evaluation.reid.pairs import QueryGallery
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve, verification_metrics

DEPTH = 20  # ranks of the CMC
BLOCK = 2**22  # pairs compared at once, to bound the memory
CROSS_CAMERA = "/other cameras"


@dataclass(frozen=True, eq=False)
class ReIDMetrics:
    """Metrics of an embedder.

    Attributes:
        metrics: By name. rank-1, rank-5, rank-10, mAP and mINP by the rules of Market-1501: gallery crops of the
            query's identity and camera are ignored. If cameras are known, the same with `/other cameras`: all gallery
            crops of the query's camera are ignored. AUC, EER and EER distance of `distances`; AUC/track and max
            distance of `track_distances`. See `Retrieval` and `VerificationCurve`.
        cmc: float64 (DEPTH,), fraction of the queries whose first match has a rank of at most k + 1.
        distances: Distances of all queries to all gallery crops.
        track_distances: Distances of all queries to the mean of each identity's gallery crops, as the tracker compares
            detections with tracks.
        retrieval: The ranking of each query.
    """

    metrics: dict[str, float]
    cmc: NDArray[np.float64]
    distances: VerificationCurve
    track_distances: VerificationCurve
    retrieval: Retrieval


def evaluate_embeddings(embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> ReIDMetrics:
    """Evaluates embeddings of crops of known identities.

    Args:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: Number of the first crops that are the queries, the others being the gallery; 0: all crops are both.

    Raises:
        InputError: No identity is shown in two images (by two cameras, if these are known), or there is only one.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tracker.data import read_reid_dataset
        >>> embeddings = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("0001_c1.png", "0001_c2.png", "0002_c1.png", "0002_c2.png"):
        ...         _ = Path(folder, name).write_text(name)
        ...     evaluate_embeddings(embeddings, read_reid_dataset([Path(folder)])).metrics["mAP"]
        1.0
    """
    query_gallery = QueryGallery.from_crops(embeddings, crops, queries)
    distances = track_distances = VerificationCurve.empty()
    market, other_cameras = [], []
    step = max(1, BLOCK // len(query_gallery.gallery_indices))
    for start in range(0, len(query_gallery.query_indices), step):
        indices = query_gallery.query_indices[start : start + step]
        pairs = query_gallery.pairs(indices)
        distances += VerificationCurve.from_distances(pairs.distances, pairs.same, ~pairs.same_image)
        track_distances += query_gallery.distances_to_means(indices, pairs)
        market.append(Retrieval.from_distances(pairs.distances, pairs.same, pairs.valid))
        other_cameras.append(Retrieval.from_distances(pairs.distances, pairs.same, pairs.cross_camera))
    retrieval, cross_camera = Retrieval.concatenate(market), Retrieval.concatenate(other_cameras)
    if not len(retrieval.valid_queries) or not track_distances.is_defined:
        raise InputError(
            f"{crops.files[0].parent}: nothing can be evaluated, since no identity is shown in two images (by two "
            "cameras, if file names tell them) or there is only one identity"
        )
    metrics = retrieval.metrics() | verification_metrics(distances, track_distances)
    if (crops.cameras >= 0).any() and len(cross_camera.valid_queries):
        metrics |= {f"{name}{CROSS_CAMERA}": value for name, value in cross_camera.metrics().items()}
    return ReIDMetrics(metrics, retrieval.cmc(DEPTH), distances, track_distances, retrieval)
