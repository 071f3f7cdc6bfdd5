"""Training pictures keep boxes and outlines on their objects, whatever is done to them."""

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
from tracker.data import AnnotatedImage, ImageSet, read_pictures
from tracker.errors import InputError
from tracker.training.detector.copy_paste import paste, paste_candidates
from tracker.training.detector.dataset import ScoredPictures, TrainingPictures, sampling_weights
from tracker.training.detector.targets import BoxTargets, mask_of

RED = (250, 10, 10)
NONE = np.zeros((0, 4), np.float32)


def config(**changes):
    return DetectorTrainingConfig(**{"canvas": (160, 128), "steps": 100, "batch_size": 1, **changes})


def picture(path, boxes, labels, ignore=(), unlabelled=()):
    rows = [np.array(b, np.float32).reshape(-1, 4) for b in (boxes, ignore)]
    return AnnotatedImage(
        path.name, path, rows[0], np.array(labels, np.int64), ((),) * len(labels), rows[1], unlabelled
    )


def red_rectangles(folder, count=3):
    """Blue pictures that each show one red rectangle, 60x40 at (30 + 10 n, 50), of the class box."""
    pictures = []
    for n in range(count):
        pixels = np.full((120, 160, 3), (20, 20, 120), np.uint8)
        pixels[50:90, 30 + 10 * n : 90 + 10 * n] = RED
        path = folder / f"{n}.png"
        Image.fromarray(pixels).save(path)
        pictures.append(picture(path, [[30 + 10 * n, 50, 90 + 10 * n, 90]], [1]))
    return ImageSet(("ball", "box"), tuple(pictures))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Pictures of balls and boxes with outlines."""
    return read_pictures(image_sets.write_coco(tmp_path_factory.mktemp("shapes"), 6), {})


# --- geometry ---


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_stay_on_their_objects(tmp_path, mosaic):
    made = TrainingPictures(red_rectangles(tmp_path), config(mosaic=mosaic, canvas=(200, 160), scale=(0.6, 1.6)))
    learned = 0
    for index in range(40):
        image, target = made[index]
        assert image.shape == (3, 160, 200)
        assert (target["labels"] == 2).all()
        red = (image[0].float() > 1.5 * image[2].float()).numpy()
        for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
            learned += 1
            assert red[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean() > 0.95
            outside = np.concatenate([red[y1 + 2 : y2 - 2, max(x1 - 4, 0) : max(x1 - 2, 0)].ravel(), [False]])
            assert outside.mean() < 0.5
        covered = np.zeros_like(red)
        for x1, y1, x2, y2 in [*target["boxes"].tolist(), *target["ignore"].tolist()]:
            covered[int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = True
        assert (red & ~covered).sum() < 30
    assert learned > 20


def colour_masks(image):
    """Where a picture without changed colours is red, or green, as the shapes are."""
    red, green, _ = image.numpy().astype(int)
    return np.stack([red - green > 60, green - red > 60])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mosaic=st.sampled_from([0.0, 1.0]),
    scale=st.sampled_from([(0.5, 0.7), (0.6, 1.65), (1.5, 2.5)]),
    canvas=st.sampled_from([(160, 120), (100, 180), (320, 224)]),
    crop=st.sampled_from([0.0, 1.0]),
    copies=st.sampled_from([0.0, 1.0]),
)
def test_masks_and_boxes_lie_on_the_shapes_after_every_change(shapes, seed, mosaic, scale, canvas, crop, copies):
    changes = {"mosaic": mosaic, "scale": scale, "canvas": canvas, "iou_crop": crop, "copy_paste": copies}
    made = TrainingPictures(shapes, config(seed=seed, photometric="none", **changes), masks=True)
    image, target = made[0]
    colours, masks, boxes = colour_masks(image), target["masks"].numpy(), target["boxes"].numpy()
    assert masks.shape == (len(boxes), canvas[1], canvas[0])
    seen = np.zeros(canvas[::-1], np.uint8)
    for mask, box, label in zip(masks, boxes, target["labels"].tolist(), strict=True):
        seen |= mask
        inner = cv2.erode(mask, np.ones((5, 5))) > 0
        assert not inner.any() or colours[label - 1][inner].mean() > 0.97
        if label == 2 and not copies:  # a box fills its box
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            np.testing.assert_allclose(box, extent, atol=1.6)
    for x1, y1, x2, y2 in target["ignore"].tolist():
        seen[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 1
    stray = colours.any(0) & (cv2.dilate(seen, np.ones((5, 5))) == 0)
    assert stray.sum() <= 12  # slivers of what was cut or covered


def test_the_same_index_gives_the_same_picture(shapes):
    everything = config(iou_crop=0.5, copy_paste=0.5, photometric="distort")
    for index in range(8):
        (a, x), (b, y) = (TrainingPictures(shapes, everything, masks=True)[index] for _ in range(2))
        assert (a == b).all()
        assert x.keys() == y.keys()
        assert all((x[key] == y[key]).all() for key in x)


def test_a_box_of_which_too_little_is_left_is_ignored():
    boxes = np.array([[0, 0, 40, 40], [90, 10, 130, 50], [200, 0, 220, 20]], np.float32)
    left = BoxTargets(boxes, np.array([1, 2, 1]), ((),) * 3, NONE).cut((0, 0, 100, 100))
    assert left.boxes.tolist() == [[0, 0, 40, 40]]
    assert left.labels.tolist() == [1]
    assert left.ignore.tolist() == [[90, 10, 100, 50]]


def test_outlines_are_drawn_to_the_pixel():
    square = (np.array([[2, 3], [7, 3], [7, 8], [2, 8]], np.float32),)
    mask = mask_of(square, np.array([2, 3, 7, 8], np.float32), 12, 10)
    expected = np.zeros((10, 12), np.uint8)
    expected[3:8, 2:7] = 1
    assert (mask == expected).all()
    assert mask_of(square, np.array([2, 3, 5, 8], np.float32), 12, 10).sum() == 15  # cut by its box


def test_a_box_that_augmentation_breaks_stops_with_the_pictures_name(tmp_path, monkeypatch):
    made = TrainingPictures(red_rectangles(tmp_path, 1), config(mosaic=0.0))
    monkeypatch.setattr(BoxTargets, "cut", lambda self, inner: replace(self, boxes=self.boxes + 500))
    with pytest.raises(RuntimeError, match=r"augmenting 0\.png made bad boxes"):
        made[0]


# --- what is drawn ---


def test_rare_classes_are_drawn_more_often(tmp_path):
    rectangles = red_rectangles(tmp_path, 9)
    first = replace(rectangles.pictures[0], labels=np.array([0]))
    pictures = (first, *rectangles.pictures[1:])
    weights = sampling_weights(pictures, repeat=0.5, crowd_sampling_weight=1.0, class_sampling_weights={1: 3.0})
    assert weights[0] == pytest.approx((0.5 * 9 / 1) ** 0.5)
    assert (weights[1:] == 3).all()
    with pytest.raises(InputError, match="did you mean 'ball'"):
        TrainingPictures(rectangles, config(class_sampling_weights={"bal": 2.0}))


def test_a_training_picture_says_what_it_is_made_of(tmp_path):
    rectangles = red_rectangles(tmp_path, 3)
    pictures = (*rectangles.pictures[:2], replace(rectangles.pictures[2], unlabelled=(0,)))
    made = TrainingPictures(ImageSet(("ball", "box"), pictures), config(mosaic=1.0))
    for index in range(10):
        _, target = made[index]
        assert len(target["sources"]) == len(target["regions"]) in (2, 4)
        expected = [[False, source == 2, False] for source in target["sources"].tolist()]
        assert target["unlabelled"].tolist() == expected


def test_sets_that_cannot_be_learned_from(tmp_path, shapes):
    rectangles = red_rectangles(tmp_path, 2)
    with pytest.raises(InputError, match=r"0\.png has objects without"):
        TrainingPictures(rectangles, config(), masks=True)
    nothing = tuple(replace(p, boxes=NONE, labels=np.zeros(0, np.int64), outlines=()) for p in rectangles.pictures)
    with pytest.raises(InputError, match="no object on any"):
        TrainingPictures(ImageSet(("ball", "box"), nothing), config())
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png: No such file"):
        ScoredPictures(rectangles)[1]


def test_scored_pictures_are_as_they_are(shapes):
    number, pixels = ScoredPictures(shapes)[3]
    assert number == 3
    assert (pixels == image_sets.draw_pictures(4)[3].image).all()


@pytest.mark.parametrize(("photometric", "changed"), [("jitter", True), ("distort", True), ("none", False)])
def test_colours_change_where_they_should(shapes, photometric, changed):
    plain, made = (TrainingPictures(shapes, config(photometric=p, mosaic=0.0)) for p in ("none", photometric))
    assert any((plain[i][0] != made[i][0]).any() for i in range(6)) == changed
    assert all((plain[i][1]["boxes"] == made[i][1]["boxes"]).all() for i in range(6))


def test_pictures_are_mirrored_as_often_as_asked(shapes):
    fixed = {"mosaic": 0.0, "scale": (0.6, 0.6), "photometric": "none"}
    never, always = (TrainingPictures(shapes, config(flip=share, **fixed)) for share in (0, 1))
    for index in range(5):
        (straight, a), (mirror, b) = never[index], always[index]
        assert (straight != mirror).any()
        assert a["boxes"][:, 1::2].tolist() == b["boxes"][:, 1::2].tolist()
        widths = [(boxes[:, 2] - boxes[:, 0]).tolist() for boxes in (a["boxes"], b["boxes"])]
        assert widths[0] == pytest.approx(widths[1], abs=1e-3)


def test_a_part_of_a_picture_is_seen_larger(shapes):
    fixed = {"mosaic": 0.0, "scale": (1.0, 1.0), "photometric": "none"}
    whole, parts = (TrainingPictures(shapes, config(iou_crop=share, **fixed)) for share in (0, 1))
    sides = [
        np.concatenate([made[i][1]["boxes"][:, 3] - made[i][1]["boxes"][:, 1] for i in range(20)])
        for made in (whole, parts)
    ]
    assert np.median(sides[1]) > 1.2 * np.median(sides[0])


# --- copy-paste ---


def seeded(seed):
    import random

    return random.Random(seed)


def test_a_pasted_box_fades_into_what_it_lies_on(tmp_path):
    (source,) = red_rectangles(tmp_path, 1).pictures
    with Image.open(source.path) as image:
        pixels = np.asarray(image)
    canvas = np.full((200, 300, 3), 200, np.uint8)
    nothing = BoxTargets(NONE, np.zeros(0, np.int64), (), NONE)
    objects, count = paste(canvas, nothing, source, pixels, seeded(1))
    assert count == len(objects.boxes) == 1
    assert objects.labels.tolist() == [1]
    x1, y1, x2, y2 = objects.boxes[0].round().astype(int).tolist()
    assert 0 <= x1 < x2 <= 300
    assert 0 <= y1 < y2 <= 200
    assert np.abs(canvas[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].astype(int) - RED).max() < 5
    away = np.ones((200, 300), bool)
    away[max(0, y1 - 30) : y2 + 30, max(0, x1 - 30) : x2 + 30] = False
    assert (canvas[away] == 200).all()


def test_what_is_covered_is_no_longer_learned(tmp_path):
    (source,) = red_rectangles(tmp_path, 1).pictures
    with Image.open(source.path) as image:
        pixels = np.asarray(image)
    grid = np.array([[x, y, x + 8, y + 8] for x in range(0, 160, 8) for y in range(0, 120, 8)], np.float32)
    below = BoxTargets(grid, np.zeros(len(grid), np.int64), ((),) * len(grid), NONE)
    objects, count = paste(np.zeros((120, 160, 3), np.uint8), below, source, pixels, seeded(2))
    assert count == 1
    x1, y1, x2, y2 = objects.boxes[-1].tolist()
    centres = (grid[:, :2] + grid[:, 2:]) / 2
    inside = ((grid[:, :2] >= (x1, y1)) & (grid[:, 2:] <= (x2, y2))).all(1)
    assert inside.sum() > 3
    hidden = {tuple(row) for row in objects.ignore.tolist()}
    assert {tuple(row) for row in grid[inside].tolist()} <= hidden
    outside = ((centres < (x1 - 4, y1 - 4)) | (centres > (x2 + 4, y2 + 4))).any(1)
    assert {tuple(row) for row in grid[outside].tolist()} <= {tuple(row) for row in objects.boxes.tolist()}


def test_crowded_boxes_without_outlines_are_not_cut_out():
    crowd_sampling_weight = [[0, 0, 40, 40], [10, 10, 50, 50], [100, 0, 140, 40]]
    alone = picture(Path("a.png"), crowd_sampling_weight, [0, 0, 0], ignore=[[100, 30, 140, 80]])
    assert paste_candidates(alone) == []
    assert paste_candidates(replace(alone, ignore=NONE)) == [2]
    outline = (np.array([[0, 0], [40, 0], [40, 40]], np.float32),)
    assert paste_candidates(replace(alone, outlines=(outline, (), ()))) == [0]


def test_what_was_not_annotated_comes_along_with_what_is_pasted(shapes):
    pictures = tuple(replace(p, unlabelled=(n % 2,)) for n, p in enumerate(shapes.pictures))
    made = TrainingPictures(ImageSet(shapes.categories, pictures), config(copy_paste=1.0, mosaic=0.0))
    pasted = 0
    for index in range(12):
        _, target = made[index]
        below, above = target["sources"].tolist()
        assert target["unlabelled"][0].tolist() == [False, below % 2 == 0, below % 2 == 1]
        for region, unlabelled in zip(target["regions"][1:], target["unlabelled"][1:], strict=True):
            pasted += 1
            assert (target["boxes"] == region).all(1).any()
            assert unlabelled.tolist() == [False, above % 2 == 0, above % 2 == 1]
    assert pasted > 8
