"""What every detection network must do, and what each of them is; weights that travel from one to the other."""

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
    Detector,
    backbone_names,
    backbone_stages,
    build_detector,
    detector_names,
    load_detector,
    read_weights,
    start_weights,
    supports_partial_labels,
    use_checkpointing,
)
from tracker.models.detection.backbones import Backbone, classifier
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
def built(name):
    """An untrained network for three classes and what it is made of; tests leave it as it was."""
    torch.manual_seed(0)
    network = DetectorNetwork(architecture=name, **{**CASES, **SLOW}[name])
    return build_detector(network, len(NAMES)), network


def info_of(network, categories=NAMES):
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


def pictures():
    """Two of different sizes, (3, H, W) from 0 to 255."""
    draw = torch.Generator().manual_seed(1)
    return [torch.rand(3, 64, 96, generator=draw) * 255, torch.rand(3, 96, 64, generator=draw) * 255]


def target(size, boxes=(), labels=(), ignore=(), unlabelled=()):
    height, width = size
    hidden = torch.zeros(1, len(NAMES) + 1, dtype=torch.bool)
    hidden[0, list(unlabelled)] = True
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        "regions": torch.tensor([[0.0, 0.0, width, height]]),
        "unlabelled": hidden,
        "masks": masks,
    }


def targets():
    """Two objects in the first picture, none in the second."""
    return [target((64, 96), [[10, 10, 50, 40], [30, 20, 80, 60]], [1, 3]), target((96, 64))]


def learn(model):
    """One backward pass; returns the losses and which parameters got a gradient, and forgets it again."""
    torch.manual_seed(2)
    model.train()
    losses = model(pictures(), targets())
    sum(losses.values()).backward()
    learnt = {key for key, value in model.named_parameters() if value.grad is not None and value.grad.abs().sum() > 0}
    finite = all(bool(value.grad.isfinite().all()) for value in model.parameters() if value.grad is not None)
    model.zero_grad(set_to_none=True)
    return {key: value.item() for key, value in losses.items()}, learnt, finite


# --- all of them ---


@pytest.mark.parametrize("name", ALL)
def test_a_training_step_reaches_all_parts(name):
    model, _ = built(name)
    losses, learnt, finite = learn(model)
    assert finite
    assert np.isfinite(list(losses.values())).all()
    assert min(losses.values()) >= 0
    trunk = {key for key in learnt if key.startswith("backbone.")}
    assert trunk
    assert learnt - trunk
    assert {key.split(".")[0] for key, _ in model.named_parameters()} == {key.split(".")[0] for key in learnt}


@pytest.mark.parametrize("name", ALL)
def test_detections_lie_in_their_pictures(name):
    model, _ = built(name)
    with torch.no_grad():
        found = model.eval()(pictures())
    assert len(found) == 2
    for output, picture in zip(found, pictures(), strict=True):
        height, width = picture.shape[1:]
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
def test_saved_and_loaded_it_finds_the_same(name, tmp_path):
    model, network = built(name)
    info = info_of(network)
    state = model.state_dict()
    save_model(tmp_path / "model.safetensors", {key: value.numpy() for key, value in state.items()}, info)
    kept = {"model." + key: value for key, value in state.items()}
    torch.save({"state_dict": kept, "tracker": info.model_dump_json()}, tmp_path / "best.ckpt")
    image = pictures()[0].permute(1, 2, 0).numpy().astype(np.uint8)
    answers = []
    for file in ("model.safetensors", "best.ckpt"):
        config = DetectorConfig(weights=str(tmp_path / file), device="cpu", score=0.01, backend="torch")
        with load_detector(config) as detector:
            assert detector.info == info
            answers += detector.detect([image])
    fresh = build_detector(network, len(NAMES))
    fresh.load_state_dict(state)
    judge = getattr(fresh, "roi_heads", fresh)
    judge.score_thresh, judge.nms_thresh, judge.detections_per_img = 0.01, 0.4, 100
    with Detector(fold_batch_norm(fresh), info, torch.device("cpu")) as detector:
        answers += detector.detect([image])
    for other in answers[1:]:
        np.testing.assert_array_equal(other.boxes, answers[0].boxes)
        np.testing.assert_array_equal(other.scores, answers[0].scores)
        np.testing.assert_array_equal(other.labels, answers[0].labels)


