"""Masks in run lengths: numbers of pixels that are outside and inside of an object by turns.

Source: the COCO API's maskApi, https://github.com/cocodataset/cocoapi (BSD licence).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_MASK_PIXELS = 2**28
"""Largest mask that is decoded: its size stands in the file, and may be any number."""
_BITS, _SIGN, _MORE = 5, 0x10, 0x20  # of a character of COCO's compressed run lengths
_MOST_CHARACTERS = 8  # of one number: more would be a number beyond any image


def decode_coco_mask(run_lengths: dict[str, Any]) -> NDArray[np.uint8]:
    """Returns the mask (H, W) of COCO's run lengths: `size`, height and width, and `counts`, down the columns.

    Raises:
        ValueError: They do not add up to the size.

    Example:
        >>> decode_coco_mask({"size": [2, 3], "counts": [1, 2, 3]}).tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    height, width = map(int, run_lengths["size"])
    counts = run_lengths["counts"]
    lengths = _decompress(counts) if isinstance(counts, str) else counts
    return np.ascontiguousarray(decode_runs(lengths, width, height).T)


def decode_runs(lengths: Sequence[int], rows: int, columns: int) -> NDArray[np.uint8]:
    """Returns the mask (rows, columns) of run lengths along the rows; the first run is outside.

    Raises:
        ValueError: They do not add up to the size, or it is that of no image.
    """
    runs = np.asarray(lengths)
    if rows < 1 or columns < 1 or rows * columns > MOST_MASK_PIXELS:
        raise ValueError(f"a mask of {columns} x {rows} pixels")
    if runs.dtype.kind not in "iu" or (runs < 0).any() or runs.max(initial=0) > MOST_MASK_PIXELS:
        raise ValueError("the run lengths of a mask are not whole numbers")
    if runs.sum() != rows * columns:
        raise ValueError(f"the run lengths of a mask do not add up to its {rows * columns} pixels")
    inside = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.repeat(inside, runs).reshape(rows, columns)


def _decompress(text: str) -> list[int]:
    """Returns the run lengths of COCO's text: five bits a character, and from the fourth on differences."""
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & (_SIGN | _SIGN - 1)) << shift
        shift += _BITS
        if bits & _MORE:
            if shift >= _BITS * _MOST_CHARACTERS:
                raise ValueError("the run lengths of a mask are no text of COCO")
            continue
        if bits & _SIGN:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths
