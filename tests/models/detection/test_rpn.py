"""The CPU's own way through an RPN proposes what torchvision's proposes, box for box."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from tracker.models.detection.rpn import CachedAnchorGenerator, generate_proposals, is_single_image_cpu_eval

SIDES = ((8, 24, 40), (16, 12, 20), (32, 6, 10))  # stride, height and width of three maps


def network(before: int, after: int, score: float = 0.0) -> RegionProposalNetwork:
    torch.manual_seed(0)
    anchors = AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3)
    head = RPNHead(8, 3)
    for part in head.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.2)
    numbers = {"training": 0, "testing": before}, {"training": 0, "testing": after}
    return RegionProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, *numbers, 0.7, score).eval()


def given(seed: int) -> tuple[ImageList, dict[str, torch.Tensor]]:
    torch.manual_seed(seed)
    maps = {str(n): torch.randn(1, 8, height, width) for n, (_, height, width) in enumerate(SIDES)}
    return ImageList(torch.zeros(1, 3, 192, 320), [(190, 317)]), maps


# Few wanted of many; more than the first look finds; more than there are; and where nothing is good enough.
@pytest.mark.parametrize(("before", "after", "score"), [(400, 50, 0), (400, 300, 0), (90, 5000, 0), (400, 50, 1.0)])
def test_the_same_boxes_in_the_same_order(before: int, after: int, score: float) -> None:
    rpn = network(before, after, score)
    for seed in range(5):
        images, maps = given(seed)
        with torch.inference_mode():
            (expected,), _ = rpn(images, maps)
            assert torch.equal(generate_proposals(rpn, images, list(maps.values())), expected)
        assert len(expected) == 0 if score == 1 else len(expected) > 40


def test_boxes_that_are_too_small_or_outside_are_left_out() -> None:
    rpn = network(400, 100)
    rpn.min_size = 30
    images, maps = given(0)
    images.image_sizes = [(100, 60)]
    with torch.inference_mode():
        (expected,), _ = rpn(images, maps)
        found = generate_proposals(rpn, images, list(maps.values()))
    assert torch.equal(found, expected)
    assert 0 < len(found) < 100
    assert (found[:, 2:] - found[:, :2]).min() >= 30


def test_anchors_follow_the_pictures_size() -> None:
    sizes = ((16,), (32,), (64,)), ((1.0,),) * 3
    ours, theirs = CachedAnchorGenerator(*sizes), AnchorGenerator(*sizes)
    images, maps = given(0)
    small = SimpleNamespace(tensors=torch.zeros(2, 3, 96, 160), image_sizes=[(96, 160)] * 2)
    for pictures, features in ((images, maps), (images, maps), (small, maps), (images, maps)):
        found, expected = (maker(pictures, list(features.values())) for maker in (ours, theirs))
        assert len(found) == len(expected) == len(pictures.image_sizes)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_learning_and_several_pictures_are_left_to_torchvision() -> None:
    one = [torch.zeros(1, 2, 4, 4)]
    assert not is_single_image_cpu_eval(one)  # gradients may be wanted
    with torch.inference_mode():
        assert is_single_image_cpu_eval(one)
        assert not is_single_image_cpu_eval([torch.zeros(2, 2, 4, 4)])
        assert not is_single_image_cpu_eval([one[0].half()])