@pytest.mark.parametrize("name", [name for name in CASES if "rcnn" in name or name == "builtin"])
def test_what_is_not_annotated_teaches_nothing(name):
    model, _ = built(name)
    assert supports_partial_labels(model)
    torch.manual_seed(3)
    model.train()([pictures()[0]], [target((64, 96), unlabelled=[2])])["loss_classifier"].backward()
    bias = model.roi_heads.box_predictor.cls_score.bias.grad.clone()
    model.zero_grad(set_to_none=True)
    assert bias[2] == 0
    assert (bias[[1, 3]] > 0).all()
    # A crowd all over the picture: no anchor and no region is background.
    losses = model([pictures()[0]], [target((64, 96), [[10, 10, 50, 40]], [1], ignore=[[-500, -500, 600, 600]])])
    losses["loss_classifier"].backward()
    bias = model.roi_heads.box_predictor.cls_score.bias.grad.clone()
    model.zero_grad(set_to_none=True)
    assert bias[0] > 0, "only objects pull, and all of them away from background"


def test_one_stage_networks_do_not_claim_to_honour_partial_labels():
    assert not supports_partial_labels(built("ssdlite320_mobilenet_v3_large")[0])


def test_an_object_without_an_outline_teaches_no_mask():
    model, _ = built("maskrcnn_fpn")
    torch.manual_seed(4)
    boxes_alone = target((64, 96), [[10, 10, 50, 40]], [1])
    boxes_alone["masks"].zero_()
    loss = model.train()([pictures()[0]], [boxes_alone])["loss_mask"]
    assert loss.item() == 0
    assert model([pictures()[0]], [target((64, 96), [[10, 10, 50, 40]], [1])])["loss_mask"].item() > 0


def test_the_losses_have_weights():
    names = ("rpn_objectness_weight", "rpn_box_weight", "classifier_weight", "box_weight", "mask_weight")
    parts = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
    model, network = built("maskrcnn_fpn")
    plain, _, _ = learn(model)
    weighted = network.model_copy(update={name: 2.0 + n for n, name in enumerate(names)})
    model.rpn.network = model.roi_heads.network = weighted
    try:
        changed, _, _ = learn(model)
    finally:
        model.rpn.network = model.roi_heads.network = network
    # Batch norms have moved between both: as much as their running means, which training does not use.
    for n, part in enumerate(parts):
        assert changed[part] == pytest.approx((2 + n) * plain[part], rel=1e-3)


def test_targets_go_with_the_resized_picture():
    preparation = DetectionTransform(32, 64, [0.0] * 3, [1.0] * 3)
    given = target((64, 96), [[10, 10, 50, 40]], [1], ignore=[[0, 0, 96, 32]])
    images, (prepared,) = preparation([pictures()[0]], [given])
    assert images.image_sizes == [(32, 48)]
    assert images.tensors.max() <= 1
    assert prepared["boxes"].tolist() == [[5, 5, 25, 20]]
    assert prepared["ignore"].tolist() == [[0, 0, 48, 16]]
    assert prepared["regions"].tolist() == [[0, 0, 48, 32]]
    assert prepared["masks"].shape == (1, 32, 48)


# --- each of them ---


def on_meta(**settings):
    """The network with shapes alone."""
    with torch.device("meta"):
        return build_detector(DetectorNetwork(**settings), 20)


def test_the_papers_vgg16():
    model = on_meta(architecture="fasterrcnn_vgg16")
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    trunk = [shape for key, shape in shapes.items() if key.startswith("backbone.") and key.endswith("weight")]
    assert [shape[0] for shape in trunk] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
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


