"""Tests for the selection of detections: thresholds, NMS between classes, and calibrated scores."""

import pytest
import torch
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.models.detection._utils import BoxCoder

from tracker.models.detection.postprocess import DetectionSelector
from tracker.models.detection.selection import group_labels

CATEGORIES = ("person", "car", "bus", "dog")
SIZE = (100, 100)
CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


def select(boxes, logits, **settings):
    """Returns boxes, scores and labels of proposals whose offsets are 0."""
    selector = DetectionSelector()
    selector.groups = torch.from_numpy(group_labels(CATEGORIES, ["car/bus"]))
    for name, value in settings.items():
        setattr(selector, name, value)
    boxes, logits = torch.tensor(boxes, dtype=torch.float32), torch.tensor(logits, dtype=torch.float32)
    offsets = torch.zeros(len(boxes), 4 * logits.shape[1])
    selected = selector(logits, offsets, [boxes], [SIZE], CODER)
    return [each[0].tolist() for each in selected]


def one_class(label, logit=4.0):
    """Returns logits of one class against the background and all others."""
    return [logit if number == label else 0.0 if number == 0 else -20.0 for number in range(len(CATEGORIES) + 1)]


def test_without_calibration_and_groups_the_detections_are_torchvisions():
    torch.manual_seed(0)
    roi_heads = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=5).roi_heads
    selector = DetectionSelector()
    for module in (roi_heads, selector):
        module.score_thresh, module.nms_thresh, module.detections_per_img = 0.1, 0.4, 40
    corners = torch.rand(150, 2) * 60
    proposals = [
        torch.cat([corners, corners + 5 + torch.rand(150, 2) * 40], 1)[part] for part in (slice(90), slice(90, 150))
    ]
    logits, offsets = torch.randn(150, 5), torch.randn(150, 20) * 0.3
    expected = roi_heads.postprocess_detections(logits, offsets, proposals, [SIZE, (80, 90)])
    actual = selector(logits, offsets, proposals, [SIZE, (80, 90)], roi_heads.box_coder)
    for ours, theirs in zip(actual, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))
    assert len(actual[0][0]) == 40


@pytest.mark.parametrize(
    ("second", "shift", "kept"),
    [
        (3, 0.0, [2]),  # a bus at a car
        (3, 6.0, [2, 3]),  # IoU 0.54
        (4, 0.0, [2]),  # a dog at a car: one object
        (4, 3.0, [2, 4]),  # IoU 0.74
    ],
)
def test_one_object_gets_one_class(second, shift, kept):
    boxes = [[10, 10, 30, 50], [10 + shift, 10, 30 + shift, 50]]
    logits = [one_class(2), one_class(second, 3.0)]
    _, _, labels = select(boxes, logits, group_nms_thresh=0.6, agnostic_nms_thresh=0.8)
    assert labels == kept
    assert select(boxes, logits)[2] == [2, second]


def test_calibration_changes_the_scores_before_the_threshold():
    boxes, logits = [[0, 0, 20, 20], [50, 50, 80, 80]], [one_class(1, 1.0), one_class(2, 1.0)]
    plain = select(boxes, logits)[1]
    assert plain == pytest.approx([0.7311, 0.7311], abs=1e-3)
    calibration = torch.tensor([[1.0, 0.5, 1.0, 1.0], [0.0, -1.0, 0.0, 0.0]])
    _, scores, labels = select(boxes, logits, calibration=calibration)
    assert labels == [1, 2]
    assert scores == pytest.approx([0.7311, 1 / (1 + 2.71828**0.5)], abs=1e-3)  # 0.5 * 1.0 - 1.0 = -0.5
    assert select(boxes, logits, calibration=calibration, score_thresh=0.5)[2] == [1]
