"""Tests that the fast proposals of an RPN on the CPU equal torchvision's, box for box."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from tracker.models.detection.rpn import CachedAnchorGenerator, generate_proposals, is_single_image_cpu_eval

LEVELS = ((8, 24, 40), (16, 12, 20), (32, 6, 10))  # stride, height and width of three feature maps


def build_rpn(pre_nms: int, post_nms: int, score: float = 0.0) -> RegionProposalNetwork:
    torch.manual_seed(0)
    anchors = AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3)
    head = RPNHead(8, 3)
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
    top_n = {"training": 0, "testing": pre_nms}, {"training": 0, "testing": post_nms}
    return RegionProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, *top_n, 0.7, score).eval()


def random_inputs(seed: int) -> tuple[ImageList, dict[str, torch.Tensor]]:
    torch.manual_seed(seed)
    feature_maps = {str(n): torch.randn(1, 8, height, width) for n, (_, height, width) in enumerate(LEVELS)}
    return ImageList(torch.zeros(1, 3, 192, 320), [(190, 317)]), feature_maps


# Few of many proposals; more than the first NMS returns; more than there are anchors; none above the score.
@pytest.mark.parametrize(("pre_nms", "post_nms", "score"), [(400, 50, 0), (400, 300, 0), (90, 5000, 0), (400, 50, 1.0)])
def test_the_same_boxes_in_the_same_order(pre_nms: int, post_nms: int, score: float) -> None:
    rpn = build_rpn(pre_nms, post_nms, score)
    for seed in range(5):
        images, feature_maps = random_inputs(seed)
        with torch.inference_mode():
            (expected,), _ = rpn(images, feature_maps)
            assert torch.equal(generate_proposals(rpn, images, list(feature_maps.values())), expected)
        assert len(expected) == 0 if score == 1 else len(expected) > 40


def test_boxes_that_are_too_small_or_outside_are_dropped() -> None:
    rpn = build_rpn(400, 100)
    rpn.min_size = 30
    images, feature_maps = random_inputs(0)
    images.image_sizes = [(100, 60)]
    with torch.inference_mode():
        (expected,), _ = rpn(images, feature_maps)
        proposals = generate_proposals(rpn, images, list(feature_maps.values()))
    assert torch.equal(proposals, expected)
    assert 0 < len(proposals) < 100
    assert (proposals[:, 2:] - proposals[:, :2]).min() >= 30


def test_anchors_follow_the_image_size() -> None:
    sizes = ((16,), (32,), (64,)), ((1.0,),) * 3
    cached, reference = CachedAnchorGenerator(*sizes), AnchorGenerator(*sizes)
    images, feature_maps = random_inputs(0)
    small = SimpleNamespace(tensors=torch.zeros(2, 3, 96, 160), image_sizes=[(96, 160)] * 2)
    for batch in (images, images, small, images):
        anchors, expected = (generator(batch, list(feature_maps.values())) for generator in (cached, reference))
        assert len(anchors) == len(expected) == len(batch.image_sizes)
        assert all(torch.equal(one, other) for one, other in zip(anchors, expected, strict=True))


def test_training_and_batches_use_torchvisions_code() -> None:
    image = [torch.zeros(1, 2, 4, 4)]
    assert not is_single_image_cpu_eval(image)  # gradients may be needed
    with torch.inference_mode():
        assert is_single_image_cpu_eval(image)
        assert not is_single_image_cpu_eval([torch.zeros(2, 2, 4, 4)])
        assert not is_single_image_cpu_eval([image[0].half()])
