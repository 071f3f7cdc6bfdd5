"""Images of a run's source: chosen frames, and the background without what moves."""

from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError
from tracker.video import Source, open_source

Image = NDArray[np.uint8]

_MEDIAN_FRAMES = 25
_LONGEST = 600.0
"""Seconds from the beginning within which the frames for a background are."""
_LARGEST = 1280
"""Longest side of a background, pixels."""


def open_run_source(tracks: RunTracks, video: str = "") -> Source:
    """Opens the source of a run, to be closed by the caller.

    Args:
        tracks: The tracks of the run.
        video: The file, where it is not at its place any more.

    Raises:
        InputError: It is not found, or is another one.
    """
    known = tracks.source
    path = video or known.get("path") or ""
    if not path or (not video and not Path(path).exists()):
        name = known.get("name") or "the video"
        raise InputError(f"{name} of {tracks.folder} is not found: give the file by --video")
    config = (tracks.record.get("config") or {}).get("source") or {}
    settings: dict[str, Any] = {key: config[key] for key in ("fps", "stream") if key in config}
    source = open_source(path, SourceConfig.model_validate(settings))
    if tracks.width and (source.width, source.height) != (tracks.width, tracks.height):
        size = f"{source.width}x{source.height}"
        source.close()
        raise InputError(f"{path} has {size} pixels, but the tracks are of {tracks.width}x{tracks.height}: give theirs")
    return source


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
