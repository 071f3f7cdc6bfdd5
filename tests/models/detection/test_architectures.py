"""Tests of all detection networks, of each architecture, of backbones, and of loading weights."""

import urllib.error
from functools import cache

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from tracker.config import DetectorConfig, DetectorNetwork, detector_network
from tracker.errors import InputError
from tracker.models.detection import (
    TorchDetector,
    backbone_names,
    backbone_stages,
    build_detector,
    detector_names,
    load_detector,
    load_pretrained_weights,
    read_weights,
    set_thresholds,
    supports_partial_labels,
    use_checkpointing,
)
from tracker.models.detection.backbones import Backbone, classification_network
from tracker.models.detection.transform import DetectionTransform
from tracker.models.model_file import ModelInfo, save_model
from tracker.models.runtime import fold_batch_norm

NAMES = ("ball", "box", "cone")
TINY = {"min_size": 64, "max_size": 128}
NARROW = {**TINY, "backbone": "resnet18", "fpn_channels": 32, "head_width": 32}
CASES = {
    "builtin": {},
    "fasterrcnn_vgg16": {**TINY, "backbone": "vgg11", "head_width": 32},
    "fasterrcnn_resnet50_c4": {**TINY, "backbone": "resnet18", "roi_pooling": "crop"},
    "fasterrcnn_fpn": {**NARROW, "box_loss": "ciou"},
    "maskrcnn_fpn": {**NARROW, "box_loss": "giou"},
    "fasterrcnn_mobilenet_v3_large_320_fpn": TINY,
    "ssdlite320_mobilenet_v3_large": {},
}
SLOW = dict.fromkeys(("fcos_resnet50_fpn", "retinanet_resnet50_fpn"), TINY)
ALL = [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@cache
def build_cached(name):
    """Returns an untrained network for three classes and its settings; tests must not change it."""
    torch.manual_seed(0)
    network = DetectorNetwork(architecture=name, **{**CASES, **SLOW}[name])
    return build_detector(network, len(NAMES)), network


def make_info(network, categories=NAMES):
    size = (128, 96) if network.architecture == "builtin" else (0, 0)
    return ModelInfo(
        task="detection",
        architecture=network.architecture,
        categories=categories,
        size=size,
        license="CC0-1.0",
        provenance="drawn",
        network=network.model_dump(mode="json"),
    )


def random_images():
    """Returns two images of different sizes, (3, H, W) from 0 to 255."""
    rng = torch.Generator().manual_seed(1)
    return [torch.rand(3, 64, 96, generator=rng) * 255, torch.rand(3, 96, 64, generator=rng) * 255]


def target(size, boxes=(), labels=(), ignore=(), unlabeled=()):
    height, width = size
    unlabeled_mask = torch.zeros(1, len(NAMES) + 1, dtype=torch.bool)
    unlabeled_mask[0, list(unlabeled)] = True
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        "regions": torch.tensor([[0.0, 0.0, width, height]]),
        "unlabeled": unlabeled_mask,
        "uncertain": torch.zeros(0, 4),
        "uncertain_labels": torch.zeros(0, dtype=torch.int64),
        "masks": masks,
    }


def targets():
    """Returns targets with two objects in the first image, none in the second."""
    return [target((64, 96), [[10, 10, 50, 40], [30, 20, 80, 60]], [1, 3]), target((96, 64))]


def backward_pass(model):
    """Runs one backward pass and clears the gradients; returns the losses and the parameters that got a gradient."""
    torch.manual_seed(2)
    model.train()
    losses = model(random_images(), targets())
    sum(losses.values()).backward()
    trained = {key for key, value in model.named_parameters() if value.grad is not None and value.grad.abs().sum() > 0}
    finite = all(bool(value.grad.isfinite().all()) for value in model.parameters() if value.grad is not None)
    model.zero_grad(set_to_none=True)
    return {key: value.item() for key, value in losses.items()}, trained, finite


# --- all of them ---


