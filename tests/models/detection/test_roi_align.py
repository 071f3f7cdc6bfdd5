"""The CPU's own RoIAlign gives what torchvision's gives, wherever boxes lie."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from tracker.models.detection.roi_align import GatheredRoIAlign
from tracker.models.detection.roi_pool import RegionPooling

WIDTH, HEIGHT = 320, 192


def maps_of(strides, channels=5):
    return {str(n): torch.randn(1, channels, HEIGHT // s, WIDTH // s) for n, s in enumerate(strides)}


def boxes_of(number):
    """Boxes of all sizes, and some on, beyond and outside of the picture's edges."""
    corner = torch.rand(number, 2) * torch.tensor([WIDTH, HEIGHT]) * 0.9
    boxes = torch.cat([corner, corner + torch.rand(number, 2) ** 3 * 250], 1)
    whole = torch.tensor([0, 0, WIDTH, HEIGHT]).float()
    odd = torch.tensor([[-40, -30, 40, 30], [WIDTH - 5, HEIGHT - 4, WIDTH + 90, HEIGHT + 70], [3, 3, 3.01, 3.01]])
    return torch.cat([boxes, odd, whole[None], whole[None] + 500])


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (3, 5)])
@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (8, 16, 32), (16,)])
def test_regions_of_several_maps(strides, size):
    torch.manual_seed(0)
    maps, boxes = maps_of(strides), boxes_of(60)
    theirs, ours = MultiScaleRoIAlign(list(maps), size, 2), GatheredRoIAlign(list(maps), size, 2)
    with torch.inference_mode():
        expected = theirs(maps, [boxes], [(HEIGHT, WIDTH)])
        for given in (maps, {name: m.contiguous(memory_format=torch.channels_last) for name, m in maps.items()}):
            found = ours(given, [boxes], [(HEIGHT, WIDTH)])
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert expected[:-1].abs().sum() > 0


def test_regions_of_one_map():
    torch.manual_seed(0)
    maps, boxes = maps_of((16,)), boxes_of(60)
    pool = RegionPooling("align", 7, 16)
    with torch.inference_mode():
        expected = roi_align(maps["0"], [boxes], 7, 1 / 16, sampling_ratio=2)
        torch.testing.assert_close(pool(maps, [boxes], []), expected, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_gathered_is_left_to_torchvision():
    torch.manual_seed(0)
    maps, boxes = maps_of((8, 16)), boxes_of(5)
    theirs, ours = MultiScaleRoIAlign(list(maps), 7, 2), GatheredRoIAlign(list(maps), 7, 2)
    two = {name: torch.cat([values, -values]) for name, values in maps.items()}
    for given, rows in ((maps, [boxes]), (maps, [boxes[:0]]), (two, [boxes, boxes[:2]])):
        sizes = [(HEIGHT, WIDTH)] * len(rows)
        assert torch.equal(ours(given, rows, sizes), theirs(given, rows, sizes))  # with gradients, as in training


def test_a_region_is_the_same_in_any_company_and_from_the_first_call_on():
    torch.manual_seed(0)
    maps, boxes = maps_of((8, 16, 32)), boxes_of(40)
    sizes = [(HEIGHT, WIDTH)]
    ours, fresh = (GatheredRoIAlign(list(maps), 7, 2) for _ in range(2))
    with torch.inference_mode():
        together = ours(maps, [boxes], sizes)
        alone = torch.cat([fresh(maps, [boxes[n : n + 1]], sizes) for n in range(len(boxes))])
    assert torch.equal(together, alone)
