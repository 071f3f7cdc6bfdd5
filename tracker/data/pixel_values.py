"""Scaling of pixel values of more than 8 bits to 8 bits, alike for all pictures of a folder.

Cameras, microscopes and thermal cameras write 10, 12 or 14 bits into 16, or floats in any unit, and few files say
which. One picture alone cannot tell: a dark picture of 16 bits looks like a bright one of 12. So up to `SAMPLES`
pictures of its folder are looked at, and a picture has the same brightness whether it is read alone, as a frame of its
folder, or in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 8
"""Pictures of a folder, or pages of a file, that are read to find the range of its values."""

INTEGER_MAXIMA = (255, 4095, 16383, 65535)
"""The largest values of 8, 12, 14 and 16 bits. Not of 10: dark pictures of 12 bits look alike."""

FLOAT_MAXIMA = (1, 255)


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The values that become 0 and 255.

    Attributes:
        low: Becomes 0, as all values below do.
        high: Becomes 255, as all values above do.
        is_nominal: True for the full range of a number of bits, or of floats from 0 to 1; False for the least and the
            greatest value of pictures.
    """

    low: float
    high: float
    is_nominal: bool


def range_of(values: NDArray[Any]) -> ValueRange:
    """Returns the range of one picture's values: the smallest nominal one that holds them all, or their own.

    Example:
        >>> range_of(np.array([0, 3000], np.uint16))
        ValueRange(low=0.0, high=4095.0, is_nominal=True)
        >>> range_of(np.array([273.5, 310.0], np.float32))
        ValueRange(low=273.5, high=310.0, is_nominal=False)
    """
    low, high = _extremes(values)
    for maximum in FLOAT_MAXIMA if values.dtype.kind == "f" else INTEGER_MAXIMA:
        if low >= 0 and high <= maximum:
            return ValueRange(0.0, float(maximum), True)
    return ValueRange(low, high, False)


def combine(own: ValueRange, others: Sequence[ValueRange]) -> ValueRange:
    """Returns the range for one picture among others of its kind, from its own range and those of a sample of them.

    The range is that of most of the sample. A picture that exceeds it has its own, if both are nominal; where the
    values have no nominal range, it is that of the whole sample.

    Example:
        >>> dark, bright = range_of(np.array([0, 900], np.uint16)), range_of(np.array([0, 60000], np.uint16))
        >>> combine(dark, [bright, bright, dark]).high, combine(bright, [dark]).high
        (65535.0, 65535.0)
    """
    nominal = sorted(other.high for other in others if other.is_nominal)
    measured = [other for other in others if not other.is_nominal]
    if len(measured) > len(nominal):
        return ValueRange(min(other.low for other in measured), max(other.high for other in measured), False)
    if not nominal or not own.is_nominal:
        return own
    return ValueRange(0.0, max(own.high, nominal[(len(nominal) - 1) // 2]), True)


def to_8_bits(values: NDArray[Any], scale: ValueRange) -> NDArray[np.uint8]:
    """Scales values to uint8, rounded; NaN and infinity become 0."""
    factor = 255 / ((scale.high - scale.low) or 1)
    if values.dtype == np.uint16:
        levels = np.arange(65536, dtype=np.float64)
        table = np.rint(np.clip((levels - scale.low) * factor, 0, 255)).astype(np.uint8)
        return np.asarray(table[values])
    scaled = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), rows := _rows_at_once(values)):
        part = values[start : start + rows].astype(np.float64)
        part[~np.isfinite(part)] = scale.low
        scaled[start : start + rows] = np.rint(np.clip((part - scale.low) * factor, 0, 255))
    return scaled


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    """Returns the least and the greatest finite value, 0 and 0 where there is none."""
    low, high = np.inf, -np.inf
    for start in range(0, len(values), rows := _rows_at_once(values)):
        part = values[start : start + rows]
        finite = part[np.isfinite(part)]
        if finite.size:
            low, high = min(low, finite.min()), max(high, finite.max())
    return (float(low), float(high)) if low <= high else (0.0, 0.0)


def _rows_at_once(values: NDArray[Any]) -> int:
    """Returns how many rows to convert at a time, so that the largest images need little more memory than they take."""
    return max(1, 2**20 // max(1, values[:1].size))