@pytest.mark.parametrize("name", ALL)
def test_a_training_step_reaches_all_parts(name):
    model, _ = build_cached(name)
    losses, trained, finite = backward_pass(model)
    assert finite
    assert np.isfinite(list(losses.values())).all()
    assert min(losses.values()) >= 0
    backbone = {key for key in trained if key.startswith("backbone.")}
    assert backbone
    assert trained - backbone
    assert {key.split(".")[0] for key, _ in model.named_parameters()} == {key.split(".")[0] for key in trained}


@pytest.mark.parametrize("name", ALL)
def test_detections_lie_inside_their_images(name):
    model, _ = build_cached(name)
    with torch.no_grad():
        outputs = model.eval()(random_images())
    assert len(outputs) == 2
    for output, image in zip(outputs, random_images(), strict=True):
        height, width = image.shape[1:]
        boxes = output["boxes"]
        assert boxes.shape == (len(output["scores"]), 4)
        assert (boxes >= -1e-3).all()
        assert (boxes[:, 0::2] <= width + 1e-3).all()
        assert (boxes[:, 1::2] <= height + 1e-3).all()
        assert set(output["labels"].tolist()) <= {1, 2, 3}
        assert ("masks" in output) == name.startswith("mask")
        if "masks" in output:
            assert output["masks"].shape == (len(boxes), 1, height, width)


@pytest.mark.parametrize("name", ALL)
def test_a_saved_and_loaded_network_gives_the_same_detections(name, tmp_path):
    model, network = build_cached(name)
    info = make_info(network)
    state = model.state_dict()
    save_model(tmp_path / "model.safetensors", {key: value.numpy() for key, value in state.items()}, info)
    checkpoint_state = {"model." + key: value for key, value in state.items()}
    torch.save({"state_dict": checkpoint_state, "tracker": info.model_dump_json()}, tmp_path / "best.ckpt")
    image = random_images()[0].permute(1, 2, 0).numpy().astype(np.uint8)
    results = []
    for file in ("model.safetensors", "best.ckpt"):
        config = DetectorConfig(weights=str(tmp_path / file), device="cpu", score=0.01, backend="torch")
        with load_detector(config) as detector:
            assert detector.info == info
            results += detector.detect([image])
    rebuilt = build_detector(network, len(NAMES))
    rebuilt.load_state_dict(state)
    set_thresholds(rebuilt, DetectorConfig(score=0.01), info)
    with TorchDetector(fold_batch_norm(rebuilt), info, torch.device("cpu")) as detector:
        results += detector.detect([image])
    for other in results[1:]:
        np.testing.assert_array_equal(other.boxes, results[0].boxes)
        np.testing.assert_array_equal(other.scores, results[0].scores)
        np.testing.assert_array_equal(other.labels, results[0].labels)


@pytest.mark.parametrize("name", [name for name in CASES if "rcnn" in name or name == "builtin"])
def test_unlabeled_categories_and_crowds_give_no_gradient(name):
    model, _ = build_cached(name)
    assert supports_partial_labels(model)
    torch.manual_seed(3)
    model.train()([random_images()[0]], [target((64, 96), unlabeled=[2])])["loss_classifier"].backward()
    bias = model.roi_heads.box_predictor.cls_score.bias.grad.clone()
    model.zero_grad(set_to_none=True)
    assert bias[2] == 0
    assert (bias[[1, 3]] > 0).all()
    # A crowd that covers the image: no anchor and no proposal is background.
    losses = model([random_images()[0]], [target((64, 96), [[10, 10, 50, 40]], [1], ignore=[[-500, -500, 600, 600]])])
    losses["loss_classifier"].backward()
    bias = model.roi_heads.box_predictor.cls_score.bias.grad.clone()
    model.zero_grad(set_to_none=True)
    assert bias[0] > 0, "only objects give a gradient, and all of them away from background"


def test_one_stage_networks_do_not_support_partial_labels():
    assert not supports_partial_labels(build_cached("ssdlite320_mobilenet_v3_large")[0])


def test_an_object_with_an_empty_mask_has_no_mask_loss():
    model, _ = build_cached("maskrcnn_fpn")
    torch.manual_seed(4)
    without_mask = target((64, 96), [[10, 10, 50, 40]], [1])
    without_mask["masks"].zero_()
    loss = model.train()([random_images()[0]], [without_mask])["loss_mask"]
    assert loss.item() == 0
    assert model([random_images()[0]], [target((64, 96), [[10, 10, 50, 40]], [1])])["loss_mask"].item() > 0


