"""Anchors, labels, regression targets, samples and losses of one image, compared with a numpy implementation."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from tracker.config import DetectorNetwork
from tracker.models.detection import build_detector
from tracker.models.detection.losses import roi_box_loss, rpn_box_loss
from tracker.models.detection.roi_pool import SingleLevelRoIPool, bilinear_crop

HEIGHT, WIDTH, STRIDE = 128, 160, 16
SIZES, RATIOS = (32, 64), (0.5, 1.0, 2.0)
BOXES = np.array([[30, 22, 98, 86], [110, 60, 123, 71], [4, 90, 50, 120]], np.float64)  # the second is small
LABELS = np.array([2, 1, 3])


@pytest.fixture(scope="module")
def model():
    """Builds Faster R-CNN on one feature map with the paper's settings, except for anchors of a small image."""
    torch.manual_seed(0)
    network = DetectorNetwork(
        architecture="fasterrcnn_resnet50_c4",
        backbone="resnet18",
        min_size=HEIGHT,
        max_size=WIDTH,
        anchor_sizes=(SIZES,),
        rpn_inside_only=False,
        rpn_box_weight=10.0,
        rpn_box_divisor="locations",
        rpn_smooth_l1_beta=1.0,
    )
    return build_detector(network, 3).train()


def target():
    return {
        "boxes": torch.from_numpy(BOXES).float(),
        "labels": torch.from_numpy(LABELS),
        "ignore": torch.zeros(0, 4),
        "regions": torch.tensor([[0.0, 0.0, WIDTH, HEIGHT]]),
        "unlabeled": torch.zeros(1, 4, dtype=torch.bool),
        "uncertain": torch.zeros(0, 4),
        "uncertain_labels": torch.zeros(0, dtype=torch.int64),
    }


# --- the numpy implementation ---


