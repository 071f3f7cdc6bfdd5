"""Stub networks for tests: a detector of bright rectangles, and an embedder of mean colors.

Run as a program, this is `track` with these networks: stub_networks.py SECONDS_TO_LOAD SECONDS_PER_FRAME ARGUMENTS...
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch

from tracker.structures.types import Detections
from video_clips import Image, write_clip

CATEGORIES = ("person", "car")
SIZE = (160, 120)


class StubDetector:
    """A stand-in for the result of `load_detector`. Wide rectangles are cars, the others are persons."""

    device = torch.device("cpu")
    backend = "torch"

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.closed = False
        self.info = SimpleNamespace(categories=CATEGORIES)

    def __enter__(self) -> "StubDetector":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def upload(self, images: Sequence[Image]) -> list[Image]:
        return list(images)

    def detect_tensors(self, images: Sequence[Image], tiles: object = None) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        time.sleep(self.delay)
        bright = (image.min(2) > 150).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        rows = stats[1:][stats[1:, cv2.CC_STAT_AREA] > 30]
        x, y, w, h = rows[:, :4].T.astype(np.float32)
        labels = (w > h).astype(np.int64)
        return Detections(np.stack([x, y, x + w, y + h], 1), np.full(len(rows), 0.9, np.float32), labels)


class StubEmbedder:
    """A stand-in for the result of `load_embedder`: the embedding of a box is its mean color."""

    def __init__(self) -> None:
        self.info = SimpleNamespace(categories=("person",), max_distance=0.0)

    def __enter__(self) -> "StubEmbedder":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    device = torch.device("cpu")
    backend = "torch"

    def upload(self, images: Sequence[Image]) -> list[Image]:
        return list(images)

    def embed(self, images: Sequence[Image], boxes: Sequence[Any]) -> list[Any]:
        return [self._embed(image, rows) for image, rows in zip(images, boxes, strict=True)]

    def _embed(self, image: Image, rows: Any) -> Any:
        colors = [image[y1:y2, x1:x2].reshape(-1, 3).mean(0) for x1, y1, x2, y2 in rows.astype(int).tolist()]
        embeddings = np.array(colors, np.float32).reshape(-1, 3)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def moving_rectangles(number: int, width: int, height: int) -> Image:
    """Returns a dark image in which an upright white rectangle moves right, and a wide bluish one below moves left."""
    image = np.full((height, width, 3), 30, np.uint8)
    x = 10 + number * 2 % (width - 40)
    image[15:55, x : x + 16] = 230, 230, 230
    x = width - 50 - number * 2 % (width - 60)
    image[75:95, x : x + 40] = 170, 170, 240
    return image


def moving_clip(path: Path, frames: int = 30, **options: Any) -> Path:
    """Writes a clip of `moving_rectangles`, of `SIZE`; options as those of `write_clip`."""
    return write_clip(path, frames, options.pop("rate", 10), size=SIZE, draw=moving_rectangles, **options)


def install(module: Any, load_time: float = 0.0, delay: float = 0.0) -> None:
    """Replaces the loaders in the module `tracker.pipeline.networks`; times in seconds, the delay is per frame."""

    def load_detector(config: object) -> StubDetector:
        print("loading", file=sys.stderr, flush=True)
        ready = time.monotonic() + load_time
        while time.monotonic() < ready:  # a signal just before one long sleep would not end it
            time.sleep(min(0.05, load_time))
        return StubDetector(delay)

    module.load_detector = load_detector
    module.load_embedder = lambda *_: StubEmbedder()


if __name__ == "__main__":
    import tracker.cli.app
    import tracker.pipeline.networks
    import tracker.pipeline.state_keeper

    tracker.pipeline.state_keeper.INTERVAL = 0.5  # tests wait for it
    install(tracker.pipeline.networks, float(sys.argv[1]), float(sys.argv[2]))
    tracker.cli.app.main(sys.argv[3:])