def test_the_losses_have_weights():
    names = ("rpn_objectness_weight", "rpn_box_weight", "classifier_weight", "box_weight", "mask_weight")
    parts = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
    model, network = build_cached("maskrcnn_fpn")
    unweighted, _, _ = backward_pass(model)
    weighted = network.model_copy(update={name: 2.0 + n for n, name in enumerate(names)})
    model.rpn.network = model.roi_heads.network = weighted
    try:
        losses, _, _ = backward_pass(model)
    finally:
        model.rpn.network = model.roi_heads.network = network
    # Batch norms differ between both passes in their running means, which training does not use.
    for n, part in enumerate(parts):
        assert losses[part] == pytest.approx((2 + n) * unweighted[part], rel=1e-3)


def test_targets_are_resized_with_their_image():
    transform = DetectionTransform(32, 64, [0.0] * 3, [1.0] * 3)
    original = target((64, 96), [[10, 10, 50, 40]], [1], ignore=[[0, 0, 96, 32]])
    images, (resized,) = transform([random_images()[0]], [original])
    assert images.image_sizes == [(32, 48)]
    assert images.tensors.max() <= 1
    assert resized["boxes"].tolist() == [[5, 5, 25, 20]]
    assert resized["ignore"].tolist() == [[0, 0, 48, 16]]
    assert resized["regions"].tolist() == [[0, 0, 48, 32]]
    assert resized["masks"].shape == (1, 32, 48)


# --- each of them ---


def build_on_meta(**settings):
    """Returns a network on the meta device, which has shapes only."""
    with torch.device("meta"):
        return build_detector(DetectorNetwork(**settings), 20)


def test_the_papers_vgg16():
    model = build_on_meta(architecture="fasterrcnn_vgg16")
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    backbone = [shape for key, shape in shapes.items() if key.startswith("backbone.") and key.endswith("weight")]
    assert [shape[0] for shape in backbone] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert shapes["rpn.head.conv.0.0.weight"] == (512, 512, 3, 3)
    assert shapes["rpn.head.cls_logits.weight"][0] == 9
    assert shapes["rpn.head.bbox_pred.weight"][0] == 36
    assert shapes["roi_heads.box_head.fc6.weight"] == (4096, 512 * 7 * 7)
    assert shapes["roi_heads.box_head.fc7.weight"] == (4096, 4096)
    assert shapes["roi_heads.box_predictor.bbox_pred.weight"] == (84, 4096)
    assert model.backbone(torch.zeros(1, 3, 600, 1000, device="meta"))["0"].shape == (1, 512, 37, 62)
    assert model.rpn.anchor_generator.sizes == ((128, 256, 512),)
    assert (model.transform.min_size, model.transform.max_size) == ((600,), 1000)
    assert model.roi_heads.box_roi_pool.method == "pool"


def test_the_papers_resnet50_on_one_feature_map():
    model = build_on_meta(architecture="fasterrcnn_resnet50_c4")
    assert model.backbone(torch.zeros(1, 3, 600, 1000, device="meta"))["0"].shape == (1, 1024, 38, 63)
    head = model.roi_heads.box_head
    assert head[:-2](torch.zeros(2, 1024, 7, 7, device="meta")).shape == (2, 2048, 7, 7)
    assert head(torch.zeros(2, 1024, 7, 7, device="meta")).shape == (2, 2048)
    assert model.rpn.anchor_generator.num_anchors_per_location() == [9]


def test_the_papers_numbers_of_proposals():
    network = DetectorNetwork(architecture="fasterrcnn_vgg16")
    assert (network.rpn_pre_nms_top_n_train, network.rpn_post_nms_top_n_train) == (12000, 2000)
    assert (network.rpn_pre_nms_top_n_test, network.rpn_post_nms_top_n_test) == (6000, 300)
    assert (network.box_batch_size_per_image, network.box_positive_fraction) == (128, 0.25)
    assert (network.box_bg_iou_low, network.box_bg_iou_thresh, network.box_fg_iou_thresh) == (0.1, 0.5, 0.5)


