"""Tiles of a video's frames where small objects were found, and the other tiles in turn.

Objects move little from frame to frame. So most tiles of a large image need not be detected in each frame.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.structures.boxes import Rectangle
from tracker.structures.types import Frame

PERIOD = 2
"""Frames that are detected with the same choice of tiles."""
SWEEP_FRAMES = 12
"""Frames in which each tile without objects is detected once."""
INNER = 0.9
"""Part of a tile, from its center to its edge, inside which it is needed for an object that another one has too."""
MAX_SIDE = 0.25
"""Longest side of an object, as a fraction of a tile's, for which a tile is needed; larger ones are found without."""

Analyze = Callable[[list[Frame]], list[FrameAnalysis]]


class TileFollower:
    """Analyzes the frames of one video, in order, in tiles that depend on what was found in earlier frames.

    The first frame is detected in all tiles. The choice changes after every PERIOD frames, whatever the batches are.
    """

    def __init__(self, analyze: Analyze, all_tiles: Callable[[int, int], list[Rectangle]]) -> None:
        """Prepares for the first frame.

        Args:
            analyze: Analyzes some frames in the tiles that they name.
            all_tiles: Returns all tiles of an image of this height and width.
        """
        self._analyze = analyze
        self._all_tiles = all_tiles
        self._count = 0
        self._occupied: set[int] = set()  # numbers of the tiles in which objects were found in the previous period
        self._found: set[int] = set()  # the same, of this period

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Analyzes the next frames."""
        analyses: list[FrameAnalysis] = []
        while len(analyses) < len(frames):
            remaining = PERIOD - (self._count - 1) % PERIOD if self._count else 1
            batch = [self._with_tiles(frame) for frame in frames[len(analyses) :][:remaining]]
            for analysis in self._analyze(batch):
                self._found.update(self._needed(analysis))
                analyses.append(analysis)
            if len(batch) == remaining:
                self._occupied, self._found = self._found, set()
        return analyses

    def _with_tiles(self, frame: Frame) -> Frame:
        number, self._count = self._count, self._count + 1
        tiles = tuple(
            tile
            for index, tile in enumerate(self._all_tiles(*frame.image.shape[:2]))
            if number == 0 or index in self._occupied or (number - index) % SWEEP_FRAMES == 0
        )
        return replace(frame, tiles=tiles)

    def _needed(self, analysis: FrameAnalysis) -> set[int]:
        """Returns the numbers of the tiles that the small objects of a frame need."""
        tiles = np.array(self._all_tiles(*analysis.frame.image.shape[:2]), np.float32).reshape(-1, 4)
        boxes = analysis.detections.boxes
        if not len(tiles) or not len(boxes):
            return set()
        small = (boxes[:, 2:] - boxes[:, :2]).max(1) < MAX_SIDE * (tiles[0, 2:] - tiles[0, :2]).max()
        return set(np.flatnonzero(needed_tiles(boxes[small], tiles).any(0)).tolist())


def needed_tiles(boxes: NDArray[np.float32], tiles: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns True, bool (N, T), for the tile in whose middle a box lies most, and for others that it may move into.

    Args:
        boxes: (N, 4) xyxy, pixels.
        tiles: (T, 4) xyxy, pixels.

    Example:
        >>> tiles = np.array([[0, 0, 60, 60], [40, 0, 100, 60]], np.float32)
        >>> needed_tiles(np.array([[25, 10, 29, 20], [50, 10, 54, 20]], np.float32), tiles).tolist()
        [[True, False], [True, True]]
    """
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    half = (tiles[:, 2:] - tiles[:, :2]) / 2
    distances = (np.abs(centers - (tiles[:, :2] + half)) / half).max(2)
    needed = (distances <= INNER) | (distances == distances.min(1, keepdims=True))
    return np.asarray(needed)
