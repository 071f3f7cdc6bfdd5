"""Finds images that show the same, by comparing them at 32 x 32 pixels.

Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions, section 3.2.1 (DCT).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 32  # pixels of a thumbnail's side
_FREQUENCIES = 8  # lowest ones, horizontal and vertical, that make the hash
_MAX_DISTANCE = 10  # bits, of 63, in which the hashes of two images that are compared further may differ
_MIN_CORRELATION = 0.92  # of two thumbnails that count as the same image
_MIN_MIRRORED_CORRELATION = 0.98  # of a thumbnail and the other's mirror: many a scene is nearly symmetric
_BLOCK_SIZE = 2**22  # pairs of hashes that are compared at once, to bound the memory
_MIRROR_MASK = np.uint64(sum(1 << (row * 8 + column) for row in range(8) for column in range(1, 8, 2)))

Kind = Literal["same file", "similar", "mirrored"]


class DuplicateImages(NamedTuple):
    """The indices of an image and of the first image of some set that shows the same, and the kind of duplicate."""

    duplicate: int
    original: int
    kind: Kind


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Converts uint8 (H, W, 3) RGB to (32, 32) gray."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def find_duplicates(
    thumbnails: NDArray[np.uint8], files: Sequence[bytes], sets: Sequence[int]
) -> list[DuplicateImages]:
    """Finds, for each image and each set, the first earlier image of the set that shows the same, if any.

    Args:
        thumbnails: uint8 (N, 32, 32).
        files: Digests of the files of the N images.
        sets: The number of the set that each of the N images belongs to.
    """
    if not len(thumbnails):
        return []
    hashes = np.array([_hash(image) for image in thumbnails], np.uint64)
    file_of, set_of = np.unique(np.array(files), return_inverse=True)[1], np.array(sets)
    standardized, mirrored = _standardize(thumbnails), _standardize(thumbnails[:, :, ::-1])
    duplicates: list[DuplicateImages] = []
    step = max(1, _BLOCK_SIZE // len(hashes))
    for start in range(0, len(hashes), step):
        block = hashes[start : start + step, None]
        is_near, is_near_mirrored = (
            np.bitwise_count(block ^ other) <= _MAX_DISTANCE for other in (hashes, hashes ^ _MIRROR_MASK)
        )
        for index in range(start, start + len(block)):
            direct, flipped = (np.flatnonzero(rows[index - start, :index]) for rows in (is_near, is_near_mirrored))
            originals: dict[Kind, NDArray[np.int64]] = {
                "same file": direct[file_of[direct] == file_of[index]],
                "similar": direct[standardized[direct] @ standardized[index] >= _MIN_CORRELATION],
                "mirrored": flipped[mirrored[flipped] @ standardized[index] >= _MIN_MIRRORED_CORRELATION],
            }
            duplicates += _first_of_each_set(index, originals, set_of)
    return duplicates


def _first_of_each_set(
    index: int, originals: dict[Kind, NDArray[np.int64]], set_of: NDArray[np.int64]
) -> list[DuplicateImages]:
    by_set: dict[int, DuplicateImages] = {}
    for kind, indices in originals.items():
        for number, first in zip(*np.unique(set_of[indices], return_index=True), strict=True):
            by_set.setdefault(int(number), DuplicateImages(index, int(indices[first]), kind))
    return list(by_set.values())


def _hash(image: NDArray[np.uint8]) -> int:
    """Returns the signs of the lowest frequencies, one bit each; the mean brightness has none.

    In a mirror image the odd horizontal frequencies change their sign, and so do their bits.
    """
    low = cv2.dct(image.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    return sum(1 << bit for bit in np.flatnonzero(low[1:] > 0).tolist()) << 1


def _standardize(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns (N, 1024) of mean 0 and length 1, so that products are correlations; 0 for images of one color."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    np.divide(flat, length, out=flat, where=length > 0)
    return flat
