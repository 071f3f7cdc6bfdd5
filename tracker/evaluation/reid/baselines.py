"""Loads the embedder to be evaluated: a trained one, a baseline, or the RoI features of a detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracker.config import DetectorConfig, EmbedderEvalConfig, EmbedderNetwork
from tracker.errors import InputError
from tracker.models.detection import Detector, load_detector
from tracker.models.model_file import ModelInfo
from tracker.models.reid import Embedder, build_embedder, crop_size, load_embedder, torch_embedder
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import choose_device, read_weights, use_half_precision

HSV_BINS = (16, 8, 4)
BASELINES = ("hsv", "untrained")
ROI = "roi"
FloatArray = NDArray[np.float32]


class ColorHistogram(nn.Module):
    """A color histogram in place of a network: 16 hues x 8 saturations x 4 values, 512 bins."""

    def forward(self, crops: Tensor) -> Tensor:
        """Maps crops (B, 3, H, W), RGB from 0 to 1, to histograms (B, 512), fractions of the pixels."""
        images = (crops * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([_histogram(image) for image in images])).to(crops.device)


def _histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, HSV_BINS, [0, 180, 0, 256, 0, 256])
    return np.asarray(counts.ravel() / counts.sum(), np.float32)


def open_embedder(config: EmbedderEvalConfig) -> Embedder:
    """Loads an embedder of crops.

    Raises:
        InputError: It is unknown or needs whole images, its file cannot be used, or the device is not available.
    """
    if config.weights == ROI:
        raise InputError("a detector needs whole images, not crops: give --gap and sequences, or an embedder")
    device = choose_device(config.device)
    if config.weights not in BASELINES:
        return load_embedder(config.weights, device, use_half_precision(config.precision, device), config.threads)
    size = crop_size("builtin")
    if config.weights == "hsv":
        architecture = EmbedderNetwork(dimension=0, neck=False)
        network = AppearanceNetwork(ColorHistogram(), int(np.prod(HSV_BINS)), architecture, 0)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build_embedder(EmbedderNetwork(), size)
    info = ModelInfo(
        task="embedding", architecture=config.weights, categories=(), size=size, license="", provenance="untrained"
    )
    return torch_embedder(network, info, device, config.threads)


class RoIEmbedder:
    """An embedder of RoI features, as of `--embedding-source roi`: the feature maps of a detector."""

    def __init__(self, detector: Detector) -> None:
        """Takes ownership of the detector.

        Raises:
            InputError: The network has no RoI head.
        """
        self._detector = detector
        blank = np.zeros((64, 64, 3), np.uint8)
        self.dimension = self.embed(self.upload([blank]), [np.zeros((0, 4), np.float32)])[0].shape[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._detector.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Copies images (H, W, 3), RGB, to the device as uint8 tensors (3, H, W)."""
        return self._detector.upload(images)

    def embed(self, images: Sequence[Tensor], boxes: Sequence[FloatArray]) -> list[FloatArray]:
        """Embeds boxes of images, see `Embedder.embed`."""
        _, lookers = self._detector.detect_with_features(images)
        return [looker.embed(rows) for looker, rows in zip(lookers, boxes, strict=True)]


def open_image_embedder(config: EmbedderEvalConfig) -> Embedder | RoIEmbedder:
    """Loads an embedder of boxes in whole images: see `open_embedder`, or a detector's RoI features.

    Raises:
        InputError: See `open_embedder`, or the detector has no RoI head.
    """
    is_file = config.weights.endswith((".safetensors", ".ckpt"))
    task = read_weights(Path(config.weights), "embedding", "detection")[1].task if is_file else ""
    if config.weights != ROI and task != "detection":
        return open_embedder(config)
    settings = {"device": config.device, "precision": config.precision, "threads": config.threads, "backend": "torch"}
    weights = {"weights": config.weights} if is_file else {}
    return RoIEmbedder(load_detector(DetectorConfig.model_validate({**settings, **weights})))
