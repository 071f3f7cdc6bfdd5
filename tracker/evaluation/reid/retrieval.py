"""How well embeddings find the same individual again: CMC, mean average precision, and mINP."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANKS = (1, 5, 10)
"""Ranks of the CMC that have a name."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the ranking of a gallery gives each of Q queries; one without a match in the gallery does not count.

    Attributes:
        matches: int64 (Q,), crops of the gallery that show whom the query shows.
        first: int64 (Q,), rank of the nearest match, from 1.
        last: int64 (Q,), rank of the farthest match.
        precision: float64 (Q,), average precision: the mean, over the matches, of the precision at the rank of each.
    """

    matches: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    precision: NDArray[np.float64]

    @classmethod
    def of(cls, distances: NDArray[np.float32], same: NDArray[np.bool_], counted: NDArray[np.bool_]) -> "Retrieval":
        """Ranks the gallery for each query; equal distances rank in the gallery's order.

        Args:
            distances: (Q, G), cosine distances.
            same: (Q, G), which of the gallery show whom the query shows.
            counted: (Q, G), which of the gallery count for the query.
        """
        order = np.argsort(np.where(counted, distances, np.inf), axis=1, kind="stable")
        hits = np.take_along_axis(same & counted, order, 1)
        matches = hits.sum(1)
        precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
        last = hits.shape[1] - hits[:, ::-1].argmax(1)
        return cls(matches, hits.argmax(1) + 1, last, (precision * hits).sum(1) / np.maximum(matches, 1))

    @classmethod
    def joined(cls, parts: Sequence["Retrieval"]) -> "Retrieval":
        """The queries of all parts."""
        columns = [(part.matches, part.first, part.last, part.precision) for part in parts]
        matches, first, last, precision = map(np.concatenate, zip(*columns, strict=True))
        return cls(matches, first, last, precision)

    @property
    def counted(self) -> NDArray[np.int64]:
        """Rows of the queries that count."""
        return np.flatnonzero(self.matches)

    def cmc(self, depth: int) -> NDArray[np.float64]:
        """float64 (depth,): share of the queries whose first match stands among the k + 1 nearest."""
        return (self.first[self.counted, None] <= np.arange(1, depth + 1)).mean(0)  # type: ignore[no-any-return]

    def figures(self) -> dict[str, float]:
        """Means over the queries that count, of which there must be one.

        The inverse negative penalty is the share of matches among all that rank as high as the farthest match.
        Source: Zheng et al. 2015, Market-1501 (doi 10.1109/ICCV.2015.133): CMC, mAP; Ye et al. 2020, arXiv 2001.04193,
        equation 2: mINP.
        """
        rows, cmc = self.counted, self.cmc(max(RANKS))
        return {
            **{f"rank-{k}": float(cmc[k - 1]) for k in RANKS},
            "mAP": float(self.precision[rows].mean()),
            "mINP": float((self.matches[rows] / self.last[rows]).mean()),
        }
