"""Tests for the choice of tiles in a video."""

import numpy as np
import pytest

from tracker.models.detection.tiles import from_tile, tile_rectangles
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.tile_follower import SWEEP_FRAMES, TileFollower
from tracker.structures.types import Detections, Frame

HEIGHT, WIDTH, COLUMNS, ROWS = 400, 600, 3, 2


def all_tiles(height, width):
    return tile_rectangles(height, width, COLUMNS, ROWS)


class Scene:
    """Objects, given by their boxes in each frame, that are found only in tiles; remembers the tiles of each frame."""

    def __init__(self, *objects):
        self.objects = objects
        self.tiles = []

    def analyze(self, frames):
        return [self._analyze(frame) for frame in frames]

    def _analyze(self, frame):
        self.tiles.append(frame.tiles)
        boxes = np.array([box(frame.index) for box in self.objects], np.float32).reshape(-1, 4)
        everything = Detections(boxes, np.ones(len(boxes), np.float32), np.arange(len(boxes)))
        found = {}
        for tile in frame.tiles:
            inside = ((boxes[:, :2] >= tile[:2]) & (boxes[:, 2:] <= tile[2:])).all(1)
            shifted = everything[inside]
            shifted = Detections(shifted.boxes - np.array(tile[:2] * 2, np.float32), shifted.scores, shifted.labels)
            kept = from_tile(shifted, tile, HEIGHT, WIDTH)
            found |= dict(zip(kept.labels.tolist(), kept.boxes, strict=True))
        labels = np.array(sorted(found), np.int64)
        boxes = np.array([found[label] for label in labels], np.float32).reshape(-1, 4)
        detections = Detections(boxes, np.ones(len(boxes), np.float32), labels)
        return FrameAnalysis(frame, detections, np.zeros((len(boxes), 0), np.float32), np.zeros((len(boxes), 0)))


def frames(count, start=0):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return [Frame(n, n / 25, n, image) for n in range(start, start + count)]


def moving(x, y, speed, side=20):
    return lambda n: (x + speed * n, y, x + speed * n + side, y + side)


def run(scene, batches):
    follower = TileFollower(scene.analyze, all_tiles)
    results, start = [], 0
    for size in batches:
        results += follower.analyze(frames(size, start))
        start += size
    return results


def test_the_first_frame_is_seen_in_all_tiles_and_later_ones_in_few():
    scene = Scene(moving(50, 50, 0))
    results = run(scene, [48])
    assert scene.tiles[0] == tuple(all_tiles(HEIGHT, WIDTH))
    assert all(len(result.detections) == 1 for result in results)
    assert np.mean([len(tiles) for tiles in scene.tiles[1:]]) < 1.6  # one with the object, and the sweep


def test_an_object_is_followed_from_tile_to_tile():
    scene = Scene(moving(20, 150, 4), moving(560, 300, -4))
    assert all(len(result.detections) == 2 for result in run(scene, [130]))


@pytest.mark.parametrize("y", [50, 350])
def test_what_appears_is_found_within_the_sweep(y):
    scene = Scene(lambda n: (500, y, 520, y + 20) if n >= 17 else (-9, -9, -5, -5))
    found = [len(result.detections) for result in run(scene, [60])]
    first = found.index(1)
    assert 17 <= first < 17 + SWEEP_FRAMES
    assert found[first + 4 :] == [1] * len(found[first + 4 :])


@pytest.mark.parametrize("batches", [[1] * 30, [8] * 3 + [6], [30], [3, 7, 5, 11, 4]])
def test_the_tiles_do_not_depend_on_the_batch_size(batches):
    scene, reference = (Scene(moving(20, 150, 6), moving(560, 300, -6)) for _ in range(2))
    run(scene, batches)
    run(reference, [2] * 15)
    assert scene.tiles == reference.tiles


def test_large_objects_need_no_tiles():
    scene = Scene(moving(30, 30, 0, side=150))
    run(scene, [40])
    assert sum(map(len, scene.tiles[1:])) == sum(
        (number - index) % SWEEP_FRAMES == 0 for number in range(1, 40) for index in range(COLUMNS * ROWS)
    )


def test_images_without_tiles_are_analyzed_as_they_are():
    scene = Scene(moving(20, 150, 6))
    follower = TileFollower(scene.analyze, lambda height, width: [])
    assert len(follower.analyze(frames(10))) == 10
    assert scene.tiles == [()] * 10
