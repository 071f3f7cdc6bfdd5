"""Tests that the fast RoI align on the CPU equals torchvision's for boxes of all sizes and positions."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from tracker.models.detection.roi_align import FastMultiScaleRoIAlign
from tracker.models.detection.roi_pool import SingleLevelRoIPool

WIDTH, HEIGHT = 320, 192


def random_feature_maps(strides, channels=5):
    return {str(n): torch.randn(1, channels, HEIGHT // s, WIDTH // s) for n, s in enumerate(strides)}


def random_boxes(number):
    """Returns boxes of all sizes, with some on, across and outside the image's edges."""
    corner = torch.rand(number, 2) * torch.tensor([WIDTH, HEIGHT]) * 0.9
    boxes = torch.cat([corner, corner + torch.rand(number, 2) ** 3 * 250], 1)
    image = torch.tensor([0, 0, WIDTH, HEIGHT]).float()
    odd = torch.tensor([[-40, -30, 40, 30], [WIDTH - 5, HEIGHT - 4, WIDTH + 90, HEIGHT + 70], [3, 3, 3.01, 3.01]])
    return torch.cat([boxes, odd, image[None], image[None] + 500])


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (3, 5)])
@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (8, 16, 32), (16,)])
def test_regions_of_several_feature_maps(strides, size):
    torch.manual_seed(0)
    feature_maps, boxes = random_feature_maps(strides), random_boxes(60)
    reference, fast = (
        MultiScaleRoIAlign(list(feature_maps), size, 2),
        FastMultiScaleRoIAlign(list(feature_maps), size, 2),
    )
    with torch.inference_mode():
        expected = reference(feature_maps, [boxes], [(HEIGHT, WIDTH)])
        channels_last = {name: m.contiguous(memory_format=torch.channels_last) for name, m in feature_maps.items()}
        for inputs in (feature_maps, channels_last):
            actual = fast(inputs, [boxes], [(HEIGHT, WIDTH)])
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert expected[:-1].abs().sum() > 0


def test_regions_of_one_feature_map():
    torch.manual_seed(0)
    feature_maps, boxes = random_feature_maps((16,)), random_boxes(60)
    pool = SingleLevelRoIPool("align", 7, 16)
    with torch.inference_mode():
        expected = roi_align(feature_maps["0"], [boxes], 7, 1 / 16, sampling_ratio=2)
        torch.testing.assert_close(pool(feature_maps, [boxes], []), expected, atol=1e-5, rtol=1e-5)


def test_unsupported_inputs_use_torchvisions_code():
    torch.manual_seed(0)
    feature_maps, boxes = random_feature_maps((8, 16)), random_boxes(5)
    reference, fast = MultiScaleRoIAlign(list(feature_maps), 7, 2), FastMultiScaleRoIAlign(list(feature_maps), 7, 2)
    batch_of_two = {name: torch.cat([values, -values]) for name, values in feature_maps.items()}
    for inputs, rois in ((feature_maps, [boxes]), (feature_maps, [boxes[:0]]), (batch_of_two, [boxes, boxes[:2]])):
        sizes = [(HEIGHT, WIDTH)] * len(rois)
        assert torch.equal(fast(inputs, rois, sizes), reference(inputs, rois, sizes))  # with gradients, as in training


def test_a_region_is_the_same_among_any_others_and_from_the_first_call_on():
    torch.manual_seed(0)
    feature_maps, boxes = random_feature_maps((8, 16, 32)), random_boxes(40)
    sizes = [(HEIGHT, WIDTH)]
    first, second = (FastMultiScaleRoIAlign(list(feature_maps), 7, 2) for _ in range(2))
    with torch.inference_mode():
        batched = first(feature_maps, [boxes], sizes)
        single = torch.cat([second(feature_maps, [boxes[n : n + 1]], sizes) for n in range(len(boxes))])
    assert torch.equal(batched, single)
