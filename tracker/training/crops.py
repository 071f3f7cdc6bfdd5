"""Crops of known individuals: drawn in batches, and changed at random."""

import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as T

from tracker.config import EmbedderTraining
from tracker.data import Crops, read_crop


def load_images(crops: Crops, size: tuple[int, int]) -> Tensor:
    """uint8 (N, 3, H, W) RGB: all crops, brought to (height, width).

    Raises:
        InputError: A picture cannot be read.
    """
    return torch.stack([_resized(read_crop(crops, row), size) for row in range(len(crops))])


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    resized: Tensor = T.resize(torch.from_numpy(np.array(pixels)).permute(2, 0, 1), list(size), antialias=True)
    return resized


class IndividualBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of several individuals with several crops each. Source: Hermans et al. 2017, arXiv 1703.07737."""

    def __init__(self, crops: Crops, images: Tensor, config: EmbedderTraining) -> None:
        """Takes crops, their pixels as `load_images` gives them, and how many are drawn."""
        self.images = images
        self.config = config
        self.rows: dict[int, list[int]] = defaultdict(list)
        for row, number in enumerate(crops.ids.tolist()):
            self.rows[number].append(row)

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of one step: the same one whichever worker makes it, and after a resume.

        Returns:
            float32 (B, 3, H, W) from 0 to 255, and int64 (B,) individuals counted from 0.
        """
        rng = random.Random(f"{self.config.seed}-{step}")
        numbers = rng.sample(sorted(self.rows), min(self.config.individuals, len(self.rows)))
        rows = [row for n in numbers for row in _draw(self.rows[n], self.config.crops, rng)]
        generator = torch.Generator().manual_seed(rng.getrandbits(31))
        images = augment(self.images[rows], generator, apart=self.config.crops)
        return images, torch.tensor(numbers).repeat_interleave(self.config.crops)


def _draw(rows: list[int], count: int, rng: random.Random) -> list[int]:
    return rng.sample(rows, count) if len(rows) >= count else rng.choices(rows, k=count)


def augment(images: Tensor, generator: torch.Generator, apart: int = 1) -> Tensor:
    """Changes crops as cameras, detectors and other people do.

    Resolution falls to that of a distant person; the box shifts, grows and shrinks as a detector's does; it is
    mirrored; light, contrast, white balance and saturation change; a part is hidden behind another crop.

    Args:
        images: uint8 (B, 3, H, W).
        generator: Source of everything random.
        apart: Distance in the batch to a crop of another individual.

    Returns:
        float32 (B, 3, H, W) from 0 to 255.
    """
    moved = _move(_lose_resolution(images.float(), generator), generator)
    return _hide(_relight(moved, generator), generator, apart)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def _lose_resolution(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    changed = []
    for image in images[:, None]:
        factor = 2 ** float(_uniform(-2.2, 1.0, (1,), generator))  # a third stays as it is
        if factor < 1:
            small = [max(1, round(height * factor)), max(1, round(width * factor))]
            image = F.interpolate(image, small, mode="bilinear", antialias=True)
            image = F.interpolate(image, (height, width), mode="bilinear")
        changed.append(image)
    return torch.cat(changed)


def _move(images: Tensor, generator: torch.Generator) -> Tensor:
    count = len(images)
    theta = torch.zeros(count, 2, 3)
    mirror = torch.where(_uniform(0, 1, (count,), generator) < 0.5, -1.0, 1.0)
    theta[:, 0, 0] = mirror * _uniform(-0.2, 0.2, (count,), generator).exp()
    theta[:, 1, 1] = _uniform(-0.2, 0.2, (count,), generator).exp()
    theta[:, 0, 1] = _uniform(-0.08, 0.08, (count,), generator)  # a slight lean
    theta[:, :, 2] = _uniform(-0.15, 0.15, (count, 2), generator)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _relight(images: Tensor, generator: torch.Generator) -> Tensor:
    def factor(spread: float, channels: int = 1) -> Tensor:
        return _uniform(-spread, spread, (len(images), channels, 1, 1), generator).exp()

    images = 255 * (images / 255).clamp(0, 1) ** factor(0.4)
    images = images * factor(0.3) * factor(0.12, channels=3)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * factor(0.35) + mean
    grey = images.mean(1, keepdim=True)
    return ((images - grey) * factor(0.4) + grey).clamp(0, 255)


def _hide(images: Tensor, generator: torch.Generator, apart: int) -> Tensor:
    """Lays a rectangle of another crop over half of the crops. Source: Zhong et al. 2017, arXiv 1708.04896."""
    count, _, height, width = images.shape
    extent = _uniform(0.2, 0.6, (2, count, 1), generator)
    start = _uniform(-0.1, 1, (2, count, 1), generator) * (1.1 - extent)
    rows, columns = (torch.arange(n)[None] / n for n in (height, width))
    inside_rows = (rows >= start[0]) & (rows < start[0] + extent[0])
    inside_columns = (columns >= start[1]) & (columns < start[1] + extent[1])
    chosen = _uniform(0, 1, (count, 1, 1, 1), generator) < 0.5
    hidden = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None] & chosen
    return torch.where(hidden, images.roll(apart, 0), images)