def test_only_given_settings_count_as_set():
    network = DetectorNetwork(architecture="fasterrcnn_vgg16", head_width=64)
    assert network.model_dump(exclude_unset=True) == {"architecture": "fasterrcnn_vgg16", "head_width": 64}
    assert network.min_size == 600
    assert DetectorNetwork.model_validate_json(network.model_dump_json()) == network


def test_dropout_of_the_wide_layers():
    model, _ = build_cached("fasterrcnn_vgg16")
    head = model.roi_heads.box_head
    regions = torch.rand(64, 512, 7, 7)
    with torch.no_grad():
        assert not torch.equal(head.train()(regions), head(regions))
        assert torch.equal(head.eval()(regions), head(regions))


@pytest.mark.parametrize(
    "name", ["densenet121", "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5", "vgg11_bn"]
)
def test_backbones_return_feature_maps_of_their_strides(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # regnets cannot be built on the meta device
        backbone = Backbone(classification_network(name), (4, 8, 16, 32))
        feature_maps = backbone(torch.zeros(1, 3, 128, 192))
    assert [tuple(m.shape[2:]) for m in feature_maps.values()] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert [m.shape[1] for m in feature_maps.values()] == backbone.channels


def test_a_backbone_gives_the_features_of_its_classification_network():
    torch.manual_seed(6)
    network = classification_network("resnet18").eval()
    backbone = Backbone(network, (4, 8, 16, 32)).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pooled = network.avgpool(backbone(image)["3"]).flatten(1)
        torch.testing.assert_close(network.fc(pooled), network(image))


@pytest.mark.long
def test_all_backbones_support_an_fpn():
    names = backbone_names()
    assert {"resnet50", "resnet101", "convnext_tiny", "efficientnet_v2_s", "mobilenet_v3_large", "vgg16"} <= set(names)
    for name in names:
        if name.startswith("regnet"):
            continue  # cannot be built on the meta device; one of them is built above
        model = build_on_meta(architecture="fasterrcnn_fpn", backbone=name)
        assert len(model.backbone(torch.zeros(1, 3, 128, 128, device="meta"))) == 5, name


@pytest.mark.slow
def test_all_names_can_be_built():
    for name in detector_names():
        if not name.startswith("ssd"):  # those run on an image while they are built
            assert isinstance(build_on_meta(architecture=name), nn.Module), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "fasterrcnn_vgg"}, "did you mean 'fasterrcnn_vgg16'"),
        (
            {"architecture": "retinanet_resnet50_fpn", "rpn_nms_thresh": 0.5},
            "retinanet_resnet50_fpn has no rpn_nms_thresh",
        ),
        ({"architecture": "ssd300_vgg16", "min_size": 400}, "ssd300_vgg16 has no min_size"),
        ({"architecture": "fasterrcnn_resnet50_fpn", "backbone": "resnet18"}, "has no backbone"),
        ({"min_size": 400}, "builtin has no min_size"),
        ({"architecture": "fasterrcnn_fpn", "backbone": "resnet19"}, "unknown backbone 'resnet19'"),
        ({"architecture": "fasterrcnn_fpn", "backbone": "vit_b_16"}, "unknown backbone"),
        ({"architecture": "fasterrcnn_vgg16", "backbone": "resnet18"}, "needs a vgg as backbone, not 'resnet18'"),
        ({"anchor_sizes": ((32,), (64,))}, "anchor_sizes: builtin needs 4 lists"),
        ({"anchor_sizes": ((16, 24), (32,), (64,), (99,))}, "all of one length"),
    ],
)
def test_unsupported_settings_are_errors(settings, message):
    with pytest.raises(InputError, match=message):
        build_detector(detector_network(settings, "a test"), 3)


# --- stages of a backbone ---


