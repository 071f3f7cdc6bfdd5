"""Stands in for the networks in tests: finds bright rectangles, at once and always in the same way.

As a program it is `track` with that detector: python stub.py SECONDS_TO_LOAD SECONDS_A_FRAME ARGUMENTS...
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
    """What `load_detector` gives, as far as the pipeline knows it. Wide rectangles are cars, the others persons."""

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

    def detect_tensors(self, images: Sequence[Image]) -> list[Detections]:
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
    """What `load_embedder` gives: the mean colour of a box as its embedding."""

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
        colours = [image[y1:y2, x1:x2].reshape(-1, 3).mean(0) for x1, y1, x2, y2 in rows.astype(int).tolist()]
        found = np.array(colours, np.float32).reshape(-1, 3)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def moving(number: int, width: int, height: int) -> Image:
    """A dark picture: a white upright rectangle goes right, a blueish wide one goes left below it."""
    image = np.full((height, width, 3), 30, np.uint8)
    x = 10 + number * 2 % (width - 40)
    image[15:55, x : x + 16] = 230, 230, 230
    x = width - 50 - number * 2 % (width - 60)
    image[75:95, x : x + 40] = 170, 170, 240
    return image


def moving_clip(path: Path, frames: int = 30, **how: Any) -> Path:
    """A clip of `moving` pictures, SIZE large."""
    return write_clip(path, frames, how.pop("rate", 10), size=SIZE, draw=moving, **how)


def install(pipeline: Any, loading: float = 0.0, delay: float = 0.0) -> None:
    """Puts the stand-ins into the module `tracker.pipeline.networks`."""

    def load_detector(config: object) -> StubDetector:
        print("loading", file=sys.stderr, flush=True)
        time.sleep(loading)
        return StubDetector(delay)

    pipeline.load_detector = load_detector
    pipeline.load_embedder = lambda *_: StubEmbedder()


if __name__ == "__main__":
    import tracker.cli.app
    import tracker.pipeline.networks

    install(tracker.pipeline.networks, float(sys.argv[1]), float(sys.argv[2]))
    tracker.cli.app.main(sys.argv[3:])
