"""What is measured: a trained embedder, one to compare with that has learned nothing, or what a detector sees."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
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
from tracker.models.reid import Embedder, build_embedder, crop_size, load_embedder
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import choose_device, in_half, read_weights

HSV_BINS = (16, 8, 4)
BASELINES = ("hsv", "untrained")
ROI = "roi"
Rows = NDArray[np.float32]


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


def open_embedder(config: EmbedderEvalConfig) -> Embedder:
    """The embedder to be measured on crops.

    Raises:
        InputError: It is unknown or sees whole pictures only, its file cannot be used, or the device cannot be had.
    """
    if config.weights == ROI:
        raise InputError("a detector looks at whole pictures, not at crops: give --gap and sequences, or an embedder")
    device = choose_device(config.device)
    if config.weights not in BASELINES:
        return load_embedder(config.weights, device, in_half(config.precision, device), config.threads)
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
    return Embedder(network, info, device, config.threads)


class RegionEmbedder:
    """What `--embedding-source roi` embeds with: a detector's own feature maps, of whole pictures."""

    def __init__(self, detector: Detector) -> None:
        """Takes the detector, which it closes.

        Raises:
            InputError: The network has no RoI head.
        """
        self._detector = detector
        nothing = np.zeros((64, 64, 3), np.uint8)
        self.dimension = self.embed(self.upload([nothing]), [np.zeros((0, 4), np.float32)])[0].shape[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detector.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures (H, W, 3) RGB -> uint8 tensors (3, H, W) on the device."""
        return self._detector.upload(images)

    def embed(self, images: Sequence[Tensor], boxes: Sequence[Rows]) -> list[Rows]:
        """As `Embedder.embed`."""
        _, lookers = self._detector.detect_with_features(images)
        return [looker.embed(rows) for looker, rows in zip(lookers, boxes, strict=True)]


def open_for_pictures(config: EmbedderEvalConfig) -> Embedder | RegionEmbedder:
    """What is to be measured on whole pictures: as `open_embedder`, or a detector.

    Raises:
        InputError: As `open_embedder`, or the detector has no RoI head.
    """
    of_file = config.weights.endswith((".safetensors", ".ckpt"))
    task = read_weights(Path(config.weights), "embedding", "detection")[1].task if of_file else ""
    if config.weights != ROI and task != "detection":
        return open_embedder(config)
    how = {"device": config.device, "precision": config.precision, "threads": config.threads, "backend": "torch"}
    file = {"weights": config.weights} if of_file else {}
    return RegionEmbedder(load_detector(DetectorConfig.model_validate({**how, **file})))