def test_the_papers_resnet50_on_one_map():
    model = on_meta(architecture="fasterrcnn_resnet50_c4")
    assert model.backbone(torch.zeros(1, 3, 600, 1000, device="meta"))["0"].shape == (1, 1024, 38, 63)
    head = model.roi_heads.box_head
    assert head[:-2](torch.zeros(2, 1024, 7, 7, device="meta")).shape == (2, 2048, 7, 7)
    assert head(torch.zeros(2, 1024, 7, 7, device="meta")).shape == (2, 2048)
    assert model.rpn.anchor_generator.num_anchors_per_location() == [9]


def test_the_proposals_of_the_papers():
    network = DetectorNetwork(architecture="fasterrcnn_vgg16")
    assert (network.rpn_pre_nms_top_n_train, network.rpn_post_nms_top_n_train) == (12000, 2000)
    assert (network.rpn_pre_nms_top_n_test, network.rpn_post_nms_top_n_test) == (6000, 300)
    assert (network.box_batch_size_per_image, network.box_positive_fraction) == (128, 0.25)
    assert (network.box_bg_iou_low, network.box_bg_iou_thresh, network.box_fg_iou_thresh) == (0.1, 0.5, 0.5)


def test_only_what_was_given_counts_as_set():
    network = DetectorNetwork(architecture="fasterrcnn_vgg16", head_width=64)
    assert network.model_dump(exclude_unset=True) == {"architecture": "fasterrcnn_vgg16", "head_width": 64}
    assert network.min_size == 600
    assert DetectorNetwork.model_validate_json(network.model_dump_json()) == network


def test_dropout_of_the_wide_layers():
    model, _ = built("fasterrcnn_vgg16")
    head = model.roi_heads.box_head
    regions = torch.rand(64, 512, 7, 7)
    with torch.no_grad():
        assert not torch.equal(head.train()(regions), head(regions))
        assert torch.equal(head.eval()(regions), head(regions))


@pytest.mark.parametrize(
    "name", ["densenet121", "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5", "vgg11_bn"]
)
def test_trunks_give_maps_at_their_strides(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # those need numbers to be built
        trunk = Backbone(classifier(name), (4, 8, 16, 32))
        maps = trunk(torch.zeros(1, 3, 128, 192))
    assert [tuple(m.shape[2:]) for m in maps.values()] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert [m.shape[1] for m in maps.values()] == trunk.channels


def test_a_trunk_computes_what_its_classifier_does():
    torch.manual_seed(6)
    network = classifier("resnet18").eval()
    trunk = Backbone(network, (4, 8, 16, 32)).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pooled = network.avgpool(trunk(image)["3"]).flatten(1)
        torch.testing.assert_close(network.fc(pooled), network(image))


@pytest.mark.slow
def test_all_backbones_carry_a_pyramid():
    names = backbone_names()
    assert {"resnet50", "resnet101", "convnext_tiny", "efficientnet_v2_s", "mobilenet_v3_large", "vgg16"} <= set(names)
    for name in names:
        if name.startswith("regnet"):
            continue  # cannot be built with shapes alone; one of them is built above
        model = on_meta(architecture="fasterrcnn_fpn", backbone=name)
        assert len(model.backbone(torch.zeros(1, 3, 128, 128, device="meta"))) == 5, name


@pytest.mark.slow
def test_all_names_can_be_built():
    for name in detector_names():
        if not name.startswith("ssd"):  # those look at a picture while they are built
            assert isinstance(on_meta(architecture=name), nn.Module), name


@pytest.mark.parametrize(
    ("settings", "said"),
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
        ({"architecture": "fasterrcnn_vgg16", "backbone": "resnet18"}, "stands on a vgg"),
        ({"anchor_sizes": ((32,), (64,))}, "anchor_sizes: builtin needs 4 lists"),
        ({"anchor_sizes": ((16, 24), (32,), (64,), (99,))}, "all of one length"),
    ],
)
def test_a_setting_without_meaning_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        build_detector(detector_network(settings, "a test"), 3)


# --- a trunk's stages ---


