"""Crops of known identities or classes: batches for training, and single crops for validation."""

import random
from collections import defaultdict
from functools import lru_cache
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as T

from tracker.config import CropTrainingConfig, EmbedderTrainingConfig
from tracker.data import ReIDDataset, read_crop
from tracker.training.reid.augment import CONTEXT, augment, context_size
from tracker.training.trainer import ResumableSampler, distributed_eval_indices

VAL_BATCH_SIZE = 64
CACHE_BYTES = 512 * 2**20  # of crops that each process keeps in memory, instead of reading their images again


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    resized: Tensor = T.resize(torch.from_numpy(np.array(pixels)).permute(2, 0, 1), list(size), antialias=True)
    return resized


class CropBatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """A dataset whose items are augmented batches of crops: the same ones in any process, and after a resume."""

    identity_offset = 1
    """Distance in a batch to a crop of another identity."""

    def __init__(self, crops: ReIDDataset, config: CropTrainingConfig) -> None:
        """Takes the crops, and the settings of sampling and augmentation; `config.size` is the size of the crops."""
        self.crops = crops
        self.crop_config = config
        self._cache: dict[int, Tensor] = {}

    def sample_batch(self, batch: int) -> list[int]:
        """Returns the indices of the crops in a batch, by the batch's index."""
        raise NotImplementedError

    def __getitem__(self, batch: int) -> tuple[Tensor, Tensor]:
        """Returns a batch: float32 (B, 3, *config.size) RGB from 0 to 255, and int64 (B,) identities or classes."""
        indices = self.sample_batch(batch)
        images = torch.stack([self._read_with_context(index) for index in indices])
        generator = torch.Generator().manual_seed(random.Random(f"{self.crop_config.seed}-{batch}+").getrandbits(31))
        augmented = augment(images, self.crop_config, generator, self.identity_offset)
        return augmented, torch.from_numpy(self.crops.ids[indices])

    def _read_with_context(self, index: int) -> Tensor:
        """Returns a crop with its margin, uint8 (3, *context_size(config.size)) RGB."""
        if index in self._cache:
            return self._cache[index]
        image = _resize(read_crop(self.crops, index, CONTEXT), context_size(self.crop_config.size))
        if len(self._cache) * image.numel() < CACHE_BYTES:
            self._cache[index] = image
        return image


class IdentityBatchDataset(CropBatchDataset):
    """Batches of several identities with several crops each. Source: Hermans et al. 2017, arXiv 1703.07737."""

    def __init__(self, crops: ReIDDataset, config: EmbedderTrainingConfig) -> None:
        """Takes the arguments of `CropBatchDataset`."""
        super().__init__(crops, config)
        self.config = config
        self.identity_offset = config.crops_per_identity
        self.indices: dict[int, list[int]] = defaultdict(list)  # of the crops of each identity
        for index, identity in enumerate(crops.ids.tolist()):
            self.indices[identity].append(index)

    def sample_batch(self, batch: int) -> list[int]:
        """Samples `config.crops_per_identity` crops of each of up to `config.identities_per_batch` identities."""
        rng = random.Random(f"{self.config.seed}-{batch}")
        return [index for identity in self.sample_identities(rng) for index in self.sample_crops(identity, rng)]

    def sample_identities(self, rng: random.Random) -> list[int]:
        """Samples the identities of a batch."""
        return rng.sample(sorted(self.indices), min(self.config.identities_per_batch, len(self.indices)))

    def sample_crops(self, identity: int, rng: random.Random) -> list[int]:
        """Samples `config.crops_per_identity` crops of an identity; with repetition if it has fewer."""
        indices, count = self.indices[identity], self.config.crops_per_identity
        return rng.sample(indices, count) if len(indices) >= count else rng.choices(indices, k=count)


class ShuffledBatchDataset(CropBatchDataset):
    """Batches that go through all crops epoch by epoch, each time in another order."""

    def __init__(self, crops: ReIDDataset, config: CropTrainingConfig, batch_size: int) -> None:
        """Takes the arguments of `CropBatchDataset`, and the number of crops in a batch."""
        super().__init__(crops, config)
        self.batch_size = batch_size

    def sample_batch(self, batch: int) -> list[int]:
        """Returns the next `batch_size` indices after those of the previous batch."""
        return shuffled_indices(len(self.crops), self.batch_size, batch, self.crop_config.seed)


class MixedBatchDataset(IdentityBatchDataset):
    """Batches of crops of identities, as of `IdentityBatchDataset`, and then of crops without, whose id is -1."""

    def __init__(self, crops: ReIDDataset, unlabeled: ReIDDataset, config: EmbedderTrainingConfig) -> None:
        """Takes both kinds of crops, and the settings."""
        super().__init__(crops, config)
        self._first = len(crops)  # index of a crop without an identity
        self.crops = crops.with_unlabeled(unlabeled)

    def sample_batch(self, batch: int) -> list[int]:
        """Samples crops of identities, and the next `config.unlabeled_per_batch` of the others, epoch by epoch."""
        count = len(self.crops) - self._first
        others = shuffled_indices(count, self.config.unlabeled_per_batch, batch, self.config.seed)
        return super().sample_batch(batch) + [self._first + index for index in others]


def shuffled_indices(count: int, batch_size: int, batch: int, seed: int) -> list[int]:
    """Returns the indices of a batch that goes on where the one before ended, through all of `count`, each epoch anew.

    Example:
        >>> sorted(shuffled_indices(4, 2, 0, seed=0) + shuffled_indices(4, 2, 1, seed=0))
        [0, 1, 2, 3]
    """
    positions = [divmod(n, count) for n in range(batch * batch_size, (batch + 1) * batch_size)]
    return [int(_permutation(count, seed, epoch)[position]) for epoch, position in positions]


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed % 2**32, epoch)).permutation(count)


class CropValDataset(Dataset[tuple[int, Tensor]]):
    """Crops for validation, each with its index."""

    def __init__(self, crops: ReIDDataset, size: tuple[int, int]) -> None:
        """Takes the crops and their (height, width)."""
        self.crops = crops
        self.size = size

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        """Returns an index and its crop, uint8 (3, *size) RGB."""
        return index, _resize(read_crop(self.crops, index), self.size)


class CropDataModule(L.LightningDataModule):
    """Lightning's data module of a training on crops; each process loads its part."""

    def __init__(self, config: CropTrainingConfig, train_set: CropBatchDataset, val_set: ReIDDataset) -> None:
        """Takes the settings and all crops."""
        super().__init__()
        self.config = config
        self.train_set = train_set
        self.val_set = CropValDataset(val_set, config.size)

    def train_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of the batches of `CropBatchDataset`."""
        assert self.trainer is not None
        sampler = ResumableSampler(self.trainer, self.config.steps, self.config.accumulate_grad_batches)
        return DataLoader(self.train_set, batch_size=None, sampler=sampler, num_workers=self.config.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of batches int64 (B,) indices, uint8 (B, 3, *size) crops."""
        assert self.trainer is not None
        indices = distributed_eval_indices(self.trainer, len(self.val_set))
        return DataLoader(self.val_set, VAL_BATCH_SIZE, sampler=indices, num_workers=self.config.workers)
