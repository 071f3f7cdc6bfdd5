"""Random changes of crops, as cameras, detectors and other people make them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.config import CropTrainingConfig

CONTEXT = 0.25  # how much of its surroundings a crop comes with on each side, relative to its sides
_SHIFT, _STRETCH, _LEAN = 0.15, 0.2, 0.08  # of boxes: in half sides, as a logarithm, in half sides
_GAMMA, _LIGHT, _BALANCE, _CONTRAST, _SATURATION = 0.4, 0.3, 0.12, 0.35, 0.4  # logarithms


def canvas(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a crop of this size and its surroundings, pixels."""
    height, width = (side + 2 * round(side * CONTEXT) for side in size)
    return height, width


def augment(crops: Tensor, config: CropTrainingConfig, generator: torch.Generator, apart: int = 1) -> Tensor:
    """Changes crops at random.

    Resolution falls to that of a distant individual; the box shifts, grows and shrinks as a detector's does; it is
    mirrored; light, contrast, white balance and saturation change; a part is hidden behind another crop.

    Args:
        crops: uint8 (B, 3, *canvas(config.size)), with their surroundings.
        config: How much of what.
        generator: Source of everything random.
        apart: Distance in the batch to a crop of another individual.

    Returns:
        float32 (B, 3, *config.size) from 0 to 255.
    """
    blurred = _lose_resolution(crops.float(), config.low_resolution, generator)
    moved = _move(blurred, config, generator)
    return _hide(_relight(moved, config.colour_jitter, generator), config.erasing, generator, apart)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def _lose_resolution(images: Tensor, halvings: float, generator: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    changed = []
    for image in images[:, None]:
        factor = 2 ** float(_uniform(-halvings, halvings / 2, (1,), generator))  # a third stays as it is
        if factor < 1:
            small = [max(1, round(height * factor)), max(1, round(width * factor))]
            image = F.interpolate(image, small, mode="bilinear", antialias=True)
            image = F.interpolate(image, (height, width), mode="bilinear")
        changed.append(image)
    return torch.cat(changed)


def _move(images: Tensor, config: CropTrainingConfig, generator: torch.Generator) -> Tensor:
    """Cuts the crops out of their surroundings where wrong boxes lie."""
    count, channels, height, width = images.shape
    wrong = config.box_jitter
    theta = torch.zeros(count, 2, 3)
    mirror = torch.where(_uniform(0, 1, (count,), generator) < config.flip, -1.0, 1.0)
    theta[:, 0, 0] = mirror * _uniform(-_STRETCH, _STRETCH, (count,), generator).mul(wrong).exp()
    theta[:, 1, 1] = _uniform(-_STRETCH, _STRETCH, (count,), generator).mul(wrong).exp()
    theta[:, 0, 1] = _uniform(-_LEAN, _LEAN, (count,), generator) * wrong
    theta[:, :, 2] = _uniform(-_SHIFT, _SHIFT, (count, 2), generator) * wrong
    theta *= torch.tensor([config.size[1] / width, config.size[0] / height])[:, None]
    grid = F.affine_grid(theta, [count, channels, *config.size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _relight(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    def factor(spread: float, channels: int = 1) -> Tensor:
        return _uniform(-spread, spread, (len(images), channels, 1, 1), generator).mul(strength).exp()

    images = 255 * (images / 255).clamp(0, 1) ** factor(_GAMMA)
    images = images * factor(_LIGHT) * factor(_BALANCE, channels=3)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * factor(_CONTRAST) + mean
    grey = images.mean(1, keepdim=True)
    return ((images - grey) * factor(_SATURATION) + grey).clamp(0, 255)


def _hide(images: Tensor, share: float, generator: torch.Generator, apart: int) -> Tensor:
    """Lays a rectangle of another crop over a share of the crops. Source: Zhong et al. 2017, arXiv 1708.04896."""
    count, _, height, width = images.shape
    extent = _uniform(0.2, 0.6, (2, count, 1), generator)
    start = _uniform(-0.1, 1, (2, count, 1), generator) * (1.1 - extent)
    rows, columns = (torch.arange(n)[None] / n for n in (height, width))
    inside_rows = (rows >= start[0]) & (rows < start[0] + extent[0])
    inside_columns = (columns >= start[1]) & (columns < start[1] + extent[1])
    chosen = _uniform(0, 1, (count, 1, 1, 1), generator) < share
    hidden = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None] & chosen
    return torch.where(hidden, images.roll(apart, 0), images)