@pytest.mark.parametrize(("name", "stages"), [("builtin", 5), ("fasterrcnn_vgg16", 5), ("fasterrcnn_fpn", 5)])
def test_stages_are_the_trunk_in_order(name, stages):
    model, _ = built(name)
    parts = backbone_stages(model)
    assert len(parts) == stages
    inside = [id(p) for part in parts for p in part.parameters()]
    assert inside == [id(p) for p in model.backbone.body.parameters()]
    if name == "fasterrcnn_vgg16":
        assert sum(isinstance(m, nn.Conv2d) for m in parts[0].modules()) == 1  # conv1 of VGG-11


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(7)
    model = build_detector(DetectorNetwork(architecture="fasterrcnn_fpn", **NARROW), 3).train()
    keys = list(model.state_dict())
    image = torch.rand(2, 3, 64, 96)
    gradients, saved = [], []
    for _ in range(2):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, held=held: held.append(x.numel()) or x, lambda x: x):
            loss = sum(values.square().mean() for values in model.backbone(image).values())
        saved.append(sum(held))
        loss.backward()
        gradients.append([p.grad.clone() for p in model.backbone.parameters()])
        model.zero_grad(set_to_none=True)
        use_checkpointing(model)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)
    assert saved[1] < 0.7 * saved[0]
    assert list(model.state_dict()) == keys


# --- weights ---


def written(tmp_path, name, categories=NAMES, seed=9):
    """A file of an untrained network, and its arrays."""
    torch.manual_seed(seed)
    network = DetectorNetwork(architecture=name, **CASES[name])
    state = build_detector(network, len(categories)).state_dict()
    path = tmp_path / f"{name}.safetensors"
    save_model(path, {key: value.numpy() for key, value in state.items()}, info_of(network, categories))
    return path, state


def test_a_file_says_what_network_it_is_for(tmp_path):
    path, _ = written(tmp_path, "fasterrcnn_fpn")
    with load_detector(DetectorConfig(weights=str(path), device="cpu")) as detector:
        assert detector.info.architecture == "fasterrcnn_fpn"
    with pytest.raises(InputError, match=r"is of fasterrcnn_fpn, not of fasterrcnn_vgg16"):
        load_detector(DetectorConfig(model="fasterrcnn_vgg16", weights=str(path)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a readable file"),
        (b"hello", "not a readable file"),
        ([1, 2], "holds no arrays by name"),
        ({"state_dict": {}}, "not written by this program's trainer"),
        ({"tracker": "{}", "state_dict": {}}, "not written by this program's trainer"),
        ({"tracker": "{}", "run": print}, "not a readable file"),
    ],
)
def test_foreign_checkpoints_are_refused(tmp_path, content, said):
    path = tmp_path / "some.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=said):
        read_weights(path)


def test_classes_take_their_rows_along(tmp_path, caplog):
    path, old = written(tmp_path, "maskrcnn_fpn", ("cone", "ball"))
    model, network = built("maskrcnn_fpn")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with caplog.at_level("INFO"):
        start_weights(model, info_of(network), str(path))
    after = model.state_dict()
    rows = {"cls_score.weight": 1, "cls_score.bias": 1, "bbox_pred.weight": 4, "bbox_pred.bias": 4}
    names = {f"roi_heads.box_predictor.{key}": k for key, k in rows.items()}
    names |= {f"roi_heads.mask_predictor.mask_fcn_logits.{key}": 1 for key in ("weight", "bias")}
    for key, k in names.items():
        new, given = after[key].unflatten(0, (4, k)), old[key].unflatten(0, (3, k))
        for row, of in ((0, 0), (1, 2), (3, 1)):  # background, ball, cone
            torch.testing.assert_close(new[row], given[of])
        torch.testing.assert_close(new[2], before[key].unflatten(0, (4, k))[2])  # box is new
    for key in after.keys() - names.keys():
        torch.testing.assert_close(after[key], old[key])
    model.load_state_dict(before)
    assert f"{len(after)} of {len(after)} arrays start from" in caplog.text


