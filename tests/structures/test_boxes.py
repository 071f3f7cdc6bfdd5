import numpy as np
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracker.structures import boxes

xywh = arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(0.5, 1000))


@given(xywh)
def test_conversions_are_inverse(rows):
    xyxy = boxes.xywh_to_xyxy(rows)
    np.testing.assert_allclose(boxes.xyxy_to_xywh(xyxy), rows, atol=1e-9)
    np.testing.assert_allclose(boxes.xyah_to_xyxy(boxes.xyxy_to_xyah(xyxy)), xyxy, atol=1e-9)


@given(xywh, xywh)
def test_iou_equals_torchvisions(a, b):
    a, b = boxes.xywh_to_xyxy(a), boxes.xywh_to_xyxy(b)
    expected = torchvision.ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(boxes.iou(a, b), expected, atol=1e-12)


def test_xyah_by_hand():
    assert boxes.xyxy_to_xyah(np.array([[10.0, 20.0, 30.0, 60.0]])).tolist() == [[20.0, 40.0, 0.5, 40.0]]


def test_boxes_without_area_overlap_nothing():
    point = np.array([[5.0, 5.0, 5.0, 5.0]])
    assert boxes.iou(point, point).tolist() == [[0.0]]
    assert boxes.area(np.array([[5.0, 5.0, 3.0, 9.0]])).tolist() == [0.0]


def test_clip_keeps_the_part_inside():
    outside = np.array([[-5, -5, 50, 50], [200, 10, 300, 20]], np.float32)
    clipped = boxes.clip(outside, 100, 40)
    assert clipped.dtype == np.float32
    assert clipped.tolist() == [[0, 0, 50, 40], [100, 10, 100, 20]]
