"""Tests for detection in overlapping tiles of large images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker import cli
from tracker.config import DetectorConfig
from tracker.data import read_image
from tracker.errors import InputError
from tracker.models.detection import TorchDetector, load_detector
from tracker.models.detection.factory import detector_info, tiling
from tracker.models.detection.tiles import Tiling, auto_grid, from_tile, parse_grid, tile_rectangles
from tracker.structures.types import Detections

BUILTIN_CLASSES = detector_info(DetectorConfig()).categories
PERSON, CAT, DOG = (BUILTIN_CLASSES.index(name) for name in ("person", "cat", "dog"))
DEMO_IMAGES = Path(cli.__file__).parent / "demo_images"


def detections(*rows):
    """Returns detections from rows (x1, y1, x2, y2, score, label)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 6), st.integers(1, 6))
def test_tiles_cover_the_image_and_lie_inside_it(height, width, columns, rows):
    tiles = tile_rectangles(height, width, columns, rows)
    assert len(tiles) == columns * rows
    covered = np.zeros((min(height, 500), min(width, 500)), bool)
    for x1, y1, x2, y2 in tiles:
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    assert tiles[-1][2:] == (width, height)


def test_small_images_are_not_divided():
    assert auto_grid(480, 640, 640) == (1, 1)
    assert auto_grid(1080, 1920, 640) == (3, 2)


def test_boxes_cut_off_by_an_inner_edge_are_dropped():
    tile = (100, 0, 200, 100)  # of an image of 200 x 100: only its left edge lies inside
    found = from_tile(detections((0, 10, 20, 30, 0.9, 0), (40, 0, 100, 100, 0.8, 1)), tile, 100, 200)
    assert found.boxes.tolist() == [[140, 0, 200, 100]]


def tiled(**settings) -> Tiling:
    return Tiling(DetectorConfig(tiles="2x2", **settings), BUILTIN_CLASSES)


def test_an_object_found_twice_is_one():
    whole = detections((10, 10, 30, 60, 0.6, PERSON), (100, 0, 140, 50, 0.5, DOG))
    tile = detections((11, 10, 30, 50, 0.9, PERSON), (12, 35, 28, 70, 0.3, DOG))
    merged = tiled().merge([whole, tile])
    assert merged.scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert merged.labels.tolist() == [PERSON, DOG, DOG]  # a dog beside a person stays


def test_an_object_gets_one_class_in_image_and_tile():
    whole = detections((10, 10, 30, 60, 0.9, PERSON), (100, 0, 140, 50, 0.5, CAT))
    tile = detections((10, 10, 31, 60, 0.3, DOG), (101, 0, 140, 44, 0.6, DOG))
    assert tiled().merge([whole, tile]).labels.tolist() == [PERSON, DOG]


def test_merging_keeps_masks_and_the_limit():
    masks = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 2, 2), np.uint8)
    rows = detections((0, 0, 9, 9, 0.5, 0), (20, 0, 29, 9, 0.9, 0), (40, 0, 49, 9, 0.7, 0)).with_data(masks=masks)
    merged = tiled(max_detections=2).merge([rows[:2], rows[2:]])
    assert merged.data["masks"][:, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("text", ["2", "2x", "0x2", "x", "2x-1", "follow me"])
def test_a_grid_is_columns_x_rows(text):
    with pytest.raises(InputError, match="columns x rows"):
        parse_grid(text)


@pytest.fixture(scope="module")
def large_image():
    """Returns a large gray image with a small photo of a person in a corner."""
    photo = read_image(DEMO_IMAGES / "astronaut.jpg")[::5, ::5]
    image = np.full((1400, 2000, 3), 120, np.uint8)
    image[40 : 40 + len(photo), 30 : 30 + photo.shape[1]] = photo
    return image


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_tiles_find_what_is_too_small_in_the_whole_image(large_image, backend):
    settings = {"device": "cpu", "score": 0.3, "classes": ("person",)}
    with load_detector(DetectorConfig(**settings)) as plain:
        assert len(plain.detect([large_image])[0]) == 0
    with load_detector(DetectorConfig(**settings, tiles="auto", backend=backend)) as detector:
        (one,) = detector.detect([large_image])
        batch = detector.detect([large_image[:600, :700], large_image, large_image[:900]])
        found, rescorers = detector.detect_with_features(detector.upload([large_image]))
    x1, y1, x2, y2 = one.boxes[0]
    assert 20 < x1 < x2 < 140 and 30 < y1 < y2 < 150
    for other in (batch[1], found[0]):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert rescorers[0].image_size == large_image.shape[:2]


def test_tiles_are_batched_with_the_image(large_image):
    calls, config = [], DetectorConfig(tiles="2x2")
    info = detector_info(config)

    class Counting(TorchDetector):
        def _infer(self, images):
            calls.append([tuple(image.shape[1:]) for image in images])
            return [(detections(), None) for _ in images]

    with Counting(torch.nn.Identity(), info, torch.device("cpu"), tiling=tiling(config, info)) as detector:
        detector.detect([large_image])
    assert sorted(shape for call in calls for shape in call) == [(778, 1112)] * 4 + [(1400, 2000)]
