"""How well embeddings find the same individual again in another camera: CMC and mean average precision."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Figures of a retrieval experiment.

    Attributes:
        cmc: float64 (K,), share of the queries whose first match stands among the k + 1 nearest.
        mean_ap: Mean over the queries of the average precision, 0 to 1.
        queries: Number of queries that count.
    """

    cmc: NDArray[np.float64]
    mean_ap: float
    queries: int


def ranks(
    query_embeddings: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    query_cameras: NDArray[np.int64],
    gallery_embeddings: NDArray[np.float32],
    gallery_ids: NDArray[np.int64],
    gallery_cameras: NDArray[np.int64],
    same_file: NDArray[np.bool_],
    depth: int = 10,
) -> Retrieval:
    """Ranks the gallery for each query by cosine similarity, among pictures of other cameras only.

    Average precision is the mean, over a query's matches, of the precision at the rank of each. A query without
    a match in another camera does not count. Equal similarities rank in the gallery's order.
    Source: Zheng et al. 2015, Market-1501 (doi 10.1109/ICCV.2015.133), with the query's whole camera left out.

    Args:
        query_embeddings: (Q, D) unit rows.
        query_ids: (Q,) individuals.
        query_cameras: (Q,) cameras.
        gallery_embeddings: (G, D) unit rows.
        gallery_ids: (G,).
        gallery_cameras: (G,).
        same_file: (Q, G), True where the two are one picture; such pairs are left out.
        depth: Length of the CMC curve.

    Raises:
        InputError: No query has a match in another camera.
    """
    order = np.argsort(-(query_embeddings @ gallery_embeddings.T), axis=1, kind="stable")
    cmc, precisions = np.zeros(depth), []
    for query, nearest in enumerate(order):
        allowed = (gallery_cameras[nearest] != query_cameras[query]) & ~same_file[query, nearest]
        hits = np.flatnonzero(gallery_ids[nearest[allowed]] == query_ids[query])
        if len(hits):
            cmc[hits[0] :] += 1
            precisions.append(float(np.mean(np.arange(1, len(hits) + 1) / (hits + 1))))
    if not precisions:
        raise InputError("no picture shows an individual that another camera shows too: nothing can be scored")
    return Retrieval(cmc / len(precisions), float(np.mean(precisions)), len(precisions))
