"""Finds pictures that show the same, by what they look like at 32 x 32 pixels.

Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions, section 3.2.1 (DCT).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of a thumbnail
_FREQUENCIES = 8  # lowest ones, across and down, that make the hash
_MOST_BITS = 10  # of 63, in which the hashes of two pictures that are compared further may differ
_SIMILAR = 0.92  # correlation of two thumbnails, from which the pictures count as one
_MIRRORED = 0.98  # the same, of one thumbnail and the other's mirror: many a scene is nearly its own mirror
_BLOCK = 2**22  # pairs of hashes that are compared at once, to bound the memory
_MIRROR = np.uint64(sum(1 << (row * 8 + column) for row in range(8) for column in range(1, 8, 2)))

Kind = Literal["same file", "similar", "mirrored"]


class DuplicateImages(NamedTuple):
    """A picture and the first one of some set that shows the same, by their numbers, and how they are alike."""

    number: int
    earlier: int
    kind: Kind


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) RGB -> (32, 32) grey."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def find_twins(thumbnails: NDArray[np.uint8], files: Sequence[bytes], sets: Sequence[int]) -> list[DuplicateImages]:
    """For each picture, the first one before it in each of the sets that shows the same, if any.

    Args:
        thumbnails: uint8 (N, 32, 32).
        files: Of the N pictures, digests of their files.
        sets: Of the N pictures, the number of the set that they belong to.
    """
    if not len(thumbnails):
        return []
    hashes = np.array([_hash(thumb) for thumb in thumbnails], np.uint64)
    file_of, set_of = np.unique(np.array(files), return_inverse=True)[1], np.array(sets)
    flat, mirrored = _standardised(thumbnails), _standardised(thumbnails[:, :, ::-1])
    twins: list[DuplicateImages] = []
    step = max(1, _BLOCK // len(hashes))
    for start in range(0, len(hashes), step):
        block = hashes[start : start + step, None]
        near, near_mirrored = (np.bitwise_count(block ^ other) <= _MOST_BITS for other in (hashes, hashes ^ _MIRROR))
        for number in range(start, start + len(block)):
            straight, turned = (np.flatnonzero(n[number - start, :number]) for n in (near, near_mirrored))
            alike: dict[Kind, NDArray[np.int64]] = {
                "same file": straight[file_of[straight] == file_of[number]],
                "similar": straight[flat[straight] @ flat[number] >= _SIMILAR],
                "mirrored": turned[mirrored[turned] @ flat[number] >= _MIRRORED],
            }
            twins += _first_of_each_set(number, alike, set_of)
    return twins


def _first_of_each_set(
    number: int, alike: dict[Kind, NDArray[np.int64]], set_of: NDArray[np.int64]
) -> list[DuplicateImages]:
    found: dict[int, DuplicateImages] = {}
    for kind, others in alike.items():
        for where, first in zip(*np.unique(set_of[others], return_index=True), strict=True):
            found.setdefault(int(where), DuplicateImages(number, int(others[first]), kind))
    return list(found.values())


def _hash(thumb: NDArray[np.uint8]) -> int:
    """The signs of the lowest frequencies, one bit each; the mean brightness has none.

    In a mirror the odd frequencies across change their sign, and so do their bits.
    """
    low = cv2.dct(thumb.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    return sum(1 << bit for bit in np.flatnonzero(low[1:] > 0).tolist()) << 1


def _standardised(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 1024) of mean 0 and length 1, so that products are correlations; 0 for pictures of one colour."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    np.divide(flat, length, out=flat, where=length > 0)
    return flat
