"""How well distances tell crops of one individual from those of two, and from which distance on they speak for two."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 2001
"""Of a histogram of cosine distances: one for each thousandth from 0 to 2."""


@dataclass(frozen=True, eq=False)
class VerificationCurve:
    """Cosine distances of pairs of crops, counted in bins of a thousandth.

    Attributes:
        same: int64 (BINS,), pairs that show one individual.
        different: int64 (BINS,), pairs that show two.
    """

    same: NDArray[np.int64]
    different: NDArray[np.int64]

    @classmethod
    def of(cls, distances: NDArray[np.float32], same: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Self:
        """That of distances (Q, G), given which pairs show one individual, and which ones count."""
        bins = np.rint(distances * 1000).astype(np.int64).clip(0, BINS - 1)
        return cls(*(np.bincount(bins[counted & which], minlength=BINS) for which in (same, ~same)))

    @classmethod
    def nothing(cls) -> Self:
        """That of no pair."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))

    def __add__(self, other: "VerificationCurve") -> "VerificationCurve":
        return VerificationCurve(self.same + other.same, self.different + other.different)

    @property
    def complete(self) -> bool:
        """Whether there are pairs of both kinds, so that anything can be said."""
        return bool(self.same.any() and self.different.any())

    @property
    def auc(self) -> float:
        """Chance that of a pair of each kind, drawn at random, that of one individual is nearer; ties count half."""
        nearer = self._accepted()[0] - self.same / self.same.sum() / 2
        return float(self.different / self.different.sum() @ nearer)

    @property
    def equal_error(self) -> tuple[float, float]:
        """The distance at which as large a share of both kinds is taken for the other, and that share."""
        same, different = self._accepted()
        missed = 1 - same
        at = int(np.abs(missed - different).argmin())
        return (at + 0.5) / 1000, float(missed[at] + different[at]) / 2

    @property
    def max_distance(self) -> float:
        """The distance at which two crops show one individual as likely as two, if both are as frequent; thousandths.

        It is where isotonic calibration of the distances, with equal priors, has log-odds of 0: where the share of the
        same pairs that are nearer exceeds that of the different ones most. In a gap without pairs, its middle.
        Source: Fawcett and Niculescu-Mizil 2007, PAV and the ROC convex hull, doi 10.1007/s10994-007-5011-0.
        """
        same, different = self._accepted()
        gain = same - different
        first = int(gain.argmax())
        apart = np.flatnonzero(gain[first:] != gain[first])
        end = first + (int(apart[0]) if len(apart) else 1)  # the bin of the next pair
        return max(1, round((first + end) / 2)) / 1000

    def _accepted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of both kinds at a bin or below it, (BINS,) each."""
        same, different = self.same.cumsum(), self.different.cumsum()
        return same / same[-1], different / different[-1]


def verification_metrics(distances: VerificationCurve, to_tracks: VerificationCurve) -> dict[str, float]:
    """The figures, by name, of the distances of crops from crops and from what is known of individuals."""
    at, error = distances.equal_error
    return {
        "AUC": distances.auc,
        "equal error": error,
        "equal-error distance": at,
        "AUC/track": to_tracks.auc,
        "max distance": to_tracks.max_distance,
    }
