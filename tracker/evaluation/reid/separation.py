"""Computes verification metrics from distances between crops of the same identity and of different ones."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 2001
"""Number of bins of a histogram of cosine distances: one for each thousandth from 0 to 2."""


@dataclass(frozen=True, eq=False)
class VerificationCurve:
    """Histograms of cosine distances of pairs of crops, in bins of a thousandth.

    Attributes:
        same: int64 (BINS,), pairs of the same identity.
        different: int64 (BINS,), pairs of different identities.
    """

    same: NDArray[np.int64]
    different: NDArray[np.int64]

    @classmethod
    def from_distances(cls, distances: NDArray[np.float32], same: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Self:
        """Counts distances (Q, G), given the pairs of the same identity and the valid pairs, bool (Q, G) each."""
        bins = np.rint(distances * 1000).astype(np.int64).clip(0, BINS - 1)
        return cls(*(np.bincount(bins[valid & mask], minlength=BINS) for mask in (same, ~same)))

    @classmethod
    def empty(cls) -> Self:
        """Returns histograms without any pair."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))

    def __add__(self, other: "VerificationCurve") -> "VerificationCurve":
        return VerificationCurve(self.same + other.same, self.different + other.different)

    @property
    def is_defined(self) -> bool:
        """True if there are pairs of both kinds, so that the metrics are defined."""
        return bool(self.same.any() and self.different.any())

    @property
    def auc(self) -> float:
        """Area under the ROC curve: probability that a same pair is nearer than a different one; ties count half."""
        true_positive_rate = self._acceptance_rates()[0] - self.same / self.same.sum() / 2
        return float(self.different / self.different.sum() @ true_positive_rate)

    @property
    def equal_error_rate(self) -> tuple[float, float]:
        """Distance at which false acceptance and false rejection are equally frequent, and their rate (EER)."""
        true_acceptance, false_acceptance = self._acceptance_rates()
        false_rejection = 1 - true_acceptance
        index = int(np.abs(false_rejection - false_acceptance).argmin())
        return (index + 0.5) / 1000, float(false_rejection[index] + false_acceptance[index]) / 2

    @property
    def max_distance(self) -> float:
        """Distance at which both kinds of pairs are equally likely if both are equally frequent; in thousandths.

        There isotonic calibration of the distances, with equal priors, has log-odds of 0: true acceptance rate minus
        false acceptance rate is largest. In a gap without pairs it is the middle of the gap.
        Source: Fawcett and Niculescu-Mizil 2007, PAV and the ROC convex hull, doi 10.1007/s10994-007-5011-0.
        """
        same, different = self._acceptance_rates()
        difference = same - different
        first = int(difference.argmax())
        changes = np.flatnonzero(difference[first:] != difference[first])
        end = first + (int(changes[0]) if len(changes) else 1)  # the bin of the next pair
        return max(1, round((first + end) / 2)) / 1000

    def _acceptance_rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the fractions of both kinds of pairs at a bin or below it, (BINS,) each."""
        same, different = self.same.cumsum(), self.different.cumsum()
        return same / same[-1], different / different[-1]


def verification_metrics(distances: VerificationCurve, to_tracks: VerificationCurve) -> dict[str, float]:
    """Returns the metrics, by name, of distances between crops and of distances from crops to tracks."""
    distance, rate = distances.equal_error_rate
    return {
        "AUC": distances.auc,
        "EER": rate,
        "EER distance": distance,
        "AUC/track": to_tracks.auc,
        "max distance": to_tracks.max_distance,
    }
