"""Batches of tracklets that are visible at the same time, and so show different identities: learning without labels."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import EmbedderTrainingConfig
from tracker.data import ReIDDataset
from tracker.data.tracklets import read_track_intervals
from tracker.errors import InputError
from tracker.training.reid.data import IdentityBatchDataset


class TrackletBatchDataset(IdentityBatchDataset):
    """Batches of tracks that are visible at the same time in a video, with crops from the whole length of each.

    Two crops of one track show the same identity, and crops of two simultaneous tracks show different ones. Nothing is
    known about other pairs, so they never occur in one batch. Source: the constraints of Cinbis et al. 2011,
    "Unsupervised metric learning for face identification in TV video".
    """

    def __init__(self, crops: ReIDDataset, config: EmbedderTrainingConfig) -> None:
        """Takes the arguments of `IdentityBatchDataset`; `config.train` is the folder that `track crops` wrote."""
        super().__init__(crops, config)
        self.intervals = read_track_intervals(Path(config.train), crops)
        self.overlapping: dict[int, list[int]] = {}  # by identity, its intervals that overlap another identity's
        for interval in range(len(self.intervals)):
            if self._overlaps(interval).any():
                self.overlapping.setdefault(int(self.intervals[interval, 0]), []).append(interval)
        if not self.overlapping:
            raise InputError(
                f"no two tracks in {config.train} are visible at the same time, so none are known to differ: give more "
                "video, or sort the crops into a folder for each identity and train without tracklets"
            )
        for indices in self.indices.values():
            indices.sort(key=lambda index: crops.files[index].stem.rpartition("_")[2])  # by frame

    def sample_identities(self, rng: random.Random) -> list[int]:
        """Samples up to `config.identities_per_batch` tracks that are all visible at one time.

        Samples a track, then one that overlaps it, then a time at which both are visible. Sampling the time first
        would prefer long tracks.
        """
        interval = rng.choice(self.overlapping[rng.choice(sorted(self.overlapping))])
        other = rng.choice(np.flatnonzero(self._overlaps(interval)).tolist())
        identity, video, first, last = self.intervals.T
        time = rng.uniform(max(first[interval], first[other]), min(last[interval], last[other]))
        visible = identity[(video == video[interval]) & (first <= time) & (time <= last)].astype(int).tolist()
        pair = [int(identity[interval]), int(identity[other])]
        others = sorted(set(visible) - set(pair))
        return pair + rng.sample(others, min(self.config.identities_per_batch - 2, len(others)))

    def sample_crops(self, identity: int, rng: random.Random) -> list[int]:
        """Samples one crop from each of `config.crops_per_identity` equal parts of a track's crops, by frame."""
        indices = self.indices[identity]
        edges = np.linspace(0, len(indices), self.config.crops_per_identity + 1)
        parts = [indices[int(low) : int(np.ceil(high))] for low, high in pairwise(edges)]
        return [rng.choice(part) for part in parts]

    def _overlaps(self, interval: int) -> NDArray[np.bool_]:
        """Marks the intervals of other identities that overlap one in time: bool (S,)."""
        own = self.intervals[interval]
        identity, video, first, last = self.intervals.T
        overlaps: NDArray[np.bool_] = (identity != own[0]) & (video == own[1]) & (first <= own[3]) & (last >= own[2])
        return overlaps