@pytest.mark.parametrize(("name", "count"), [("builtin", 6), ("fasterrcnn_vgg16", 5), ("fasterrcnn_fpn", 5)])
def test_stages_are_the_backbone_in_order(name, count):
    model, _ = build_cached(name)
    stages = backbone_stages(model)
    assert len(stages) == count
    parameters = [id(p) for stage in stages for p in stage.parameters()]
    parts = [model.backbone.body, *([model.backbone.neck] if name == "builtin" else [])]
    assert parameters == [id(p) for part in parts for p in part.parameters()]
    if name == "fasterrcnn_vgg16":
        assert sum(isinstance(m, nn.Conv2d) for m in stages[0].modules()) == 1  # conv1 of VGG-11


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(7)
    model = build_detector(DetectorNetwork(architecture="fasterrcnn_fpn", **NARROW), 3).train()
    keys = list(model.state_dict())
    image = torch.rand(2, 3, 64, 96)
    gradients, saved_sizes = [], []
    for _ in range(2):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            loss = sum(values.square().mean() for values in model.backbone(image).values())
        saved_sizes.append(sum(sizes))
        loss.backward()
        gradients.append([p.grad.clone() for p in model.backbone.parameters()])
        model.zero_grad(set_to_none=True)
        use_checkpointing(model)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)
    assert saved_sizes[1] < 0.7 * saved_sizes[0]
    assert list(model.state_dict()) == keys


# --- weights ---


def write_random_weights(tmp_path, name, categories=NAMES, seed=9):
    """Writes an untrained network to a file; returns the path and the arrays."""
    torch.manual_seed(seed)
    network = DetectorNetwork(architecture=name, **CASES[name])
    state = build_detector(network, len(categories)).state_dict()
    path = tmp_path / f"{name}.safetensors"
    save_model(path, {key: value.numpy() for key, value in state.items()}, make_info(network, categories))
    return path, state


