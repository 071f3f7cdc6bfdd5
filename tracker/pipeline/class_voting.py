"""A finer class for each track: the vote of its detections' crops."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.structures.types import FineTracks, Tracks

ClassProbabilities = NDArray[np.floating]
"""(N, C): how probable each of C classes is for each of N detections; a row of 0 has no opinion."""


class ClassVoter:
    """Counts what the crops of tracks say, as long as the tracks live.

    The class with the highest mean probability over a track's crops wins. A mean forgives a crop that is sure and
    wrong, which a product of the probabilities would not; and since the crops of one track are much alike, a product
    would soon be far too sure.

    Source: Kittler et al. 1998, On combining classifiers, doi 10.1109/34.667881, the sum rule.
    """

    def __init__(self, names: Sequence[str], labels: Sequence[int]) -> None:
        """Takes the names of the fine classes, none where there is no classifier, and the labels that have such."""
        self._names = np.array(names, np.str_)
        self._labels = np.array(labels, np.int64)
        self._sums: dict[int, NDArray[np.float64]] = {}

    def count(self, tracks: Tracks, class_probs: ClassProbabilities) -> None:
        """Takes what is said of one frame's detections, some of which its tracks took."""
        for number, row in zip(tracks.ids.tolist(), tracks.found.tolist(), strict=True):
            if row >= 0 and class_probs[row].any():
                self._sums[number] = self._sums.get(number, 0) + class_probs[row].astype(np.float64)

    def keep(self, ids: Sequence[int]) -> None:
        """Forgets all tracks but these."""
        for number in self._sums.keys() - set(ids):
            del self._sums[number]

    def named(self, tracks: Tracks) -> Tracks:
        """The tracks with what the vote says so far; as they are where there is no classifier."""
        if not len(self._names):
            return tracks
        means = np.zeros((len(tracks), len(self._names)))
        for row in np.flatnonzero(np.isin(tracks.labels, self._labels)):
            votes = self._sums.get(int(tracks.ids[row]), means[row])
            means[row] = votes / max(votes.sum(), 1e-9)
        scores = means.max(1, initial=0)
        names = np.where(scores > 0, self._names[means.argmax(1)], "")
        return FineTracks.judged(tracks, names, scores.astype(np.float32))