def test_other_classes_of_a_one_stage_network_start_from_noise(tmp_path):
    path, old = written(tmp_path, "ssdlite320_mobilenet_v3_large", ("cone", "ball", "cube"))
    model, network = built("ssdlite320_mobilenet_v3_large")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start_weights(model, info_of(network), str(path))
    after = model.state_dict()
    assert all(torch.equal(after[key], old[key]) for key in after if "classification_head" not in key)
    assert any(not torch.equal(after[key], old[key]) for key in after if "classification_head" in key)
    model.load_state_dict(before)


@pytest.mark.parametrize("name", ["fasterrcnn_fpn", "fasterrcnn_resnet50_c4"])
def test_a_trunk_starts_from_its_classifiers_file(tmp_path, name, caplog):
    torch.manual_seed(10)
    whole = torchvision.models.resnet18()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    model, network = built(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with caplog.at_level("INFO"):
        start_weights(model, info_of(network), str(tmp_path / "resnet18.pth"))
    torch.testing.assert_close(model.backbone.body.stages[2][0].conv1.weight, whole.layer2[0].conv1.weight)
    head = model.roi_heads.box_head
    if name == "fasterrcnn_resnet50_c4":
        torch.testing.assert_close(head[1].conv2.weight, whole.layer4[1].conv2.weight)
    assert "from noise start:" in caplog.text
    assert "rpn.head" in caplog.text
    model.load_state_dict(before)


def test_a_vgg_gives_its_wide_layers_too():
    from tracker.models.detection.pretrained import _of_classifier

    with torch.device("meta"):
        found = _of_classifier(torchvision.models.vgg16())
    wanted = on_meta(architecture="fasterrcnn_vgg16").state_dict()
    ours = {key for key in wanted if key.startswith(("backbone.", "roi_heads.box_head."))}
    assert ours <= found.keys()
    assert all(found[key].shape == wanted[key].shape for key in ours)


@pytest.mark.parametrize("source", ["imagenet", "coco"])
def test_weights_that_cannot_be_downloaded(source, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    model, network = built("fasterrcnn_mobilenet_v3_large_320_fpn")
    with pytest.raises(InputError, match=r"cannot download https://.*no route.*put the file at"):
        start_weights(model, info_of(network), source)


def test_weights_of_torchvision_by_name(monkeypatch):
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    weights = torchvision.models.get_model_weights(name).DEFAULT
    torch.manual_seed(11)
    coco = torchvision.models.get_model(name, weights=None, weights_backbone=None).state_dict()
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: coco)
    model, network = built(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start_weights(model, info_of(network, ("cat", "ball", "person")), "coco")
    scores = model.roi_heads.box_predictor.cls_score.weight
    theirs = coco["roi_heads.box_predictor.cls_score.weight"]
    categories = weights.meta["categories"]
    torch.testing.assert_close(scores[[1, 3]], theirs[[categories.index("cat"), categories.index("person")]])
    model.load_state_dict(before)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("fasterrcnn_fpn", "coco", "no weights 'coco' for fasterrcnn_fpn"),
        ("fasterrcnn_fpn", "gone.pth", "there is no model file gone.pth"),
        ("fasterrcnn_fpn", "other.pth", "does not hold the classification network under fasterrcnn_fpn"),
        ("builtin", "other.pth", "does not hold the classification network under builtin"),
        ("ssdlite320_mobilenet_v3_large", "other.pth", "starts from imagenet, coco or a model of ours"),
        ("fasterrcnn_fpn", "empty.safetensors", "nothing of empty.safetensors fits fasterrcnn_fpn"),
    ],
)
def test_starting_weights_that_do_not_fit(tmp_path, monkeypatch, name, source, said):
    monkeypatch.chdir(tmp_path)
    model, network = built(name)
    torch.save({"weight": torch.zeros(2)}, "other.pth")
    save_model(tmp_path / "empty.safetensors", {"other": np.zeros(2, np.float32)}, info_of(network))
    with pytest.raises(InputError, match=said):
        start_weights(model, info_of(network), source)
