"""Appearance embeddings from the feature maps of a detector, without a second network."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from tracker.models.detection.rpn import APPEARANCE_MAP

APPEARANCE_STRIDE = 8  # pixels
ROWS = 7  # and columns, of the pooled appearance of a region


def embed_rois(pool: nn.Module, feature_maps: Mapping[str, Tensor], boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns embeddings of regions of interest: the pooled input of the RoI head, averaged in stripes.

    The head's inner layers separate classes and therefore drop the differences between identities; its input, or an
    earlier feature map where the network gives one (`APPEARANCE_MAP`), still holds colors and textures. Each channel is
    first normalized by its mean and standard deviation over the whole image, which all objects share, and then averaged
    over each row of the region: an upright object's parts stay separate, and a shift to the side changes little.

    Args:
        pool: The network's RoI pooling: feature maps, lists of boxes and of sizes -> (M, C, rows, columns).
        feature_maps: Feature maps of one image by name, (1, C, h, w) each.
        boxes: float32 (M, 4) xyxy in the network's pixels.
        size: Height and width of the image in these pixels.

    Returns:
        float32 (M, rows * C), of length 1.

    Source: Ulyanov et al. 2016, Instance normalization, arXiv 1607.08022 (mean and deviation); Sun et al. 2018, arXiv
    1711.09349 (stripes).
    """
    if APPEARANCE_MAP in feature_maps:
        pooled = roi_align(_normalize(feature_maps[APPEARANCE_MAP]), [boxes], ROWS, 1 / APPEARANCE_STRIDE, 2)
    else:
        pooled = pool({name: _normalize(tensor) for name, tensor in feature_maps.items()}, [boxes], [size])
    return F.normalize(pooled.float().mean(3).flatten(1), dim=1)


def _normalize(features: Tensor) -> Tensor:
    """Scales each channel of (1, C, h, w) to mean 0 and standard deviation 1; a constant channel becomes 0."""
    centered = features.float() - features.float().mean((2, 3), keepdim=True)
    return centered / (centered.square().mean((2, 3), keepdim=True).sqrt() + 1e-6)  # a third of the time of torch.std
