"""Batches of tracks that surely differ, as they were seen at one moment: learning individuals without labels."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import EmbedderTrainingConfig
from tracker.data import ReIDDataset
from tracker.data.tracklets import read_spans
from tracker.errors import InputError
from tracker.training.reid.data import IndividualBatches


class SimultaneousTracklets(IndividualBatches):
    """Batches of tracks that were seen at one moment of one video, with crops of each from all of its time.

    Two crops of a track show one individual, and those of two tracks seen at one moment show two; of all other pairs
    nothing is known, so they never meet in a batch. Source: the constraints of Cinbis et al. 2011, "Unsupervised metric
    learning for face identification in TV video".
    """

    def __init__(self, crops: ReIDDataset, config: EmbedderTrainingConfig) -> None:
        """Takes what `IndividualBatches` does; `config.train` is the folder that `track crops` wrote.

        Raises:
            InputError: No two tracks were seen at one moment, or it is not known when they were.
        """
        super().__init__(crops, config)
        self.spans = read_spans(Path(config.train), crops)
        self.accompanied: dict[int, list[int]] = {}  # by individual, its spans at which others were there too
        for row in range(len(self.spans)):
            if self._beside(row).any():
                self.accompanied.setdefault(int(self.spans[row, 0]), []).append(row)
        if not self.accompanied:
            raise InputError(
                f"no two tracks in {config.train} were ever seen at one moment, so that none are known to differ: give "
                "more video, or sort the crops into a folder for each individual and train without tracklets"
            )
        for rows in self.rows.values():
            rows.sort(key=lambda row: crops.files[row].stem.rpartition("_")[2])  # by frame

    def identities(self, rng: random.Random) -> list[int]:
        """Up to `config.identities` that were all seen at one moment.

        One is drawn, then one of those beside it, and a moment that they share; a moment that was drawn first would
        mostly show those who were seen longest.
        """
        row = rng.choice(self.accompanied[rng.choice(sorted(self.accompanied))])
        other = rng.choice(np.flatnonzero(self._beside(row)).tolist())
        number, video, first, last = self.spans.T
        moment = rng.uniform(max(first[row], first[other]), min(last[row], last[other]))
        there = number[(video == video[row]) & (first <= moment) & (moment <= last)].astype(int).tolist()
        pair = [int(number[row]), int(number[other])]
        more = sorted(set(there) - set(pair))
        return pair + rng.sample(more, min(self.config.identities - 2, len(more)))

    def draw(self, individual: int, rng: random.Random) -> list[int]:
        """`config.crops` rows from all of an individual's time: one of each of so many equal parts of it."""
        rows = self.rows[individual]
        edges = np.linspace(0, len(rows), self.config.crops + 1)
        parts = [rows[int(low) : int(np.ceil(high))] for low, high in pairwise(edges)]
        return [rng.choice(part) for part in parts]

    def _beside(self, row: int) -> NDArray[np.bool_]:
        """Which spans of other individuals have a moment in common with one: bool (S,)."""
        own = self.spans[row]
        number, video, first, last = self.spans.T
        beside: NDArray[np.bool_] = (number != own[0]) & (video == own[1]) & (first <= own[3]) & (last >= own[2])
        return beside