def test_a_file_names_its_network(tmp_path):
    path, _ = write_random_weights(tmp_path, "fasterrcnn_fpn")
    with load_detector(DetectorConfig(weights=str(path), device="cpu")) as detector:
        assert detector.info.architecture == "fasterrcnn_fpn"
    with pytest.raises(InputError, match="is a fasterrcnn_fpn, not a fasterrcnn_vgg16"):
        load_detector(DetectorConfig(model="fasterrcnn_vgg16", weights=str(path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable PyTorch file"),
        (b"hello", "not a readable PyTorch file"),
        ([1, 2], "holds no arrays by name"),
        ({"state_dict": {}}, "not written by this program's trainer"),
        ({"tracker": "{}", "state_dict": {}}, "not written by this program's trainer"),
        ({"tracker": "{}", "run": print}, "not a readable PyTorch file"),
    ],
)
def test_foreign_checkpoints_are_errors(tmp_path, content, message):
    path = tmp_path / "some.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=message):
        read_weights(path)


def test_rows_of_a_class_are_copied_by_its_name(tmp_path, caplog):
    path, old = write_random_weights(tmp_path, "maskrcnn_fpn", ("cone", "ball"))
    model, network = build_cached("maskrcnn_fpn")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with caplog.at_level("INFO"):
        load_pretrained_weights(model, make_info(network), str(path))
    after = model.state_dict()
    rows = {"cls_score.weight": 1, "cls_score.bias": 1, "bbox_pred.weight": 4, "bbox_pred.bias": 4}
    names = {f"roi_heads.box_predictor.{key}": k for key, k in rows.items()}
    names |= {f"roi_heads.mask_predictor.mask_fcn_logits.{key}": 1 for key in ("weight", "bias")}
    for key, k in names.items():
        new, pretrained = after[key].unflatten(0, (4, k)), old[key].unflatten(0, (3, k))
        for row, old_row in ((0, 0), (1, 2), (3, 1)):  # background, ball, cone
            torch.testing.assert_close(new[row], pretrained[old_row])
        torch.testing.assert_close(new[2], before[key].unflatten(0, (4, k))[2])  # box is a new class
    for key in after.keys() - names.keys():
        torch.testing.assert_close(after[key], old[key])
    model.load_state_dict(before)
    assert f"loaded {len(after)} of {len(after)} arrays from" in caplog.text


def test_other_classes_of_a_one_stage_network_start_from_random_weights(tmp_path):
    path, old = write_random_weights(tmp_path, "ssdlite320_mobilenet_v3_large", ("cone", "ball", "cube"))
    model, network = build_cached("ssdlite320_mobilenet_v3_large")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load_pretrained_weights(model, make_info(network), str(path))
    after = model.state_dict()
    assert all(torch.equal(after[key], old[key]) for key in after if "classification_head" not in key)
    assert any(not torch.equal(after[key], old[key]) for key in after if "classification_head" in key)
    model.load_state_dict(before)


@pytest.mark.parametrize("name", ["fasterrcnn_fpn", "fasterrcnn_resnet50_c4"])
def test_a_backbone_loads_a_file_of_its_classification_network(tmp_path, name, caplog):
    torch.manual_seed(10)
    classifier = torchvision.models.resnet18()
    torch.save(classifier.state_dict(), tmp_path / "resnet18.pth")
    model, network = build_cached(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with caplog.at_level("INFO"):
        load_pretrained_weights(model, make_info(network), str(tmp_path / "resnet18.pth"))
    torch.testing.assert_close(model.backbone.body.stages[2][0].conv1.weight, classifier.layer2[0].conv1.weight)
    head = model.roi_heads.box_head
    if name == "fasterrcnn_resnet50_c4":
        torch.testing.assert_close(head[1].conv2.weight, classifier.layer4[1].conv2.weight)
    assert "randomly initialized" in caplog.text
    assert "rpn.head" in caplog.text
    model.load_state_dict(before)


def test_a_vgg_also_provides_the_box_head():
    from tracker.models.detection.pretrained import _classifier_state

    with torch.device("meta"):
        state = _classifier_state(torchvision.models.vgg16())
    detector = build_on_meta(architecture="fasterrcnn_vgg16").state_dict()
    keys = {key for key in detector if key.startswith(("backbone.", "roi_heads.box_head."))}
    assert keys <= state.keys()
    assert all(state[key].shape == detector[key].shape for key in keys)


@pytest.mark.parametrize("source", ["imagenet", "coco"])
def test_weights_that_cannot_be_downloaded_are_an_error(source, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    model, network = build_cached("fasterrcnn_mobilenet_v3_large_320_fpn")
    with pytest.raises(InputError, match=r"cannot download https://.*no route.*put the file at"):
        load_pretrained_weights(model, make_info(network), source)


def test_pretrained_weights_of_torchvision(monkeypatch):
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    weights = torchvision.models.get_model_weights(name).DEFAULT
    torch.manual_seed(11)
    coco = torchvision.models.get_model(name, weights=None, weights_backbone=None).state_dict()
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: coco)
    model, network = build_cached(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load_pretrained_weights(model, make_info(network, ("cat", "ball", "person")), "coco")
    scores = model.roi_heads.box_predictor.cls_score.weight
    coco_scores = coco["roi_heads.box_predictor.cls_score.weight"]
    categories = weights.meta["categories"]
    torch.testing.assert_close(scores[[1, 3]], coco_scores[[categories.index("cat"), categories.index("person")]])
    model.load_state_dict(before)


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("fasterrcnn_fpn", "coco", "no weights 'coco' for fasterrcnn_fpn"),
        ("fasterrcnn_fpn", "gone.pth", "there is no model file gone.pth"),
        ("fasterrcnn_fpn", "other.pth", "does not hold the backbone of fasterrcnn_fpn"),
        ("builtin", "other.pth", "does not hold the backbone of builtin"),
        ("ssdlite320_mobilenet_v3_large", "other.pth", "starts from imagenet, coco or a model of ours"),
        ("fasterrcnn_fpn", "empty.safetensors", "no weights of empty.safetensors match fasterrcnn_fpn"),
    ],
)
def test_pretrained_weights_that_do_not_match_are_errors(tmp_path, monkeypatch, name, source, message):
    monkeypatch.chdir(tmp_path)
    model, network = build_cached(name)
    torch.save({"weight": torch.zeros(2)}, "other.pth")
    save_model(tmp_path / "empty.safetensors", {"other": np.zeros(2, np.float32)}, make_info(network))
    with pytest.raises(InputError, match=message):
        load_pretrained_weights(model, make_info(network), source)
