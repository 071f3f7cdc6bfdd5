"""The noise of a detector's boxes, measured by how far they lie from where their tracks were predicted."""

from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats

_PRIOR_COUNT = 20.0
"""Detections that the expectation before the first one counts for."""
_WINDOW = 500.0
"""Detections over which the mean is taken: of more, older ones fade."""
_MAX_DEVIATION = 3.0
"""Deviation in standard deviations, beyond which one tells of a maneuver or of a wrong match, not of noise."""
_EXPECTED = sqrt(2 / pi)
"""Mean absolute value of a standard normal variable."""


class MeasuredNoise:
    """The noise of boxes relative to what the settings let expect, over all tracks of a source.

    Heights tell it best: their predictions are hardly ever wrong by motion or by the camera, as those of centers are.
    The mean of absolute deviations is used instead of squared ones, as few detections dominate those.
    Source: the adaptive estimation of noise by the innovations of a filter, Mehra 1970.

    Attributes:
        fraction: Variance of the deviations, relative to the assumed one; from 0 to 1.

    Example:
        >>> noise = MeasuredNoise()
        >>> for _ in range(50):
        ...     noise.add(np.array([0.3, -0.2, 0.1]), np.ones(3))
        >>> round(noise.fraction, 2)
        0.11
    """

    def __init__(self) -> None:
        """Starts with the assumed noise."""
        self._mean, self._count = _EXPECTED, _PRIOR_COUNT

    @property
    def fraction(self) -> float:
        return min(1.0, (self._mean / _EXPECTED) ** 2)

    def add(self, deviations: Floats, variances: Floats) -> None:
        """Adds detected less predicted heights (N,), and their variances (N,) under the assumed noise."""
        if not len(deviations):
            return
        values = np.minimum(np.abs(deviations) / np.sqrt(variances), _MAX_DEVIATION)
        self._count = min(self._count + len(values), max(_WINDOW, len(values)))
        self._mean += (float(values.mean()) - self._mean) * len(values) / self._count

    def state(self) -> NDArray[np.float64]:
        """Returns what `restore` needs to go on."""
        return np.array([self._mean, self._count])

    def restore(self, state: NDArray[np.float64]) -> None:
        """Goes on from an earlier `state`."""
        self._mean, self._count = state.tolist()
