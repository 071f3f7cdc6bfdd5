"""Random augmentation of crops: differences between cameras, errors of detected boxes, occlusion."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.config import CropTrainingConfig

CONTEXT = 0.25  # margin of its image with which a crop is read, on each side, relative to the crop's sides
_TRANSLATION, _LOG_SCALE, _SHEAR = 0.15, 0.2, 0.08  # of boxes; the first and the last relative to half of the sides
_LOG_GAMMA, _LOG_BRIGHTNESS, _LOG_WHITE_BALANCE, _LOG_CONTRAST, _LOG_SATURATION = 0.4, 0.3, 0.12, 0.35, 0.4


def context_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns the (height, width) of a crop of this size with its margin, pixels."""
    height, width = (side + 2 * round(side * CONTEXT) for side in size)
    return height, width


def augment(crops: Tensor, config: CropTrainingConfig, generator: torch.Generator, identity_offset: int = 1) -> Tensor:
    """Augments a batch of crops.

    Applies a loss of resolution, as for distant objects; an affine transform of the box, as errors of a detector; a
    horizontal flip; changes of gamma, brightness, contrast, white balance and saturation; and random erasing.

    Args:
        crops: uint8 (B, 3, *context_size(config.size)), with their margins.
        config: Strengths and probabilities.
        generator: Random number generator.
        identity_offset: Distance in the batch to a crop of another identity, with which erased parts are filled.

    Returns:
        float32 (B, 3, *config.size) from 0 to 255.
    """
    images = _random_downscale(crops.float(), config.max_downscale_log2, generator)
    images = _random_affine(images, config, generator)
    images = _color_jitter(images, config.color_jitter, generator)
    return _random_erase(images, config.random_erase_prob, generator, identity_offset)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def _random_downscale(images: Tensor, max_log2: float, generator: torch.Generator) -> Tensor:
    """Resizes images down and up again; a third of them stay as they are."""
    height, width = images.shape[2:]
    results = []
    for image in images[:, None]:
        factor = 2 ** float(_uniform(-max_log2, max_log2 / 2, (1,), generator))
        if factor < 1:
            small = [max(1, round(height * factor)), max(1, round(width * factor))]
            image = F.interpolate(image, small, mode="bilinear", antialias=True)
            image = F.interpolate(image, (height, width), mode="bilinear")
        results.append(image)
    return torch.cat(results)


def _random_affine(images: Tensor, config: CropTrainingConfig, generator: torch.Generator) -> Tensor:
    """Crops jittered boxes, some of them flipped, out of the images with their margins."""
    count, channels, height, width = images.shape
    strength = config.box_jitter
    theta = torch.zeros(count, 2, 3)
    flip = torch.where(_uniform(0, 1, (count,), generator) < config.hflip_prob, -1.0, 1.0)
    theta[:, 0, 0] = flip * _uniform(-_LOG_SCALE, _LOG_SCALE, (count,), generator).mul(strength).exp()
    theta[:, 1, 1] = _uniform(-_LOG_SCALE, _LOG_SCALE, (count,), generator).mul(strength).exp()
    theta[:, 0, 1] = _uniform(-_SHEAR, _SHEAR, (count,), generator) * strength
    theta[:, :, 2] = _uniform(-_TRANSLATION, _TRANSLATION, (count, 2), generator) * strength
    theta *= torch.tensor([config.size[1] / width, config.size[0] / height])[:, None]
    grid = F.affine_grid(theta, [count, channels, *config.size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _color_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    def factor(log_range: float, channels: int = 1) -> Tensor:
        return _uniform(-log_range, log_range, (len(images), channels, 1, 1), generator).mul(strength).exp()

    images = 255 * (images / 255).clamp(0, 1) ** factor(_LOG_GAMMA)
    images = images * factor(_LOG_BRIGHTNESS) * factor(_LOG_WHITE_BALANCE, channels=3)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * factor(_LOG_CONTRAST) + mean
    gray = images.mean(1, keepdim=True)
    return ((images - gray) * factor(_LOG_SATURATION) + gray).clamp(0, 255)


def _random_erase(images: Tensor, probability: float, generator: torch.Generator, identity_offset: int) -> Tensor:
    """Replaces a rectangle of some crops by that of another crop. Source: Zhong et al. 2017, arXiv 1708.04896."""
    count, _, height, width = images.shape
    extent = _uniform(0.2, 0.6, (2, count, 1), generator)
    start = _uniform(-0.1, 1, (2, count, 1), generator) * (1.1 - extent)
    y, x = (torch.arange(side)[None] / side for side in (height, width))
    inside_y = (y >= start[0]) & (y < start[0] + extent[0])
    inside_x = (x >= start[1]) & (x < start[1] + extent[1])
    selected = _uniform(0, 1, (count, 1, 1, 1), generator) < probability
    erased = (inside_y[:, :, None] & inside_x[:, None, :])[:, None] & selected
    return torch.where(erased, images.roll(identity_offset, 0), images)
