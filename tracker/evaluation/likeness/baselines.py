"""What an embedder is measured: a trained one, or one to compare with that has learned nothing."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracker.appearance import Embedder, build_embedder, crop_size, load_embedder
from tracker.appearance.network import AppearanceNetwork
from tracker.config import EmbedderNetwork, EmbedderScoring
from tracker.networks import choose_device, in_half
from tracker.weights import ModelInfo

HSV_BINS = (16, 8, 4)
BASELINES = ("hsv", "untrained")


class ColourHistogram(nn.Module):
    """How much of a crop has each of 512 colours: 16 hues x 8 saturations x 4 values."""

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 1 -> (B, 512), shares of the pixels."""
        images = (crops * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([_histogram(image) for image in images])).to(crops.device)


def _histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, HSV_BINS, [0, 180, 0, 256, 0, 256])
    return np.asarray(counts.ravel() / counts.sum(), np.float32)


def open_embedder(config: EmbedderScoring) -> Embedder:
    """The embedder to be measured.

    Raises:
        InputError: It is unknown, its file cannot be used, or the device cannot be had.
    """
    device = choose_device(config.device)
    half = in_half(config.precision, device)
    if config.weights not in BASELINES:
        return load_embedder(config.weights, device, half, config.threads)
    size = crop_size("builtin")
    if config.weights == "hsv":
        made_of = EmbedderNetwork(dimension=0, neck=False)
        network = AppearanceNetwork(ColourHistogram(), int(np.prod(HSV_BINS)), made_of, 0)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build_embedder(EmbedderNetwork(), size)
    info = ModelInfo(
        task="embedding", architecture=config.weights, categories=(), size=size, license="", provenance="untrained"
    )
    return Embedder(network, info, device, half, config.threads)
