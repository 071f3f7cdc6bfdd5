"""Runs an embedder on crops of known identities."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset, read_image, read_reid_dataset
from tracker.data.reid_crops import ReIDSample
from tracker.errors import InputError
from tracker.models.reid import Embedder
from tracker.structures.boxes import area, clip

BATCH_SIZE = 64  # images read and embedded at a time
CROPS_PER_IMAGE, REPETITIONS = 32, 7  # of the measurement of latency


def read_query_gallery(gallery: Sequence[Path], query: Path | None) -> tuple[ReIDDataset, int]:
    """Reads the crops to evaluate an embedder on.

    Args:
        gallery: Folders of the gallery, see `read_reid_dataset`.
        query: Folder of the queries; None if each crop of the gallery is a query.

    Returns:
        The crops, and how many of the first ones are queries; 0: all crops are queries and gallery.

    Raises:
        InputError: See `read_reid_dataset`.
    """
    crops = read_reid_dataset(gallery)
    if query is None:
        return crops, 0
    queries = read_reid_dataset([query])
    return ReIDDataset.from_samples([*_samples(queries), *_samples(crops)]), len(queries)


def _samples(crops: ReIDDataset) -> Iterator[ReIDSample]:
    for file, box, identity, camera in zip(crops.files, crops.boxes, crops.ids, crops.cameras.tolist(), strict=True):
        x1, y1, x2, y2 = box.tolist()
        yield ReIDSample(file, (x1, y1, x2, y2), crops.identities[identity], camera)


def embed_crops(
    embedder: Embedder, crops: ReIDDataset, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> NDArray[np.float32]:
    """Embeds crops, cut out of their images as the tracker cuts out detections.

    Args:
        embedder: The embedder.
        crops: N crops.
        on_progress: Called with the number of images that are done, and their total.

    Returns:
        float32 (N, D), unit rows.

    Raises:
        InputError: An image cannot be read, or a box is outside of it.
    """
    indices: dict[Path, list[int]] = defaultdict(list)
    for index, file in enumerate(crops.files):
        indices[file].append(index)
    files = list(indices)
    embeddings = np.zeros((len(crops), embedder.dimension), np.float32)
    for start in range(0, len(files), BATCH_SIZE):
        batch = files[start : start + BATCH_SIZE]
        images = [read_image(file) for file in batch]
        boxes = [_clip(crops.boxes[indices[file]], image, file) for file, image in zip(batch, images, strict=True)]
        for file, image_embeddings in zip(batch, embedder.embed(embedder.upload(images), boxes), strict=True):
            embeddings[indices[file]] = image_embeddings
        on_progress(start + len(batch), len(files))
    return embeddings


def _clip(boxes: NDArray[np.float32], image: NDArray[np.uint8], file: Path) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    clipped = np.asarray(clip(boxes, width, height), np.float32)
    empty = area(clipped) <= 0
    if empty.any():
        raise InputError(f"{file} is {width} x {height}: it does not reach to the box {boxes[empty][0].tolist()}")
    return clipped


def seconds_per_crop(embedder: Embedder, threads: int) -> float:
    """Measures the median latency of a crop, in batches of one image of 32 crops for each thread."""
    height, width = embedder.info.size
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width * CROPS_PER_IMAGE, 3), np.uint8) for _ in range(threads)]
    left = np.arange(CROPS_PER_IMAGE) * width
    boxes = np.stack([left, 0 * left, left + width, 0 * left + height], 1).astype(np.float32)
    times = []
    for _ in range(REPETITIONS):
        start = perf_counter()
        embedder.embed(embedder.upload(images), [boxes] * threads)
        times.append(perf_counter() - start)
    return median(times) / (threads * CROPS_PER_IMAGE)
