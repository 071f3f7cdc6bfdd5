"""Speed of the detector by input size and tiles, and the objects that tiles find in large frames."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker import Config, Detections, Frame, SourceConfig, open_source
from tracker.errors import InputError
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.tile_follower import TileFollower
from tracker.structures.boxes import iou

Image = NDArray[np.uint8]

MATCH_IOU = 0.5
SIZES: tuple[int | Literal["auto"], ...] = ("auto", 320, 512, 640, 768, 1024)


@dataclass(frozen=True)
class SizeResult:
    """Seconds per frame, and the detections of each frame."""

    seconds: float
    detections: list[Detections]

    def found(self, reference: "SizeResult") -> float:
        """Returns the fraction of the detections of another result that this one has too."""
        total = sum(map(len, reference.detections))
        pairs = zip(reference.detections, self.detections, strict=True)
        return sum(_matched(theirs, own) for theirs, own in pairs) / max(1, total)


def _matched(theirs: Detections, own: Detections) -> int:
    same_class = theirs.labels[:, None] == own.labels
    return int(((iou(theirs.boxes, own.boxes) >= MATCH_IOU) & same_class).any(1).sum())


def read_frames(clip: str, number: int) -> list[Frame]:
    """Returns the first frames of a clip, and these again if it is shorter.

    Raises:
        InputError: The clip cannot be read.
    """
    frames = []
    with open_source(clip, SourceConfig()) as source:
        for frame in source:
            frames.append(frame)
            if len(frames) == number:
                break
    if not frames:
        raise InputError(f"{clip} has no frames: give another file")
    return [replace(frames[index % len(frames)], index=index) for index in range(number)]


def make_mosaic(clips: Sequence[str], number: int, size: tuple[int, int], moving: int) -> list[Frame]:
    """Returns large frames: clips beside each other in rows, in turn, each at its own size.

    Args:
        clips: Video files.
        number: Number of frames.
        size: Width and height of a frame, pixels.
        moving: Of so many places one has a clip, the others the median image of one; 1 for clips everywhere.
    """
    width, height = size
    films = [[frame.image for frame in read_frames(clip, number)] for clip in clips]
    stills = [np.median(np.stack(film[:: max(1, number // 9)]), 0).astype(np.uint8) for film in films]
    places: list[tuple[int, int]] = []
    x = y = row_height = 0
    while y < height:
        film = films[len(places) % len(films)]
        shape = film[0].shape
        places.append((x, y))
        row_height = max(row_height, shape[0])
        x += shape[1]
        if x >= width:
            x, y, row_height = 0, y + row_height, 0
    frames = []
    for index in range(number):
        image = np.zeros((height, width, 3), np.uint8)
        for place, (x, y) in enumerate(places):
            clip_number = place % len(films)
            picture = films[clip_number][index] if place % moving == 0 else stills[clip_number]
            window = image[y : y + picture.shape[0], x : x + picture.shape[1]]
            window[:] = picture[: window.shape[0], : window.shape[1]]
        frames.append(Frame(index, index / 25, index, image))
    return frames


def detect(frames: list[Frame], size: int | Literal["auto"], tiles: str) -> SizeResult:
    """Detects in all frames with the built-in network, without embeddings; the first batch is a warm-up.

    Raises:
        InputError: The tiles are not understood.
    """
    config = Config.model_validate({"detector": {"size": size, "tiles": tiles}, "appearance": {"embedder": "none"}})
    batch = config.detector.batch_size
    with NetworkAnalyzer(config) as networks:
        networks.analyze(frames[:batch])
        analyze = TileFollower(networks.analyze, networks.tiles).analyze if tiles == "follow" else networks.analyze
        start = time.perf_counter()
        analyses = [each for first in range(0, len(frames), batch) for each in analyze(frames[first:][:batch])]
        seconds = (time.perf_counter() - start) / len(frames)
    return SizeResult(seconds, [analysis.detections for analysis in analyses])


def compare(frames: list[Frame]) -> Iterator[str]:
    """Measures all sizes and tiles; yields a line of each, with the fraction of what the tiles of `auto` find."""
    reference = detect(frames, "auto", "auto")
    for size in SIZES:
        yield _as_text(f"--size {size}", detect(frames, size, "none"), reference)
    yield _as_text("--tiles 2x2", detect(frames, "auto", "2x2"), reference)
    yield _as_text("--tiles auto", reference, reference)
    yield _as_text("--tiles follow", detect(frames, "auto", "follow"), reference)


def _as_text(name: str, result: SizeResult, reference: SizeResult) -> str:
    boxes = sum(map(len, result.detections)) / len(result.detections)
    return (
        f"  {name:16s}{1 / result.seconds:8.1f} frames/s{result.seconds / reference.seconds:8.1%} of the time of auto "
        f"tiles{boxes:8.1f} boxes/frame{result.found(reference):8.1%} of what auto tiles find"
    )
