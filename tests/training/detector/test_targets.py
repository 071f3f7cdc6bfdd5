"""What one picture teaches, worked out in plain numpy: anchors, labels, offsets, samples and all four losses."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from tracker.config import DetectorNetwork
from tracker.models.detection import build_detector
from tracker.models.detection.losses import anchor_box_loss, region_box_loss
from tracker.models.detection.roi_pool import RegionPooling, bilinear_crop

HEIGHT, WIDTH, STRIDE = 128, 160, 16
SIZES, RATIOS = (32, 64), (0.5, 1.0, 2.0)
BOXES = np.array([[30, 22, 98, 86], [110, 60, 123, 71], [4, 90, 50, 120]], np.float64)  # the second is small
LABELS = np.array([2, 1, 3])


@pytest.fixture(scope="module")
def model():
    """Faster R-CNN on one map, with the paper's numbers but for the anchors, which suit a small picture."""
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
        "unlabelled": torch.zeros(1, 4, dtype=torch.bool),
    }


# --- the reference ---


def all_anchors():
    """(rows * columns * 6, 4) xyxy: at each place of the map each height over width in each size, in whole pixels."""
    rows = []
    for y in range(HEIGHT // STRIDE):
        for x in range(WIDTH // STRIDE):
            for ratio in RATIOS:
                for size in SIZES:
                    w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
                    corner = np.round(np.array([-w / 2, -h / 2, w / 2, h / 2]))
                    rows.append(corner + np.array([x, y, x, y]) * STRIDE)
    return np.array(rows)


def overlaps(boxes, others):
    """IoU (N, M), one pair at a time."""
    table = np.zeros((len(boxes), len(others)))
    for i, a in enumerate(boxes):
        for j, b in enumerate(others):
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(w, 0) * max(h, 0)
            table[i, j] = shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
    return table


def offsets_to(boxes, objects, weights=(1, 1, 1, 1)):
    """tx ty tw th of Faster R-CNN, eq. 2."""
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    v, g = objects[:, 2] - objects[:, 0], objects[:, 3] - objects[:, 1]
    tx = (objects[:, 0] + v / 2 - boxes[:, 0] - w / 2) / w
    ty = (objects[:, 1] + g / 2 - boxes[:, 1] - h / 2) / h
    return np.stack([tx, ty, np.log(v / w), np.log(g / h)], 1) * np.array(weights)


def smooth_l1(difference, beta):
    size = np.abs(difference)
    return np.where(size < beta, size**2 / (2 * beta), size - beta / 2).sum()


def anchor_labels(table):
    """1 foreground, 0 background, -1 neither: 0.7 and 0.3, and each object's best anchors are foreground."""
    best = table.max(1)
    labels = np.full(len(table), -1)
    labels[best < 0.3] = 0
    labels[best >= 0.7] = 1
    for column in table.T:
        labels[column == column.max()] = 1
    return labels


# --- anchors and what they learn ---


class FixedHead(nn.Module):
    """Gives the same objectness and offsets for whatever map."""

    def __init__(self, anchors):
        super().__init__()
        draw = np.random.default_rng(3)
        self.objectness = draw.normal(size=anchors)
        self.offsets = draw.normal(size=(anchors, 4)) * 0.5

    def forward(self, maps):
        rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
        logits = torch.from_numpy(self.objectness).float().reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        offsets = torch.from_numpy(self.offsets).float().reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        return [logits], [offsets]


@contextmanager
def swapped(part, **changes):
    """Other attributes for a while: modules and methods alike."""
    before = {name: getattr(part, name) for name in changes}
    for name, value in changes.items():
        setattr(part, name, value)
    yield
    for name, value in before.items():
        setattr(part, name, value)


@pytest.fixture(scope="module")
def watched(model):
    """One training pass of the RPN with fixed outputs: the anchors, labels and targets it made, what it sampled."""
    seen = {}
    rpn = model.rpn
    assign, sampler = rpn.assign_targets_to_anchors, rpn.fg_bg_sampler

    def sample(labels):
        seen["sampled"] = sampler(labels)
        return seen["sampled"]

    def watch(made, targets):
        seen["anchors"] = made[0].numpy()
        seen["labels"], seen["matched"] = assign(made, targets)
        return seen["labels"], seen["matched"]

    head = FixedHead(len(all_anchors()))
    images, targets = model.transform([torch.rand(3, HEIGHT, WIDTH) * 255], [target()])
    torch.manual_seed(1)
    with swapped(rpn, head=head, assign_targets_to_anchors=watch, fg_bg_sampler=sample):
        _, seen["losses"] = rpn(images, {"0": model.backbone(images.tensors)["0"]}, targets)
    return seen


def test_anchors_lie_on_the_grid(watched):
    assert watched["anchors"].shape == (8 * 10 * 6, 4)
    np.testing.assert_array_equal(watched["anchors"], all_anchors())


def test_anchor_labels(watched):
    table = overlaps(all_anchors(), BOXES)
    labels = anchor_labels(table)
    assert table[:, 1].max() < 0.7, "the small object has foreground only by the best-anchor rule"
    assert (labels[table[:, 1] == table[:, 1].max()] == 1).all()
    assert set(labels.tolist()) == {-1, 0, 1}
    np.testing.assert_array_equal(watched["labels"][0].numpy(), labels)


def test_half_of_256_anchors_may_be_foreground(watched):
    labels = anchor_labels(overlaps(all_anchors(), BOXES))
    foreground, background = (masks[0].bool().numpy() for masks in watched["sampled"])
    assert foreground.sum() == min((labels == 1).sum(), 128)
    assert background.sum() == 256 - foreground.sum()
    assert (labels[foreground] == 1).all()
    assert (labels[background] == 0).all()


def test_both_rpn_losses(watched):
    anchors, table = all_anchors(), overlaps(all_anchors(), BOXES)
    head = FixedHead(len(anchors))
    foreground, background = (np.flatnonzero(masks[0].numpy()) for masks in watched["sampled"])
    probability = 1 / (1 + np.exp(-head.objectness))
    entropy = -np.log(probability[foreground]).sum() - np.log(1 - probability[background]).sum()
    aims = offsets_to(anchors[foreground], BOXES[table[foreground].argmax(1)])
    placed = smooth_l1(head.offsets[foreground] - aims, beta=1.0)
    assert float(watched["losses"]["loss_objectness"]) == pytest.approx(entropy / 256, rel=1e-5)
    assert float(watched["losses"]["loss_rpn_box_reg"]) == pytest.approx(10 * placed / (8 * 10), rel=1e-5)


def test_the_other_divisors_of_the_rpns_box_loss(model):
    offsets, aims = torch.tensor([[0.5, 0, 0, 0], [0, 3.0, 0, 0]]), torch.zeros(2, 4)
    total = 0.5**2 / 2 + (3 - 0.5)
    for divisor, by in (("sampled", 8), ("locations", 20), ("foreground", 2)):
        network = model.rpn.network.model_copy(update={"rpn_box_divisor": divisor})
        assert anchor_box_loss(offsets, aims, 8, 20, network).item() == pytest.approx(total / by)


def test_anchors_across_the_edge_may_teach_nothing(model):
    anchors = all_anchors()
    outside = torch.tensor([[-5.0, 0, 20, 20], [150, 100, 170, 140]])
    with swapped(model.rpn, network=model.rpn.network.model_copy(update={"rpn_inside_only": True})):
        labels, _ = model.rpn.assign_targets_to_anchors([torch.from_numpy(anchors).float()], [target()])
        without, _ = model.rpn.assign_targets_to_anchors([outside], [target()])
    inside = (anchors >= 0).all(1) & (anchors[:, 2] <= WIDTH) & (anchors[:, 3] <= HEIGHT)
    expected = np.where(inside, anchor_labels(overlaps(anchors, BOXES)), -1)
    np.testing.assert_array_equal(labels[0].numpy(), expected)
    assert (without[0] >= 0).all(), "where none lies inside, all teach"


# --- regions and what they learn ---


def regions():
    """600 boxes: near the objects, and anywhere."""
    draw = np.random.default_rng(5)
    near = BOXES[draw.integers(0, 3, 500)] + draw.normal(size=(500, 4)) * 12
    corner = draw.uniform(0, 90, (100, 2))
    boxes = np.concatenate([near, np.concatenate([corner, corner + draw.uniform(8, 40, (100, 2))], 1)])
    boxes = np.clip(boxes, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    return boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) > 4]


class FixedPredictor(nn.Module):
    """Row n of a table for the n-th region, whatever it shows."""

    def __init__(self):
        super().__init__()
        draw = np.random.default_rng(7)
        self.logits, self.offsets = draw.normal(size=(128, 4)), draw.normal(size=(128, 16))

    def forward(self, pooled):
        return (torch.from_numpy(values[: len(pooled)]).float() for values in (self.logits, self.offsets))


@pytest.fixture(scope="module")
def judged(model):
    """One training pass of the RoI heads with fixed outputs: the regions that they sampled, and the losses."""
    seen = {}
    heads = model.roi_heads
    select = heads.select_training_samples

    def watch(proposals, targets):
        seen["samples"] = select(proposals, targets)
        return seen["samples"]

    maps = {"0": torch.rand(1, 2, HEIGHT // STRIDE, WIDTH // STRIDE)}
    torch.manual_seed(2)
    with swapped(heads, select_training_samples=watch, box_head=nn.Identity(), box_predictor=FixedPredictor()):
        _, seen["losses"] = heads(maps, [torch.from_numpy(regions()).float()], [(HEIGHT, WIDTH)], [target()])
    return seen


def test_a_quarter_of_128_regions_is_foreground_and_background_is_hard(judged):
    boxes, _, labels, _ = (part[0].numpy() for part in judged["samples"])
    best = overlaps(boxes, BOXES).max(1)
    assert len(boxes) == 128
    assert (labels > 0).sum() == 32
    assert (best[labels > 0] >= 0.5).all()
    assert ((best[labels == 0] >= 0.1) & (best[labels == 0] < 0.5)).all()
    assert (overlaps(regions(), BOXES).max(1) < 0.1).sum() > 50, "there were easy ones to choose"


def test_labels_and_offsets_of_regions(judged):
    boxes, _, labels, offsets = (part[0].numpy() for part in judged["samples"])
    nearest = overlaps(boxes, BOXES).argmax(1)
    np.testing.assert_array_equal(labels[labels > 0], LABELS[nearest[labels > 0]])
    expected = offsets_to(boxes.astype(np.float64), BOXES[nearest], (10, 10, 5, 5))
    np.testing.assert_allclose(offsets[labels > 0], expected[labels > 0], atol=1e-3)


def test_both_losses_of_regions(judged):
    boxes, _, labels, _ = (part[0].numpy() for part in judged["samples"])
    table = FixedPredictor()
    softmax = np.exp(table.logits) / np.exp(table.logits).sum(1, keepdims=True)
    entropy = -np.log(softmax[np.arange(128), labels]).mean()
    rows = np.flatnonzero(labels)
    own = np.array([table.offsets[row, 4 * labels[row] : 4 * labels[row] + 4] for row in rows])
    nearest = overlaps(boxes[rows], BOXES).argmax(1)
    aims = offsets_to(boxes[rows].astype(np.float64), BOXES[nearest], (10, 10, 5, 5))
    assert float(judged["losses"]["loss_classifier"]) == pytest.approx(entropy, rel=1e-5)
    assert float(judged["losses"]["loss_box_reg"]) == pytest.approx(smooth_l1(own - aims, 1.0) / 128, rel=1e-4)


def test_without_objects_every_region_is_background(model):
    empty = {**target(), "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    boxes = torch.from_numpy(regions()).float()
    (sampled,), _, (labels,), _ = model.roi_heads.select_training_samples([boxes], [empty])
    assert len(sampled) == 128
    assert (labels == 0).all()


REGION = [10.0, 10.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("kind", "truth", "expected"),
    [
        ("giou", [15.0, 15.0, 25.0, 25.0], 1 - 25 / 175 + (225 - 175) / 225),
        ("giou", [20.0, 10.0, 30.0, 20.0], 1.0),  # side by side: nothing shared, no gap in their hull
        ("ciou", [15.0, 15.0, 25.0, 25.0], 1 - 25 / 175 + 50 / 450),
    ],
)
def test_giou_and_ciou_by_hand(model, kind, truth, expected):
    heads = model.roi_heads
    network = heads.network.model_copy(update={"box_loss": kind})
    region, object_ = torch.tensor([REGION, REGION]), torch.tensor([truth, truth])
    aims = heads.box_coder.encode_single(object_, region)
    labels = torch.tensor([2, 0])  # the second is background: it counts in the divisor alone
    found = region_box_loss(torch.zeros(2, 16), aims, labels, region, heads.box_coder, network)
    assert found.item() == pytest.approx(expected / 2, rel=1e-4)


def test_ciou_of_another_shape_by_hand(model):
    heads = model.roi_heads
    network = heads.network.model_copy(update={"box_loss": "ciou"})
    region, wide = torch.tensor([REGION]), torch.tensor([[10.0, 10.0, 30.0, 20.0]])
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    expected = 1 - 0.5 + 25 / 500 + v * v / (1 - 0.5 + v)
    aims = heads.box_coder.encode_single(wide, region)
    found = region_box_loss(torch.zeros(1, 16), aims, torch.tensor([1]), region, heads.box_coder, network)
    assert found.item() == pytest.approx(expected, rel=1e-4)


# --- how a region is cut out ---


def test_bilinear_crop_by_hand():
    values = torch.tensor([[1.0, 5, 2, 0], [3, 7, 4, 8], [9, 6, 1, 2]])[None, None]
    crop = bilinear_crop(values, [torch.tensor([[0.5, 0.0, 2.5, 2.0], [1.0, 1.5, 1.5, 1.5]])], 3)
    assert crop.shape == (2, 1, 3, 3)
    # columns at 0.5, 1.5, 2.5; rows at 0, 1, 2: each the mean of two neighbours
    np.testing.assert_allclose(crop[0, 0], [[3, 3.5, 1], [5, 5.5, 6], [7.5, 3.5, 1.5]], rtol=1e-6)
    # row 1.5: the mean of rows 1 and 2 is 6, 6.5, 2.5, 5; columns at 1, 1.25, 1.5
    np.testing.assert_allclose(crop[1, 0], [[6.5, 5.5, 4.5]] * 3, rtol=1e-6)


def test_beyond_the_map_its_border_goes_on():
    values = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    crop = bilinear_crop(values, [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], 3)
    np.testing.assert_allclose(crop[0, 0], [[1, 2, 2], [3, 4, 4], [3, 4, 4]], rtol=1e-6)


def test_crops_come_from_their_own_picture():
    values = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    boxes = [torch.tensor([[0.0, 0, 48, 48]]), torch.tensor([[0.0, 0, 48, 48], [16, 16, 32, 32]])]
    for method in ("align", "pool", "crop"):
        cut = RegionPooling(method, 2, 16)({"0": values}, boxes, [(64, 64)] * 2)
        assert cut.shape == (3, 1, 2, 2)
        assert cut[0].abs().max() == 0
        np.testing.assert_allclose(cut[1:], 1, rtol=1e-6)


def test_pooling_by_hand():
    values = torch.arange(16.0).reshape(1, 1, 4, 4)
    box = [torch.tensor([[0.0, 0.0, 48.0, 48.0]])]  # all four places each way, their edges included
    pooled = RegionPooling("pool", 2, 16)({"0": values}, box, [(64, 64)])
    np.testing.assert_array_equal(pooled[0, 0], [[5, 7], [13, 15]])
    # crop: 4 x 4 samples at 0, 1, 2, 3, of which the largest two by two
    cropped = RegionPooling("crop", 2, 16)({"0": values}, box, [(64, 64)])
    np.testing.assert_allclose(cropped[0, 0], [[5, 7], [13, 15]], rtol=1e-6)
