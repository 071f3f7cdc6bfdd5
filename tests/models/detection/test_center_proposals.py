"""Tests for the proposals at the centers of objects, and their losses."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from tracker.config.network import detector_network
from tracker.models.detection import build_detector
from tracker.models.detection.center_proposals import CenterRPN, center_boxes, center_losses, decode_sides

BACKGROUND = -6.0  # logit


def make_centers(*objects, num_classes=2, height=16, width=24):
    """Returns a map with a peak of 2 for each (label, row, column, sides)."""
    centers = torch.full((num_classes + 4, height, width), BACKGROUND)
    centers[num_classes:] = 1
    for label, row, column, sides in objects:
        centers[label, row, column] = 2
        centers[num_classes:, row, column] = torch.tensor(sides, dtype=torch.float32)
    return centers


def make_target(boxes, labels, height=64, width=96, num_classes=2, **changes):
    target = {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.zeros(0, 4),
        "regions": torch.tensor([[0.0, 0.0, width, height]]),
        "unlabeled": torch.zeros(1, num_classes + 1, dtype=torch.bool),
        "uncertain": torch.zeros(0, 4),
        "uncertain_labels": torch.zeros(0, dtype=torch.int64),
    }
    return target | changes


def class_loss(centers, target):
    return center_losses(centers[None], [target], 1.0)["loss_center"].item()


def test_boxes_are_around_the_peaks_best_first_and_inside_the_image():
    centers = make_centers((0, 5, 10, (8, 12, 16, 20)), (1, 14, 2, (20, 4, 4, 40)))
    centers[1, 14, 2] = 3
    assert center_boxes(centers, 10, (64, 96)).tolist() == [[0, 52, 12, 64], [32, 8, 56, 40]]
    assert len(center_boxes(centers, 1, (64, 96))) == 1


def test_there_are_no_boxes_without_peaks_nor_two_of_the_same_object():
    assert center_boxes(make_centers(), 10, (64, 96)).shape == (0, 4)
    twice = make_centers((0, 5, 10, (20, 20, 20, 20)), (1, 5, 12, (28, 20, 12, 20)))
    assert len(center_boxes(twice, 10, (64, 96))) == 1


def test_positions_are_multiples_of_the_stride():
    boxes = decode_sides(torch.ones(4, 2, 3)).reshape(2, 3, 4)
    assert boxes[1, 2].tolist() == [7, 3, 9, 5]


def test_the_losses_are_least_where_the_objects_are():
    target = make_target([[32, 8, 56, 40]], [1])  # its center is at row 6, column 11
    right, elsewhere, other = (
        make_centers(each) for each in [(0, 6, 11, (12, 16, 12, 16)), (0, 6, 18, (12,) * 4), (1, 6, 11, (12,) * 4)]
    )
    losses = center_losses(right[None], [target], 1.0)
    assert losses["loss_center"] < 0.1
    assert class_loss(elsewhere, target) > 3
    assert class_loss(other, target) > 3
    assert losses["loss_center_box"] < center_losses(elsewhere[None], [target], 1.0)["loss_center_box"]
    assert center_losses(right[None], [target], 0.5)["loss_center"] == losses["loss_center"] / 2


def test_a_perfect_box_has_no_loss():
    target = make_target([[32, 8, 56, 40]], [1])
    y, x = torch.meshgrid(4 * torch.arange(16.0), 4 * torch.arange(24.0), indexing="ij")
    centers = torch.cat([torch.zeros(2, 16, 24), torch.stack([x - 32, y - 8, 56 - x, 40 - y])])
    assert center_losses(centers[None], [target], 1.0)["loss_center_box"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "unknown",
    [
        {"unlabeled": torch.tensor([[False, False, True]])},
        {"ignore": torch.tensor([[40.0, 40.0, 80.0, 60.0]])},
        {"uncertain": torch.tensor([[48.0, 40.0, 72.0, 60.0]]), "uncertain_labels": torch.tensor([2])},
    ],
    ids=lambda unknown: next(iter(unknown)),
)
def test_what_may_be_an_object_is_not_trained_as_background(unknown):
    centers = make_centers((1, 12, 15, (10,) * 4))
    nothing = class_loss(make_centers(), make_target([], []))
    assert class_loss(centers, make_target([], [])) > nothing + 1
    assert class_loss(centers, make_target([], [], **unknown)) <= nothing


def test_maps_of_other_classes_are_not_trained_as_the_detectors():
    centers = make_centers((1, 12, 15, (10,) * 4), num_classes=5)
    losses = center_losses(centers[None], [make_target([[32, 8, 56, 40]], [1])], 1.0)
    assert losses["loss_center"] == 0
    assert losses["loss_center_box"] > 0


def test_an_image_without_objects_and_one_with_have_finite_gradients():
    centers = torch.stack([make_centers(), make_centers()]).requires_grad_()
    targets = [make_target([], []), make_target([[32, 8, 56, 40], [0, 0, 3, 3]], [1, 2])]
    sum(center_losses(centers, targets, 1.0).values()).backward()
    assert torch.isfinite(centers.grad).all() and centers.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    settings = {"backbone": "mobilenet_v3_centernet", "num_class_maps": 2, "fpn_channels": 8}
    return build_detector(detector_network(settings, "test"), 2)


def test_proposals_are_those_of_the_anchors_and_of_the_centers(model):
    model.eval()
    images = ImageList(torch.rand(1, 3, 64, 96) * 255, [(64, 96)])
    with torch.no_grad():
        features = model.backbone(images.tensors)
        features["centers"] = make_centers((0, 5, 10, (8, 12, 16, 20)))[None]
        (proposals,), _ = model.rpn(images, features)
    assert isinstance(model.rpn, CenterRPN)
    assert [32, 8, 56, 40] in proposals.tolist()
    assert len(proposals) > 1


@pytest.mark.parametrize("frozen", [True, False])
def test_centers_are_trained_unless_the_neck_is_frozen(model, frozen):
    model.train()
    model.backbone.body.requires_grad_(not frozen)
    model.backbone.neck.requires_grad_(not frozen)
    losses = model([torch.rand(3, 64, 96) * 255], [make_target([[32, 8, 56, 40]], [1])])
    assert ("loss_center" in losses) == (not frozen)
    sum(losses.values()).backward()
    trained = [p.grad is not None for p in model.backbone.neck.side_project.parameters()]
    assert all(trained) == any(trained) == (not frozen)
    model.zero_grad(set_to_none=True)
