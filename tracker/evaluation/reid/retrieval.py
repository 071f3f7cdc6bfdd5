"""Computes retrieval metrics of embeddings: CMC, mean average precision and mINP."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANKS = (1, 5, 10)
"""Ranks of the CMC that are metrics."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The ranking of a gallery for each of Q queries; queries without a match in the gallery are ignored.

    Attributes:
        num_matches: int64 (Q,), number of gallery crops with the query's identity.
        first_rank: int64 (Q,), rank of the nearest match, from 1.
        last_rank: int64 (Q,), rank of the farthest match.
        average_precision: float64 (Q,), mean over the matches of the precision at the rank of each.
    """

    num_matches: NDArray[np.int64]
    first_rank: NDArray[np.int64]
    last_rank: NDArray[np.int64]
    average_precision: NDArray[np.float64]

    @classmethod
    def from_distances(
        cls, distances: NDArray[np.float32], same: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> "Retrieval":
        """Ranks the gallery for each query; equal distances rank in the order of the gallery.

        Args:
            distances: (Q, G), cosine distances.
            same: (Q, G), True where the identities are the same.
            valid: (Q, G), True for gallery crops that the query is compared with.
        """
        order = np.argsort(np.where(valid, distances, np.inf), axis=1, kind="stable")
        is_match = np.take_along_axis(same & valid, order, 1)
        num_matches = is_match.sum(1)
        precision = is_match.cumsum(1) / np.arange(1, is_match.shape[1] + 1)
        last_rank = is_match.shape[1] - is_match[:, ::-1].argmax(1)
        return cls(
            num_matches, is_match.argmax(1) + 1, last_rank, (precision * is_match).sum(1) / np.maximum(num_matches, 1)
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Retrieval"]) -> "Retrieval":
        """Concatenates the queries of all parts."""
        columns = [(part.num_matches, part.first_rank, part.last_rank, part.average_precision) for part in parts]
        num_matches, first_rank, last_rank, average_precision = map(np.concatenate, zip(*columns, strict=True))
        return cls(num_matches, first_rank, last_rank, average_precision)

    @property
    def valid_queries(self) -> NDArray[np.int64]:
        """Indices of the queries that have a match."""
        return np.flatnonzero(self.num_matches)

    def cmc(self, depth: int) -> NDArray[np.float64]:
        """Returns float64 (depth,): fraction of the queries whose first match has a rank of at most k + 1."""
        found = self.first_rank[self.valid_queries, None] <= np.arange(1, depth + 1)
        return np.asarray(found.mean(0))

    def metrics(self) -> dict[str, float]:
        """Averages over the queries that have a match, of which there must be one.

        The inverse negative penalty of a query is the number of its matches over the rank of the farthest one.
        Source: Zheng et al. 2015, Market-1501 (doi 10.1109/ICCV.2015.133): CMC, mAP; Ye et al. 2020, arXiv 2001.04193,
        equation 2: mINP.
        """
        queries, cmc = self.valid_queries, self.cmc(max(RANKS))
        return {
            **{f"rank-{k}": float(cmc[k - 1]) for k in RANKS},
            "mAP": float(self.average_precision[queries].mean()),
            "mINP": float((self.num_matches[queries] / self.last_rank[queries]).mean()),
        }
