"""Crops of known individuals or classes: drawn in batches for learning, and one by one for scoring."""

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

from tracker.config import ClassifierTrainingConfig, CropTrainingConfig, EmbedderTrainingConfig
from tracker.data import ReIDDataset, read_crop
from tracker.training.reid.augment import CONTEXT, augment, canvas
from tracker.training.trainer import BatchesToCome, distributed_eval_indices

SCORED_TOGETHER = 64  # crops
KEPT = 256 * 2**20  # bytes of crops that each process keeps, so as not to read their pictures again


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    resized: Tensor = T.resize(torch.from_numpy(np.array(pixels)).permute(2, 0, 1), list(size), antialias=True)
    return resized


class CropBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of crops, changed at random: the same ones whichever process makes them, and after a resume."""

    apart = 1  # distance in a batch to a crop of another individual

    def __init__(self, crops: ReIDDataset, config: CropTrainingConfig) -> None:
        """Takes the crops, and how they are drawn and changed; `config.size` says how large they are."""
        self.crops = crops
        self.settings = config
        self._kept: dict[int, Tensor] = {}

    def drawn(self, number: int) -> list[int]:
        """The rows of the crops in a batch, by the batch's number."""
        raise NotImplementedError

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch of a number.

        Returns:
            float32 (B, 3, *config.size) RGB from 0 to 255, and int64 (B,) individuals or classes.

        Raises:
            InputError: A picture cannot be read.
        """
        rows = self.drawn(number)
        images = torch.stack([self._with_surroundings(row) for row in rows])
        generator = torch.Generator().manual_seed(random.Random(f"{self.settings.seed}-{number}+").getrandbits(31))
        return augment(images, self.settings, generator, self.apart), torch.from_numpy(self.crops.ids[rows])

    def _with_surroundings(self, row: int) -> Tensor:
        """A crop with its surroundings, uint8 (3, *canvas(config.size)) RGB."""
        if row in self._kept:
            return self._kept[row]
        image = _resized(read_crop(self.crops, row, CONTEXT), canvas(self.settings.size))
        if len(self._kept) * image.numel() < KEPT:
            self._kept[row] = image
        return image


class IndividualBatches(CropBatches):
    """Batches of several individuals with several crops each. Source: Hermans et al. 2017, arXiv 1703.07737.

    Attributes:
        rows: Of each individual's crops.
    """

    def __init__(self, crops: ReIDDataset, config: EmbedderTrainingConfig) -> None:
        """Takes what `CropBatches` does."""
        super().__init__(crops, config)
        self.config = config
        self.apart = config.crops
        self.rows: dict[int, list[int]] = defaultdict(list)
        for row, individual in enumerate(crops.ids.tolist()):
            self.rows[individual].append(row)

    def drawn(self, number: int) -> list[int]:
        """`config.crops` rows each of up to `config.identities` individuals."""
        rng = random.Random(f"{self.config.seed}-{number}")
        return [row for individual in self.identities(rng) for row in self.draw(individual, rng)]

    def identities(self, rng: random.Random) -> list[int]:
        """Those in a batch."""
        return rng.sample(sorted(self.rows), min(self.config.identities, len(self.rows)))

    def draw(self, individual: int, rng: random.Random) -> list[int]:
        """`config.crops` rows of an individual; one that has fewer comes with some of them several times."""
        rows, count = self.rows[individual], self.config.crops
        return rng.sample(rows, count) if len(rows) >= count else rng.choices(rows, k=count)


class ShuffledBatches(CropBatches):
    """Batches that go through all crops again and again, each time in another order."""

    def __init__(self, crops: ReIDDataset, config: ClassifierTrainingConfig) -> None:
        """Takes what `CropBatches` does."""
        super().__init__(crops, config)
        self.batch_size = config.batch_size

    def drawn(self, number: int) -> list[int]:
        """The next `config.batch_size` rows after those of the batch before."""
        places = range(number * self.batch_size, (number + 1) * self.batch_size)
        times = [divmod(place, len(self.crops)) for place in places]
        return [int(_order(len(self.crops), self.settings.seed, time)[place]) for time, place in times]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, time: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed % 2**32, time)).permutation(count)


class ScoredCrops(Dataset[tuple[int, Tensor]]):
    """Crops that are scored, with their rows."""

    def __init__(self, crops: ReIDDataset, size: tuple[int, int]) -> None:
        """Takes the crops and their (height, width)."""
        self.crops = crops
        self.size = size

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, row: int) -> tuple[int, Tensor]:
        """A row and its crop, uint8 (3, *size) RGB.

        Raises:
            InputError: The picture cannot be read.
        """
        return row, _resized(read_crop(self.crops, row), self.size)


class CropData(L.LightningDataModule):
    """Batches to learn from, and crops that are scored; each process has its share."""

    def __init__(self, config: CropTrainingConfig, batches: CropBatches, scored: ReIDDataset) -> None:
        """Takes the settings and all crops."""
        super().__init__()
        self.config = config
        self.batches = batches
        self.scored = ScoredCrops(scored, config.size)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches as `CropBatches` makes them."""
        assert self.trainer is not None
        to_come = BatchesToCome(self.trainer, self.config.steps, self.config.accumulate)
        return DataLoader(self.batches, batch_size=None, sampler=to_come, num_workers=self.config.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches int64 (B,) rows, uint8 (B, 3, *size) crops."""
        assert self.trainer is not None
        share = distributed_eval_indices(self.trainer, len(self.scored))
        return DataLoader(self.scored, SCORED_TOGETHER, sampler=share, num_workers=self.config.workers)