def all_anchors():
    """Returns the anchors (rows * columns * 6, 4) xyxy in integer pixels: each aspect ratio in each size."""
    anchors = []
    for y in range(HEIGHT // STRIDE):
        for x in range(WIDTH // STRIDE):
            for ratio in RATIOS:
                for size in SIZES:
                    w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
                    corner = np.round(np.array([-w / 2, -h / 2, w / 2, h / 2]))
                    anchors.append(corner + np.array([x, y, x, y]) * STRIDE)
    return np.array(anchors)


def box_iou(boxes, others):
    """Returns the IoU (N, M)."""
    iou = np.zeros((len(boxes), len(others)))
    for i, a in enumerate(boxes):
        for j, b in enumerate(others):
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            overlap = max(w, 0) * max(h, 0)
            iou[i, j] = overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)
    return iou


def encode_boxes(boxes, gt_boxes, weights=(1, 1, 1, 1)):
    """Returns tx ty tw th of Faster R-CNN, eq. 2."""
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    v, g = gt_boxes[:, 2] - gt_boxes[:, 0], gt_boxes[:, 3] - gt_boxes[:, 1]
    tx = (gt_boxes[:, 0] + v / 2 - boxes[:, 0] - w / 2) / w
    ty = (gt_boxes[:, 1] + g / 2 - boxes[:, 1] - h / 2) / h
    return np.stack([tx, ty, np.log(v / w), np.log(g / h)], 1) * np.array(weights)


def smooth_l1(difference, beta):
    error = np.abs(difference)
    return np.where(error < beta, error**2 / (2 * beta), error - beta / 2).sum()


def anchor_labels(iou):
    """Returns 1 for foreground (from 0.7, and each object's best anchors), 0 for background (below 0.3), else -1."""
    best = iou.max(1)
    labels = np.full(len(iou), -1)
    labels[best < 0.3] = 0
    labels[best >= 0.7] = 1
    for column in iou.T:
        labels[column == column.max()] = 1
    return labels


# --- the RPN ---


class FixedHead(nn.Module):
    """An RPN head that returns the same objectness and offsets for any feature map."""

    def __init__(self, num_anchors):
        super().__init__()
        rng = np.random.default_rng(3)
        self.objectness = rng.normal(size=num_anchors)
        self.offsets = rng.normal(size=(num_anchors, 4)) * 0.5

    def forward(self, feature_maps):
        rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
        logits = torch.from_numpy(self.objectness).float().reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        offsets = torch.from_numpy(self.offsets).float().reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        return [logits], [offsets]


@contextmanager
def patched(module, **changes):
    """Replaces attributes of a module, submodules and methods alike, within a context."""
    before = {name: getattr(module, name) for name in changes}
    for name, value in changes.items():
        setattr(module, name, value)
    yield
    for name, value in before.items():
        setattr(module, name, value)


@pytest.fixture(scope="module")
def rpn_pass(model):
    """Runs the RPN in training mode with a fixed head; returns anchors, labels, matched boxes, samples and losses."""
    results = {}
    rpn = model.rpn
    assign, sampler = rpn.assign_targets_to_anchors, rpn.fg_bg_sampler

    def record_samples(labels):
        results["sampled"] = sampler(labels)
        return results["sampled"]

    def record_targets(anchors, targets):
        results["anchors"] = anchors[0].numpy()
        results["labels"], results["matched"] = assign(anchors, targets)
        return results["labels"], results["matched"]

    head = FixedHead(len(all_anchors()))
    images, targets = model.transform([torch.rand(3, HEIGHT, WIDTH) * 255], [target()])
    torch.manual_seed(1)
    with patched(rpn, head=head, assign_targets_to_anchors=record_targets, fg_bg_sampler=record_samples):
        _, results["losses"] = rpn(images, {"0": model.backbone(images.tensors)["0"]}, targets)
    return results


def test_anchors_lie_on_the_grid(rpn_pass):
    assert rpn_pass["anchors"].shape == (8 * 10 * 6, 4)
    np.testing.assert_array_equal(rpn_pass["anchors"], all_anchors())


def test_anchor_labels(rpn_pass):
    iou = box_iou(all_anchors(), BOXES)
    labels = anchor_labels(iou)
    assert iou[:, 1].max() < 0.7, "the small object has foreground anchors only because they are its best ones"
    assert (labels[iou[:, 1] == iou[:, 1].max()] == 1).all()
    assert set(labels.tolist()) == {-1, 0, 1}
    np.testing.assert_array_equal(rpn_pass["labels"][0].numpy(), labels)


def test_at_most_half_of_256_anchors_are_foreground(rpn_pass):
    labels = anchor_labels(box_iou(all_anchors(), BOXES))
    foreground, background = (masks[0].bool().numpy() for masks in rpn_pass["sampled"])
    assert foreground.sum() == min((labels == 1).sum(), 128)
    assert background.sum() == 256 - foreground.sum()
    assert (labels[foreground] == 1).all()
    assert (labels[background] == 0).all()


def test_both_rpn_losses(rpn_pass):
    anchors, iou = all_anchors(), box_iou(all_anchors(), BOXES)
    head = FixedHead(len(anchors))
    foreground, background = (np.flatnonzero(masks[0].numpy()) for masks in rpn_pass["sampled"])
    probability = 1 / (1 + np.exp(-head.objectness))
    entropy = -np.log(probability[foreground]).sum() - np.log(1 - probability[background]).sum()
    target_offsets = encode_boxes(anchors[foreground], BOXES[iou[foreground].argmax(1)])
    box_loss = smooth_l1(head.offsets[foreground] - target_offsets, beta=1.0)
    assert float(rpn_pass["losses"]["loss_objectness"]) == pytest.approx(entropy / 256, rel=1e-5)
    assert float(rpn_pass["losses"]["loss_rpn_box_reg"]) == pytest.approx(10 * box_loss / (8 * 10), rel=1e-5)


def test_the_other_divisors_of_the_rpns_box_loss(model):
    offsets, target_offsets = torch.tensor([[0.5, 0, 0, 0], [0, 3.0, 0, 0]]), torch.zeros(2, 4)
    total = 0.5**2 / 2 + (3 - 0.5)
    for divisor, value in (("sampled", 8), ("locations", 20), ("foreground", 2)):
        network = model.rpn.network.model_copy(update={"rpn_box_divisor": divisor})
        assert rpn_box_loss(offsets, target_offsets, 8, 20, network).item() == pytest.approx(total / value)


def test_anchors_across_the_border_can_be_ignored(model):
    anchors = all_anchors()
    outside = torch.tensor([[-5.0, 0, 20, 20], [150, 100, 170, 140]])
    with patched(model.rpn, network=model.rpn.network.model_copy(update={"rpn_inside_only": True})):
        labels, _ = model.rpn.assign_targets_to_anchors([torch.from_numpy(anchors).float()], [target()])
        labels_outside, _ = model.rpn.assign_targets_to_anchors([outside], [target()])
    inside = (anchors >= 0).all(1) & (anchors[:, 2] <= WIDTH) & (anchors[:, 3] <= HEIGHT)
    expected = np.where(inside, anchor_labels(box_iou(anchors, BOXES)), -1)
    np.testing.assert_array_equal(labels[0].numpy(), expected)
    assert (labels_outside[0] >= 0).all(), "without anchors inside, all are used"


# --- the RoI heads ---


def random_proposals():
    """Returns about 600 boxes, most of them near the objects."""
    rng = np.random.default_rng(5)
    near_objects = BOXES[rng.integers(0, 3, 500)] + rng.normal(size=(500, 4)) * 12
    corner = rng.uniform(0, 90, (100, 2))
    boxes = np.concatenate([near_objects, np.concatenate([corner, corner + rng.uniform(8, 40, (100, 2))], 1)])
    boxes = np.clip(boxes, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    return boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) > 4]


