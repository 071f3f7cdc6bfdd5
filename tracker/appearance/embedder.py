"""Crops of pictures in, unit vectors out, on any device, with the same answer at any batch size and threads."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.transforms.v2 import functional as F

from tracker.appearance.network import DIMENSION, EmbedderNetwork
from tracker.errors import InputError, did_you_mean
from tracker.networks import picture_workers, upload
from tracker.weights import Arrays, ModelInfo, load_model

BUILTIN = Path(__file__).parent / "weights" / "builtin.safetensors"
Embeddings = NDArray[np.float32]


class Embedder:
    """An embedding network and the way that crops are prepared for it.

    On the CPU the crops of each picture are computed together, by one thread that uses one core, and several such
    threads work on several pictures side by side. So neither the number of pictures handed over at once nor that
    of threads changes the arithmetic.

    Attributes:
        info: What the network was trained for; `info.categories` are the classes that it tells apart.
        device: Where it runs.
        dimension: Numbers in an embedding.
    """

    def __init__(
        self, model: nn.Module, info: ModelInfo, device: torch.device, half: bool = False, threads: int = 0
    ) -> None:
        self.info = info
        self.device = device
        self.dimension = DIMENSION
        self.dtype = torch.float16 if half else torch.float32
        self.model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._workers = picture_workers(device, threads, "embed")

    def close(self) -> None:
        """Ends the worker threads."""
        self._workers.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures (H, W, 3) RGB -> uint8 tensors (3, H, W) on the device, for `embed`."""
        return upload(images, self.device)

    def embed(self, images: Sequence[Tensor], boxes: Sequence[NDArray[np.float32]]) -> list[Embeddings]:
        """Embeds what boxes of pictures show.

        Args:
            images: uint8 (3, H, W) RGB each, on the embedder's device, of any sizes.
            boxes: float32 (N, 4) xyxy each, pixels, of positive area, inside the picture.

        Returns:
            float32 (N, D) with rows of length 1 for each picture; the cosine distance of two is 1 - their product.

        Raises:
            ValueError: The numbers of pictures and of box arrays differ.
        """
        if len(images) != len(boxes):
            raise ValueError(f"{len(images)} pictures do not match the boxes of {len(boxes)}")
        if self.device.type == "cpu":
            return list(self._workers.map(self._infer, images, boxes))
        crops = [self._crops(image, rows) for image, rows in zip(images, boxes, strict=True)]
        counts = [len(rows) for rows in boxes]
        return np.split(self._forward(torch.cat(crops)), np.cumsum(counts)[:-1]) if crops else []

    def _infer(self, image: Tensor, boxes: NDArray[np.float32]) -> Embeddings:
        return self._forward(self._crops(image, boxes))

    def _crops(self, image: Tensor, boxes: NDArray[np.float32]) -> Tensor:
        """uint8 (N, 3, *size): the pixels that each box touches."""
        size = list(self.info.size)
        low = np.floor(boxes[:, :2]).astype(int)
        high = np.maximum(np.ceil(boxes[:, 2:]).astype(int), low + 1)
        crops = [
            F.resize(image[:, y1:y2, x1:x2], size, antialias=True)
            for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True)
        ]
        return torch.stack(crops) if crops else image.new_empty((0, 3, *size))

    @torch.inference_mode()
    def _forward(self, crops: Tensor) -> Embeddings:
        if len(crops) == 0:
            return np.zeros((0, self.dimension), np.float32)
        prepared = crops.float().contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(prepared).float().cpu().numpy()  # type: ignore[no-any-return]


def load_embedder(name: str, device: torch.device, half: bool = False, threads: int = 0) -> Embedder:
    """Loads an embedder; nothing is downloaded.

    Args:
        name: `builtin`, or the path of a .safetensors file that `train_embedder` wrote.
        device: Where it is to run.
        half: Compute in half precision.
        threads: CPU threads, 0 for all cores; results do not depend on it.

    Raises:
        InputError: The name is unknown, or the file is missing, damaged, or no embedder.
    """
    path = embedder_path(name)
    state, info = load_model(path)
    return Embedder(fused(network_from(state, info, str(path))), info, device, half, threads)


def embedder_path(name: str) -> Path:
    """The file that an embedder's weights come from.

    Raises:
        InputError: The name is neither `builtin` nor that of a .safetensors file.
    """
    if name == "builtin":
        return BUILTIN
    if not name.endswith(".safetensors"):
        raise InputError(f"unknown embedder {name!r}{did_you_mean(name, ['builtin', 'none', 'a .safetensors file'])}")
    return Path(name)


def fused(model: nn.Module) -> nn.Module:
    """Folds, in place, each batch normalisation into the convolution before it: a quarter less time for a crop."""
    model.eval()
    for part in list(model.modules()):
        if isinstance(part, nn.Sequential):
            for n in range(len(part) - 1):
                convolution, norm = part[n], part[n + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    part[n], part[n + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return model


def network_from(state: Arrays, info: ModelInfo, where: str) -> EmbedderNetwork:
    """The network that holds the weights of a model file.

    Raises:
        InputError: The model is no embedder, or its weights are not those of the network.
    """
    if info.task != "embedding":
        raise InputError(f"{where} is a model for {info.task}: as embedder give one that `track train embedder` wrote")
    network = EmbedderNetwork()
    try:
        network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    except RuntimeError:
        raise InputError(f"{where} does not hold the weights of the embedder: train it again") from None
    return network
