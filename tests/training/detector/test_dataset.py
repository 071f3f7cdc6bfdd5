"""Augmented training images keep their boxes and masks on the objects."""

import random
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import image_sets
from tracker.config import DetectorTrainingConfig
from tracker.data import AnnotatedImage, ImageSet, read_image_set
from tracker.errors import InputError
from tracker.training.detector.copy_paste import paste, paste_candidates
from tracker.training.detector.dataset import DetectionTrainDataset, DetectionValDataset, sampling_weights
from tracker.training.detector.targets import BoxTargets, rasterize

RED = (250, 10, 10)
NONE = np.zeros((0, 4), np.float32)


def settings_for(**changes):
    return DetectorTrainingConfig(**{"train_image_size": (160, 128), "steps": 100, "batch_size": 1, **changes})


def annotated_image(path, boxes, labels, ignore=(), unlabeled=()):
    boxes, ignore = [np.array(b, np.float32).reshape(-1, 4) for b in (boxes, ignore)]
    return AnnotatedImage(path.name, path, boxes, np.array(labels, np.int64), ((),) * len(labels), ignore, unlabeled)


def red_rectangles(folder, count=3):
    """Writes blue images that each show one red rectangle, 60x40 at (30 + 10 n, 50), of the class box."""
    images = []
    for n in range(count):
        pixels = np.full((120, 160, 3), (20, 20, 120), np.uint8)
        pixels[50:90, 30 + 10 * n : 90 + 10 * n] = RED
        path = folder / f"{n}.png"
        Image.fromarray(pixels).save(path)
        images.append(annotated_image(path, [[30 + 10 * n, 50, 90 + 10 * n, 90]], [1]))
    return ImageSet(("ball", "box"), tuple(images))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Reads images of balls and boxes with polygons."""
    # Large ones: enlarged by a crop, the pixels of small ones would reach out of their polygons.
    return read_image_set(image_sets.write_coco(tmp_path_factory.mktemp("shapes"), 6, width=480, height=360), {})


# --- geometry ---


@pytest.mark.parametrize("mosaic_prob", [0.0, 1.0])
def test_boxes_stay_on_their_objects(tmp_path, mosaic_prob):
    augmentation = settings_for(mosaic_prob=mosaic_prob, train_image_size=(200, 160), scale_range=(0.6, 1.6))
    dataset = DetectionTrainDataset(red_rectangles(tmp_path), augmentation)
    num_boxes = 0
    for index in range(40):
        image, target = dataset[index]
        assert image.shape == (3, 160, 200)
        assert (target["labels"] == 2).all()
        red = (image[0].float() > 1.5 * image[2].float()).numpy()
        for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
            num_boxes += 1
            assert red[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean() > 0.95
            outside = np.concatenate([red[y1 + 2 : y2 - 2, max(x1 - 4, 0) : max(x1 - 2, 0)].ravel(), [False]])
            assert outside.mean() < 0.5
        covered = np.zeros_like(red)
        for x1, y1, x2, y2 in [*target["boxes"].tolist(), *target["ignore"].tolist()]:
            covered[int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = True
        assert (red & ~covered).sum() < 30
    assert num_boxes > 20


def color_masks(image):
    """Returns masks of the red and of the green pixels, which are those of the balls and of the boxes."""
    red, green, _ = image.numpy().astype(int)
    return np.stack([red - green > 60, green - red > 60])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mosaic_prob=st.sampled_from([0.0, 1.0]),
    scale_range=st.sampled_from([(0.5, 0.7), (0.6, 1.65), (1.5, 2.5)]),
    size=st.sampled_from([(160, 120), (100, 180), (320, 224)]),
    iou_crop_prob=st.sampled_from([0.0, 1.0]),
    copy_paste_prob=st.sampled_from([0.0, 1.0]),
)
def test_masks_and_boxes_lie_on_the_shapes_after_every_augmentation(
    shapes, seed, mosaic_prob, scale_range, size, iou_crop_prob, copy_paste_prob
):
    augmentation = settings_for(
        seed=seed,
        color_augmentation="none",
        mosaic_prob=mosaic_prob,
        scale_range=scale_range,
        train_image_size=size,
        iou_crop_prob=iou_crop_prob,
        copy_paste_prob=copy_paste_prob,
    )
    image, target = DetectionTrainDataset(shapes, augmentation, masks=True)[0]
    colors, masks, boxes = color_masks(image), target["masks"].numpy(), target["boxes"].numpy()
    assert masks.shape == (len(boxes), size[1], size[0])
    annotated = np.zeros(size[::-1], np.uint8)
    for mask, box, label in zip(masks, boxes, target["labels"].tolist(), strict=True):
        annotated |= mask
        inner = cv2.erode(mask, np.ones((5, 5))) > 0
        assert not inner.any() or colors[label - 1][inner].mean() > 0.97
        if label == 2 and not copy_paste_prob:  # a rectangle fills its box
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            np.testing.assert_allclose(box, extent, atol=1.6)
    for x1, y1, x2, y2 in target["ignore"].tolist():
        annotated[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 1
    unannotated = colors.any(0) & (cv2.dilate(annotated, np.ones((5, 5))) == 0)
    assert unannotated.sum() <= 12  # slivers of cropped or covered objects


def test_the_same_index_gives_the_same_image(shapes):
    augmentation = settings_for(iou_crop_prob=0.5, copy_paste_prob=0.5, color_augmentation="distort")
    for index in range(8):
        (a, x), (b, y) = (DetectionTrainDataset(shapes, augmentation, masks=True)[index] for _ in range(2))
        assert (a == b).all()
        assert x.keys() == y.keys()
        assert all((x[key] == y[key]).all() for key in x)


def test_a_box_with_too_little_left_is_ignored():
    boxes = np.array([[0, 0, 40, 40], [90, 10, 130, 50], [200, 0, 220, 20]], np.float32)
    cropped = BoxTargets(boxes, np.array([1, 2, 1]), ((),) * 3, NONE).crop((0, 0, 100, 100))
    assert cropped.boxes.tolist() == [[0, 0, 40, 40]]
    assert cropped.labels.tolist() == [1]
    assert cropped.ignore.tolist() == [[90, 10, 100, 50]]


def test_polygons_are_rasterized_to_the_pixel():
    square = (np.array([[2, 3], [7, 3], [7, 8], [2, 8]], np.float32),)
    mask = rasterize(square, np.array([2, 3, 7, 8], np.float32), 12, 10)
    expected = np.zeros((10, 12), np.uint8)
    expected[3:8, 2:7] = 1
    assert (mask == expected).all()
    assert rasterize(square, np.array([2, 3, 5, 8], np.float32), 12, 10).sum() == 15  # clipped by its box


def test_an_invalid_box_is_reported_with_the_name_of_its_image(tmp_path, monkeypatch):
    dataset = DetectionTrainDataset(red_rectangles(tmp_path, 1), settings_for(mosaic_prob=0.0))
    monkeypatch.setattr(BoxTargets, "crop", lambda self, window: replace(self, boxes=self.boxes + 500))
    with pytest.raises(RuntimeError, match=r"augmenting 0\.png made bad boxes"):
        dataset[0]


# --- sampling and targets ---


def test_rare_classes_are_sampled_more_often(tmp_path):
    rectangles = red_rectangles(tmp_path, 9)
    first = replace(rectangles.images[0], labels=np.array([0]))
    images = (first, *rectangles.images[1:])
    weights = sampling_weights(
        images, repeat_factor_threshold=0.5, crowd_sampling_weight=1.0, class_sampling_weights={1: 3.0}
    )
    assert weights[0] == pytest.approx((0.5 * 9 / 1) ** 0.5)
    assert (weights[1:] == 3).all()
    with pytest.raises(InputError, match="did you mean 'ball'"):
        DetectionTrainDataset(rectangles, settings_for(class_sampling_weights={"bal": 2.0}))


def test_a_target_has_the_sources_of_its_regions(tmp_path):
    rectangles = red_rectangles(tmp_path, 3)
    images = (*rectangles.images[:2], replace(rectangles.images[2], unlabeled=(0,)))
    dataset = DetectionTrainDataset(ImageSet(("ball", "box"), images), settings_for(mosaic_prob=1.0))
    for index in range(10):
        _, target = dataset[index]
        assert len(target["sources"]) == len(target["regions"]) in (2, 4)
        expected = [[False, source == 2, False] for source in target["sources"].tolist()]
        assert target["unlabeled"].tolist() == expected


def test_image_sets_that_cannot_be_used(tmp_path, shapes):
    rectangles = red_rectangles(tmp_path, 2)
    with pytest.raises(InputError, match=r"0\.png has objects without"):
        DetectionTrainDataset(rectangles, settings_for(), masks=True)
    empty = tuple(replace(i, boxes=NONE, labels=np.zeros(0, np.int64), segmentations=()) for i in rectangles.images)
    with pytest.raises(InputError, match="no object on any"):
        DetectionTrainDataset(ImageSet(("ball", "box"), empty), settings_for())
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png: No such file"):
        DetectionValDataset(rectangles)[1]


def test_validation_images_are_not_augmented(shapes):
    index, pixels = DetectionValDataset(shapes)[3]
    assert index == 3
    assert (pixels == image_sets.draw_images(4, width=480, height=360)[3].image).all()


@pytest.mark.parametrize(("color_augmentation", "changed"), [("jitter", True), ("distort", True), ("none", False)])
def test_colors_are_augmented(shapes, color_augmentation, changed):
    original, augmented = (
        DetectionTrainDataset(shapes, settings_for(color_augmentation=name, mosaic_prob=0.0))
        for name in ("none", color_augmentation)
    )
    assert any((original[i][0] != augmented[i][0]).any() for i in range(6)) == changed
    assert all((original[i][1]["boxes"] == augmented[i][1]["boxes"]).all() for i in range(6))


def test_the_probability_of_flips(shapes):
    others = {"mosaic_prob": 0.0, "scale_range": (0.6, 0.6), "color_augmentation": "none"}
    never, always = (DetectionTrainDataset(shapes, settings_for(hflip_prob=p, **others)) for p in (0, 1))
    for index in range(5):
        (image, a), (flipped, b) = never[index], always[index]
        assert (image != flipped).any()
        assert a["boxes"][:, 1::2].tolist() == b["boxes"][:, 1::2].tolist()
        widths = [(boxes[:, 2] - boxes[:, 0]).tolist() for boxes in (a["boxes"], b["boxes"])]
        assert widths[0] == pytest.approx(widths[1], abs=1e-3)


def test_cropped_images_show_larger_objects(shapes):
    others = {"mosaic_prob": 0.0, "scale_range": (1.0, 1.0), "color_augmentation": "none"}
    full, cropped = (DetectionTrainDataset(shapes, settings_for(iou_crop_prob=p, **others)) for p in (0, 1))
    heights = [
        np.concatenate([dataset[i][1]["boxes"][:, 3] - dataset[i][1]["boxes"][:, 1] for i in range(20)])
        for dataset in (full, cropped)
    ]
    assert np.median(heights[1]) > 1.2 * np.median(heights[0])


# --- copy-paste ---


def test_a_pasted_box_has_soft_edges(tmp_path):
    (source,) = red_rectangles(tmp_path, 1).images
    with Image.open(source.path) as image:
        pixels = np.asarray(image)
    canvas = np.full((200, 300, 3), 200, np.uint8)
    no_targets = BoxTargets(NONE, np.zeros(0, np.int64), (), NONE)
    targets, count = paste(canvas, no_targets, source, pixels, random.Random(1))
    assert count == len(targets.boxes) == 1
    assert targets.labels.tolist() == [1]
    x1, y1, x2, y2 = targets.boxes[0].round().astype(int).tolist()
    assert 0 <= x1 < x2 <= 300
    assert 0 <= y1 < y2 <= 200
    assert np.abs(canvas[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].astype(int) - RED).max() < 5
    far = np.ones((200, 300), bool)
    far[max(0, y1 - 30) : y2 + 30, max(0, x1 - 30) : x2 + 30] = False
    assert (canvas[far] == 200).all()


def test_covered_objects_are_ignored(tmp_path):
    (source,) = red_rectangles(tmp_path, 1).images
    with Image.open(source.path) as image:
        pixels = np.asarray(image)
    grid = np.array([[x, y, x + 8, y + 8] for x in range(0, 160, 8) for y in range(0, 120, 8)], np.float32)
    targets = BoxTargets(grid, np.zeros(len(grid), np.int64), ((),) * len(grid), NONE)
    targets, count = paste(np.zeros((120, 160, 3), np.uint8), targets, source, pixels, random.Random(2))
    assert count == 1
    x1, y1, x2, y2 = targets.boxes[-1].tolist()
    centers = (grid[:, :2] + grid[:, 2:]) / 2
    inside = ((grid[:, :2] >= (x1, y1)) & (grid[:, 2:] <= (x2, y2))).all(1)
    assert inside.sum() > 3
    ignored = {tuple(row) for row in targets.ignore.tolist()}
    assert {tuple(row) for row in grid[inside].tolist()} <= ignored
    outside = ((centers < (x1 - 4, y1 - 4)) | (centers > (x2 + 4, y2 + 4))).any(1)
    assert {tuple(row) for row in grid[outside].tolist()} <= {tuple(row) for row in targets.boxes.tolist()}


def test_overlapping_boxes_without_polygons_are_not_pasted():
    boxes = [[0, 0, 40, 40], [10, 10, 50, 50], [100, 0, 140, 40]]
    image = annotated_image(Path("a.png"), boxes, [0, 0, 0], ignore=[[100, 30, 140, 80]])
    assert paste_candidates(image) == []
    assert paste_candidates(replace(image, ignore=NONE)) == [2]
    polygons = (np.array([[0, 0], [40, 0], [40, 40]], np.float32),)
    assert paste_candidates(replace(image, segmentations=(polygons, (), ()))) == [0]


def test_pasted_objects_keep_the_unlabeled_classes_of_their_source(shapes):
    images = tuple(replace(image, unlabeled=(n % 2,)) for n, image in enumerate(shapes.images))
    augmentation = settings_for(copy_paste_prob=1.0, mosaic_prob=0.0)
    dataset = DetectionTrainDataset(ImageSet(shapes.categories, images), augmentation)
    num_pasted = 0
    for index in range(12):
        _, target = dataset[index]
        background, pasted = target["sources"].tolist()
        assert target["unlabeled"][0].tolist() == [False, background % 2 == 0, background % 2 == 1]
        for region, unlabeled in zip(target["regions"][1:], target["unlabeled"][1:], strict=True):
            num_pasted += 1
            assert (target["boxes"] == region).all(1).any()
            assert unlabeled.tolist() == [False, pasted % 2 == 0, pasted % 2 == 1]
    assert num_pasted > 8
