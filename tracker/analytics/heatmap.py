"""Heat maps: how many seconds tracks spent where in the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.analytics.trajectories import Floats, Trajectory

_SPREAD = 1.0
"""Standard deviation of the blur, cells."""
_LEAST, _MOST = 0.02, 0.75
"""Fraction of the largest value below which nothing is drawn, and the opacity of the largest one."""


def heat_map(paths: Sequence[Trajectory], size: tuple[int, int], cells: int = 160) -> Floats:
    """Returns the seconds that tracks spent in each cell of the image, float64 (rows, columns), and sums up to all.

    A point counts for half of the time to the one before and half of that to the one after, at most a second each,
    and is spread over its neighbors by a blur.

    Args:
        paths: The paths of all tracks.
        size: Width and height of the image, pixels.
        cells: Cells along the longer side of the image.
    """
    columns, rows = (max(1, round(side / max(size) * cells)) for side in size)
    total = np.zeros((rows, columns))
    for path in paths:
        steps = np.minimum(np.diff(path.times), 1.0) / 2
        seconds = np.append(steps, 0) + np.insert(steps, 0, 0)
        x = np.clip((path.points[:, 0] / size[0] * columns).astype(int), 0, columns - 1)
        y = np.clip((path.points[:, 1] / size[1] * rows).astype(int), 0, rows - 1)
        np.add.at(total, (y, x), seconds)
    return np.asarray(cv2.GaussianBlur(total, (0, 0), _SPREAD, borderType=cv2.BORDER_REFLECT), np.float64)


def draw_heat_map(heat: Floats, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns an image with a heat map drawn over it, uint8 (H, W, 3), RGB.

    Args:
        heat: The heat map.
        background: uint8 (H, W, 3), RGB, such as the median image of the video; its colors are muted.
    """
    height, width = background.shape[:2]
    gray = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
    muted = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB) * 0.7
    most = float(heat.max()) or 1.0
    # The square root shows paths that few took beside places where many stood.
    scaled = np.sqrt(np.clip(cv2.resize(heat / most, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1))
    colors = cv2.applyColorMap(np.rint(scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = np.where(scaled**2 < _LEAST, scaled**2 / _LEAST, 1.0) * _MOST
    drawn = muted * (1 - opacity[..., None]) + colors * opacity[..., None]
    return np.asarray(np.rint(drawn), np.uint8)
