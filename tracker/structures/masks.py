"""Mask arithmetic: from the cells of a box to the pixels of an image, and from pixels to run lengths.

A network gives each object's mask as S x S cells of its box (column `masks` of `Detections.data`), whatever the image's
size. Pixels are computed where a mask is drawn or written, and are not kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import area

_HALF = 127.5
"""Mask threshold: a probability of 1/2, out of 255. Source: Mask R-CNN, arXiv 1703.06870, section 3."""


@dataclass(frozen=True, eq=False, slots=True)
class Patch:
    """The pixels of one object in an image.

    Attributes:
        left: Column of the image in which the patch begins.
        top: Row of the image in which it begins.
        pixels: bool (h, w), True where the object is; the patch lies inside the image.
    """

    left: int
    top: int
    pixels: NDArray[np.bool_]


def patch(mask: NDArray[np.uint8], box: NDArray[np.float32], width: int, height: int) -> Patch:
    """Resamples a mask to pixels: bilinear between the centers of the cells, which are 0 outside of the box.

    Args:
        mask: uint8 (S, S), a row of `Detections.data["masks"]`.
        box: float32 (4,) xyxy, pixels of the image; what lies outside of the image is left out.
        width: Width of the image, pixels.
        height: Height of the image, pixels.

    Returns:
        The part of the image under the box; a patch without pixels where there is none.
    """
    x1, y1, x2, y2 = box.astype(np.float64)
    left, top, right, bottom = np.clip(
        (np.floor(x1), np.floor(y1), np.ceil(x2), np.ceil(y2)), 0, (width, height, width, height)
    ).astype(int)
    if not mask.size or area(box) <= 0 or left >= right or top >= bottom:
        return Patch(0, 0, np.zeros((0, 0), np.bool_))
    rows, columns = _weights(y1, y2, top, bottom, len(mask)), _weights(x1, x2, left, right, len(mask))
    return Patch(int(left), int(top), rows @ mask @ columns.T >= _HALF)


def _weights(start: float, end: float, first: int, last: int, cells: int) -> NDArray[np.float64]:
    """Returns the weight of each cell between start and end for each pixel of one axis, (last - first, cells)."""
    positions = (np.arange(first, last) + 0.5 - start) / (end - start) * cells - 0.5
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells)))
    return weights


def paste(mask: NDArray[np.uint8], box: NDArray[np.float32], width: int, height: int) -> NDArray[np.bool_]:
    """Returns a mask of the whole image, bool (H, W), True where the object is; the arguments are those of `patch`."""
    part = patch(mask, box, width, height)
    image = np.zeros((height, width), np.bool_)
    rows, columns = part.pixels.shape
    image[part.top : part.top + rows, part.left : part.left + columns] = part.pixels
    return image


def run_lengths(part: Patch, width: int, height: int) -> str:
    """Encodes an object as COCO's compressed run lengths, the `counts` of a segmentation of size (height, width).

    Counted down the columns of the image, the runs are background, object, background and so on. Each is written as
    its difference from the one two before, in groups of five bits, the least first; a sixth bit says that more follow,
    and the characters start at "0".

    Source: the COCO API's maskApi.c, rleToString.
    """
    edges = np.diff(part.pixels.astype(np.int8), axis=0, prepend=0, append=0).T
    column, row = np.nonzero(edges)
    positions = (column + part.left) * height + row + part.top
    # An object that leaves a column at the bottom and enters the next at the top is in one run.
    joined = np.flatnonzero(positions[1:] == positions[:-1])
    positions = np.delete(positions, np.concatenate([joined, joined + 1]))
    end = width * height
    counts = np.diff(positions[positions < end], prepend=0, append=end)
    counts[3:] -= counts[1:-2].copy()
    return _characters(counts)


def _characters(numbers: NDArray[np.int64]) -> str:
    groups = numbers[:, None] >> np.arange(0, 40, 5)  # (R, 8): what is left before each group is taken
    bits = groups & 31
    # The last group is the one whose sixth and higher bits all repeat its sign.
    ends = np.where(bits & 16, groups >> 5 == -1, groups >> 5 == 0)
    last = ends.argmax(1)[:, None]
    digit = np.arange(8)
    characters = bits + 32 * (digit < last) + 48
    return "".join(map(chr, characters[digit <= last]))
