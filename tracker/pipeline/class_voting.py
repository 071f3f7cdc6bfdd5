"""A finer class for each track, by vote of its detections' crops."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.structures.types import Tracks

ClassProbabilities = NDArray[np.floating]
"""float (N, C): probability of each of C fine classes for each of N detections; a row of zeros casts no vote."""


class ClassVoter:
    """Adds up the class probabilities of each track's crops, for as long as the track lives.

    The class with the highest mean probability wins. A mean forgives a crop that is confident and wrong, which a
    product of the probabilities would not; and since the crops of one track are much alike, a product would soon be
    overconfident.

    Source: Kittler et al. 1998, On combining classifiers, doi 10.1109/34.667881, the sum rule.
    """

    def __init__(self, names: Sequence[str], labels: Sequence[int]) -> None:
        """Takes names of the fine classes (none without a classifier), and labels of the classes that have such."""
        self._names = np.array(names, np.str_)
        self._labels = np.array(labels, np.int64)
        self._sums: dict[int, NDArray[np.float64]] = {}

    def count(self, tracks: Tracks, class_probs: ClassProbabilities) -> None:
        """Adds the votes of one frame's detections to the tracks that they were matched with."""
        for track_id, row in zip(tracks.ids.tolist(), tracks.detection_index.tolist(), strict=True):
            if row >= 0 and class_probs[row].any():
                self._sums[track_id] = self._sums.get(track_id, 0) + class_probs[row].astype(np.float64)

    def keep(self, ids: Sequence[int]) -> None:
        """Removes the votes of all tracks but these."""
        for track_id in self._sums.keys() - set(ids):
            del self._sums[track_id]

    def with_classes(self, tracks: Tracks) -> Tracks:
        """Returns the tracks with the columns `fine_classes` and `fine_scores`; unchanged without a classifier."""
        if not len(self._names):
            return tracks
        means = np.zeros((len(tracks), len(self._names)))
        for row in np.flatnonzero(np.isin(tracks.labels, self._labels)):
            votes = self._sums.get(int(tracks.ids[row]), means[row])
            means[row] = votes / max(votes.sum(), 1e-9)
        scores = means.max(1, initial=0)
        names = np.where(scores > 0, self._names[means.argmax(1)], "")
        return tracks.with_data(fine_classes=names, fine_scores=scores.astype(np.float32))