class FixedPredictor(nn.Module):
    """A box predictor whose logits and offsets depend only on the index of the RoI."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(7)
        self.logits, self.offsets = rng.normal(size=(128, 4)), rng.normal(size=(128, 16))

    def forward(self, pooled):
        return (torch.from_numpy(values[: len(pooled)]).float() for values in (self.logits, self.offsets))


@pytest.fixture(scope="module")
def roi_pass(model):
    """Runs the RoI heads in training mode with fixed outputs; returns the sampled proposals and the losses."""
    results = {}
    heads = model.roi_heads
    select = heads.select_training_samples

    def record_samples(proposals, targets):
        results["samples"] = select(proposals, targets)
        return results["samples"]

    feature_maps = {"0": torch.rand(1, 2, HEIGHT // STRIDE, WIDTH // STRIDE)}
    torch.manual_seed(2)
    with patched(heads, select_training_samples=record_samples, box_head=nn.Identity(), box_predictor=FixedPredictor()):
        _, results["losses"] = heads(
            feature_maps, [torch.from_numpy(random_proposals()).float()], [(HEIGHT, WIDTH)], [target()]
        )
    return results


def test_a_quarter_of_128_proposals_is_foreground_and_background_is_hard(roi_pass):
    boxes, _, labels, _ = (part[0].numpy() for part in roi_pass["samples"])
    best = box_iou(boxes, BOXES).max(1)
    assert len(boxes) == 128
    assert (labels > 0).sum() == 32
    assert (best[labels > 0] >= 0.5).all()
    assert ((best[labels == 0] >= 0.1) & (best[labels == 0] < 0.5)).all()
    assert (box_iou(random_proposals(), BOXES).max(1) < 0.1).sum() > 50, "there are easy negatives too"


def test_labels_and_regression_targets_of_proposals(roi_pass):
    boxes, _, labels, offsets = (part[0].numpy() for part in roi_pass["samples"])
    nearest = box_iou(boxes, BOXES).argmax(1)
    np.testing.assert_array_equal(labels[labels > 0], LABELS[nearest[labels > 0]])
    expected = encode_boxes(boxes.astype(np.float64), BOXES[nearest], (10, 10, 5, 5))
    np.testing.assert_allclose(offsets[labels > 0], expected[labels > 0], atol=1e-3)


def test_both_losses_of_the_roi_heads(roi_pass):
    boxes, _, labels, _ = (part[0].numpy() for part in roi_pass["samples"])
    predictor = FixedPredictor()
    softmax = np.exp(predictor.logits) / np.exp(predictor.logits).sum(1, keepdims=True)
    entropy = -np.log(softmax[np.arange(128), labels]).mean()
    indices = np.flatnonzero(labels)
    offsets = np.array([predictor.offsets[index, 4 * labels[index] : 4 * labels[index] + 4] for index in indices])
    nearest = box_iou(boxes[indices], BOXES).argmax(1)
    target_offsets = encode_boxes(boxes[indices].astype(np.float64), BOXES[nearest], (10, 10, 5, 5))
    assert float(roi_pass["losses"]["loss_classifier"]) == pytest.approx(entropy, rel=1e-5)
    assert float(roi_pass["losses"]["loss_box_reg"]) == pytest.approx(
        smooth_l1(offsets - target_offsets, 1.0) / 128, rel=1e-4
    )


def test_without_objects_every_proposal_is_background(model):
    empty = {**target(), "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    boxes = torch.from_numpy(random_proposals()).float()
    (sampled,), _, (labels,), _ = model.roi_heads.select_training_samples([boxes], [empty])
    assert len(sampled) == 128
    assert (labels == 0).all()


PROPOSAL = [10.0, 10.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("box_loss", "gt_box", "expected"),
    [
        ("giou", [15.0, 15.0, 25.0, 25.0], 1 - 25 / 175 + (225 - 175) / 225),
        ("giou", [20.0, 10.0, 30.0, 20.0], 1.0),  # side by side: no overlap, no gap in their hull
        ("ciou", [15.0, 15.0, 25.0, 25.0], 1 - 25 / 175 + 50 / 450),
    ],
)
def test_giou_and_ciou_by_hand(model, box_loss, gt_box, expected):
    heads = model.roi_heads
    network = heads.network.model_copy(update={"box_loss": box_loss})
    proposals, gt_boxes = torch.tensor([PROPOSAL, PROPOSAL]), torch.tensor([gt_box, gt_box])
    target_offsets = heads.box_coder.encode_single(gt_boxes, proposals)
    labels = torch.tensor([2, 0])  # the second is background: it counts only in the divisor
    loss = roi_box_loss(torch.zeros(2, 16), target_offsets, labels, proposals, heads.box_coder, network)
    assert loss.item() == pytest.approx(expected / 2, rel=1e-4)


def test_ciou_of_another_shape_by_hand(model):
    heads = model.roi_heads
    network = heads.network.model_copy(update={"box_loss": "ciou"})
    proposals, gt_boxes = torch.tensor([PROPOSAL]), torch.tensor([[10.0, 10.0, 30.0, 20.0]])
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    expected = 1 - 0.5 + 25 / 500 + v * v / (1 - 0.5 + v)
    target_offsets = heads.box_coder.encode_single(gt_boxes, proposals)
    loss = roi_box_loss(torch.zeros(1, 16), target_offsets, torch.tensor([1]), proposals, heads.box_coder, network)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


# --- RoI pooling ---


def test_bilinear_crop_by_hand():
    values = torch.tensor([[1.0, 5, 2, 0], [3, 7, 4, 8], [9, 6, 1, 2]])[None, None]
    crop = bilinear_crop(values, [torch.tensor([[0.5, 0.0, 2.5, 2.0], [1.0, 1.5, 1.5, 1.5]])], 3)
    assert crop.shape == (2, 1, 3, 3)
    # columns at 0.5, 1.5, 2.5; rows at 0, 1, 2: each the mean of two neighbours
    np.testing.assert_allclose(crop[0, 0], [[3, 3.5, 1], [5, 5.5, 6], [7.5, 3.5, 1.5]], rtol=1e-6)
    # row 1.5: the mean of rows 1 and 2 is 6, 6.5, 2.5, 5; columns at 1, 1.25, 1.5
    np.testing.assert_allclose(crop[1, 0], [[6.5, 5.5, 4.5]] * 3, rtol=1e-6)


def test_the_feature_map_is_padded_with_its_border():
    values = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    crop = bilinear_crop(values, [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], 3)
    np.testing.assert_allclose(crop[0, 0], [[1, 2, 2], [3, 4, 4], [3, 4, 4]], rtol=1e-6)


def test_features_come_from_their_own_image():
    values = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    boxes = [torch.tensor([[0.0, 0, 48, 48]]), torch.tensor([[0.0, 0, 48, 48], [16, 16, 32, 32]])]
    for method in ("align", "pool", "crop"):
        features = SingleLevelRoIPool(method, 2, 16)({"0": values}, boxes, [(64, 64)] * 2)
        assert features.shape == (3, 1, 2, 2)
        assert features[0].abs().max() == 0
        np.testing.assert_allclose(features[1:], 1, rtol=1e-6)


def test_pooling_by_hand():
    values = torch.arange(16.0).reshape(1, 1, 4, 4)
    box = [torch.tensor([[0.0, 0.0, 48.0, 48.0]])]  # all four columns and rows, with their edges
    pooled = SingleLevelRoIPool("pool", 2, 16)({"0": values}, box, [(64, 64)])
    np.testing.assert_array_equal(pooled[0, 0], [[5, 7], [13, 15]])
    # crop: 4 x 4 samples at 0, 1, 2, 3, of which the largest two by two
    cropped = SingleLevelRoIPool("crop", 2, 16)({"0": values}, box, [(64, 64)])
    np.testing.assert_allclose(cropped[0, 0], [[5, 7], [13, 15]], rtol=1e-6)
