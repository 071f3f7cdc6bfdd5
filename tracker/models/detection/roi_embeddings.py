"""What a detector's own feature maps say of how the objects in its boxes look: embeddings without a second network."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

NEUTRAL_DISTANCE = 0.24
"""Cosine distance of two regions that speaks neither for nor against the same individual.

For the built-in detector, what is known of a person and a region seen later are as likely of one as of two at 0.194
after half a second, at 0.228 after 3 s and at 0.248 after 7 s (true boxes of PETS09-S2L1, 10 frames per second). The
tracker is there as good with anything from 0.24 to 0.3, and with 0.18 worse than by motion alone: rather too large than
too small. For other detectors it is not known; `track eval embedder SEQUENCE --gap 5,30 --weights DETECTOR` measures it
("max distance") on a sequence whose truth is known, for `--neutral-cosine-distance`. Of objects that fill much of the
picture all distances are smaller."""


def embed_regions(pool: nn.Module, maps: Mapping[str, Tensor], boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Regions of feature maps as vectors: what the RoI head is given of each, in stripes.

    The head's own inner layers tell classes apart and therefore forget what individuals differ in; what it is given
    still holds colours and textures. Each channel is first freed of its mean and scale over the whole picture, which
    all objects share, and then averaged over each row of the region: an upright object keeps its parts apart, and a
    shift to the side changes little.

    Args:
        pool: The network's pooling of regions: maps, lists of boxes and of sizes -> (M, C, rows, columns).
        maps: Feature maps of one picture by name, (1, C, h, w) each.
        boxes: float32 (M, 4) xyxy in the network's pixels.
        size: Height and width of the picture in these pixels.

    Returns:
        float32 (M, rows * C), of length 1.

    Source: Ulyanov et al. 2016, Instance normalization, arXiv 1607.08022 (mean and scale); Sun et al. 2018, arXiv
    1711.09349 (stripes).
    """
    regions = pool({name: _standardised(features) for name, features in maps.items()}, [boxes], [size])
    return F.normalize(regions.float().mean(3).flatten(1), dim=1)


def _standardised(features: Tensor) -> Tensor:
    """(1, C, h, w): each channel with mean 0 and deviation 1; one without any deviation is 0."""
    centred = features.float() - features.float().mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True).sqrt() + 1e-6)  # a third of the time of torch.std
