"""Images of a run's source: chosen frames, and the background without what moves."""

from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError
from tracker.video.run_source import open_run_source

Image = NDArray[np.uint8]

_MEDIAN_FRAMES = 25
_LONGEST = 600.0
"""Seconds from the beginning within which the frames for a background are."""
_LARGEST = 1280
"""Longest side of a background, pixels."""


def background_frames(tracks: RunTracks) -> list[int]:
    """Returns the frames of which the median is the background: some, evenly over the first ten minutes."""
    duration = min(float(tracks.times[-1]) if len(tracks) else 0.0, _LONGEST)
    last = max(1, round(duration * float(tracks.frame_rate)))
    return sorted(set(np.linspace(0, last, _MEDIAN_FRAMES).astype(int).tolist()))


def median_image(images: Iterable[Image]) -> Image:
    """Returns the median of images of one size, uint8 (H, W, 3), with at most 1280 pixels along its longer side.

    Raises:
        InputError: There is none.
    """
    small = [shrink(image, _LARGEST) for image in images]
    if not small:
        raise InputError("no frame of the video could be read for a background")
    return np.asarray(np.median(np.stack(small), axis=0), np.uint8)


def shrink(image: Image, longest: int) -> Image:
    """Returns an image whose longer side has at most so many pixels."""
    height, width = image.shape[:2]
    scale = Fraction(longest, max(height, width))
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def read_background(tracks: RunTracks, video: str = "") -> Image:
    """Reads the background of a run's source.

    Raises:
        InputError: The source is not found, or cannot be read.
    """
    wanted = background_frames(tracks)
    with closing(open_run_source(tracks, video)) as source:
        source.select_frames(set(wanted).__contains__, wanted[-1])
        return median_image(shrink(frame.image, _LARGEST) for frame in source)
