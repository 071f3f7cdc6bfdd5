"""Runs an embedder over crops of known individuals."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_crops, read_image
from tracker.data.reid_crops import ReIDSample
from tracker.errors import InputError
from tracker.models.reid import Embedder
from tracker.structures.boxes import area, clip

PICTURES = 64  # that are read and handed over at a time
TIMED, REPEATS = 32, 7  # crops of each picture by which time is taken, and how often


def read_search(gallery: Sequence[Path], query: Path | None) -> tuple[ReIDDataset, int]:
    """Crops to measure an embedder by, and how many of them, the first ones, are queries; 0 where all are.

    Args:
        gallery: Folders of the gallery, as `read_crops` takes them.
        query: That of the queries; None where each crop of the gallery is one.

    Raises:
        InputError: As `read_crops`.
    """
    crops = read_crops(gallery)
    if query is None:
        return crops, 0
    queries = read_crops([query])
    return ReIDDataset.of([*_one_by_one(queries), *_one_by_one(crops)]), len(queries)


def _one_by_one(crops: ReIDDataset) -> Iterator[ReIDSample]:
    for file, box, number, camera in zip(crops.files, crops.boxes, crops.ids, crops.cameras.tolist(), strict=True):
        x1, y1, x2, y2 = box.tolist()
        yield ReIDSample(file, (x1, y1, x2, y2), crops.identities[number], camera)


def embed_crops(
    embedder: Embedder, crops: ReIDDataset, watch: Callable[[int, int], None] = lambda done, total: None
) -> NDArray[np.float32]:
    """Embeds crops, cut out of their pictures as the tracker cuts out detections.

    Args:
        embedder: The embedder.
        crops: N crops.
        watch: Is told how many pictures are done, of how many.

    Returns:
        float32 (N, D), unit rows.

    Raises:
        InputError: A picture cannot be read, or does not reach to a box.
    """
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, file in enumerate(crops.files):
        rows[file].append(row)
    files = list(rows)
    embeddings = np.zeros((len(crops), embedder.dimension), np.float32)
    for start in range(0, len(files), PICTURES):
        batch = files[start : start + PICTURES]
        images = [read_image(file) for file in batch]
        boxes = [_inside(crops.boxes[rows[file]], image, file) for file, image in zip(batch, images, strict=True)]
        for file, found in zip(batch, embedder.embed(embedder.upload(images), boxes), strict=True):
            embeddings[rows[file]] = found
        watch(start + len(batch), len(files))
    return embeddings


def _inside(boxes: NDArray[np.float32], image: NDArray[np.uint8], file: Path) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    clipped = np.asarray(clip(boxes, width, height), np.float32)
    empty = area(clipped) <= 0
    if empty.any():
        raise InputError(f"{file} is {width} x {height}: it does not reach to the box {boxes[empty][0].tolist()}")
    return clipped


def seconds_per_crop(embedder: Embedder, threads: int) -> float:
    """Median time of a crop, cut out of pictures that hold 32 each, as many side by side as there are threads."""
    height, width = embedder.info.size
    draw = np.random.default_rng(0)
    pictures = [draw.integers(0, 256, (height, width * TIMED, 3), np.uint8) for _ in range(threads)]
    left = np.arange(TIMED) * width
    boxes = np.stack([left, 0 * left, left + width, 0 * left + height], 1).astype(np.float32)
    taken = []
    for _ in range(REPEATS):
        start = perf_counter()
        embedder.embed(embedder.upload(pictures), [boxes] * threads)
        taken.append(perf_counter() - start)
    return median(taken) / (threads * TIMED)
