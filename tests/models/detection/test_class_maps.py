"""Tests for the backbone with class maps: MobileNetV3, a CenterNet's neck and its class maps."""

import pytest
import torch
import torch.nn.functional as F

from tracker.config.network import detector_network
from tracker.errors import InputError
from tracker.models.detection import (
    BUILTIN,
    backbone_stages,
    build_detector,
    first_layer_classes,
    load_pretrained_weights,
    read_weights,
)
from tracker.models.detection.class_maps import ClassMapBackbone, ClassMapHead, SharedBoxPredictor, upsample
from tracker.models.detection.mobilenet_v3 import MobileNetV3, SamePaddingConv
from tracker.models.detection.weights import network_from_info
from tracker.models.model_file import ModelInfo, save_model


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return ClassMapBackbone(8, 3).eval()


def test_feature_maps_have_their_strides_and_the_class_maps(backbone):
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 64, 128) * 255)
    assert {name: tuple(tensor.shape[1:]) for name, tensor in maps.items()} == {
        **{
            "centers": (7, 16, 32),
            "appearance": (96, 8, 16),
            "roi": (11, 16, 32),
            "0": (11, 8, 16),
            "1": (11, 4, 8),
            "2": (11, 2, 4),
            "3": (11, 1, 2),
        }
    }
    assert all((tensor[:, 8:] >= 0).all() for name, tensor in maps.items() if name not in ("centers", "appearance"))


def test_strided_convolutions_pad_only_below_and_right():
    image = torch.zeros(1, 1, 6, 6)
    image[0, 0, 0, 0] = 1
    conv = SamePaddingConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    assert conv(image)[0, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    image = torch.rand(1, 1, 8, 8)
    expected = F.conv2d(F.pad(image, (0, 1, 0, 1)), conv.weight, stride=2)
    torch.testing.assert_close(conv(image), expected)


def test_upsampling_keeps_positions_and_interpolates_between_them():
    x = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]])
    assert upsample(x)[0, 0].tolist() == [[0, 1, 2, 2], [2, 3, 4, 4], [4, 5, 6, 6], [4, 5, 6, 6]]


def test_a_peak_of_a_class_map_stays_at_its_position_on_all_strides(backbone):
    class_maps = torch.zeros(1, 1, 32, 32)
    class_maps[0, 0, 16, 8] = 3
    for stride in (8, 16, 32):
        class_maps = F.max_pool2d(class_maps, 3, 2, 1)  # as in `ClassMapBackbone`
        rows, columns = torch.nonzero(class_maps[0, 0] == 3, as_tuple=True)
        assert (64 // stride, 32 // stride) in list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_the_box_head_passes_the_peak_in_the_middle_on():
    head = ClassMapHead(2, 1, 7, 4, 0.0)
    x = torch.zeros(2, 3, 7, 7)
    x[0, 2, 3, 3] = 5
    x[1, 2, 0, 0] = 5  # not in the middle
    assert head(x)[:, 4].tolist() == [5, 0]
    assert head(x).shape == (2, 5)


def test_all_classes_share_one_box():
    predictor = SharedBoxPredictor(6, 3)
    logits, offsets = predictor(torch.rand(2, 6))
    assert logits.shape == (2, 3)
    assert torch.equal(offsets[:, :4], offsets[:, 8:])


def added_detector(trained, categories, kept, weights, similar=()):
    """Returns a detector that adds classes to those of another one, whose description and weights file are given."""
    own, replaced = first_layer_classes(trained), dict(similar).values()
    counts = {
        "added_classes": len(categories) - kept,
        "other_classes": sum(name not in (*categories, *replaced) for name in own),
    }
    network = detector_network({**trained.network, **counts}, "test")
    info = ModelInfo(
        task="detection", architecture="builtin", categories=categories, size=(64, 64), network=network.model_dump()
    )
    torch.manual_seed(1)
    model = build_detector(network, len(categories)).eval()
    load_pretrained_weights(model, info, str(weights), dict(similar))
    return model, info


def test_added_classes_leave_the_logits_of_the_others_as_they_were(tmp_path):
    """In the built-in detector, then in the one that this gave; classes that are not kept are background."""
    state, builtin = read_weights(BUILTIN)
    original = build_detector(network_from_info(builtin, "test"), len(builtin.categories)).eval()
    original.load_state_dict(state)
    rois = 3 * torch.rand(4, 64 + 25, 7, 7)
    model, info = added_detector(builtin, ("car", "person", "kitten"), 2, BUILTIN)
    with torch.no_grad():
        expected, expected_boxes = original.roi_heads.box_predictor(original.roi_heads.box_head(rois))
        logits, boxes = model.roi_heads.box_predictor(model.roi_heads.box_head(rois))
    others = [0, *(n for n, name in enumerate(builtin.categories, 1) if name not in ("car", "person"))]
    torch.testing.assert_close(logits[:, 0], expected[:, others].logsumexp(1))
    torch.testing.assert_close(logits[:, 1:3], expected[:, [3, 1]])
    torch.testing.assert_close(boxes[:, :4], expected_boxes[:, :4])
    path = tmp_path / "kitten.safetensors"
    save_model(path, {key: value.numpy() for key, value in model.state_dict().items()}, info)
    again, again_info = added_detector(info, ("person", "kitten", "puppy"), 1, path)
    assert (network_from_info(again_info, "test").added_classes, len(first_layer_classes(again_info))) == (2, 22)
    with torch.no_grad():
        logits_again, _ = again.roi_heads.box_predictor(again.roi_heads.box_head(rois))
    torch.testing.assert_close(logits_again[:, 0], logits[:, :2].logsumexp(1))
    torch.testing.assert_close(logits_again[:, 1:3], logits[:, 2:4])


def test_a_new_class_starts_as_the_one_in_whose_place_it_comes():
    state, builtin = read_weights(BUILTIN)
    original = build_detector(network_from_info(builtin, "test"), len(builtin.categories)).eval()
    original.load_state_dict(state)
    rois = 3 * torch.rand(4, 64 + 25, 7, 7)
    model, _ = added_detector(builtin, ("person", "kitten"), 1, BUILTIN, {"kitten": "cat"})
    with torch.no_grad():
        expected, _ = original.roi_heads.box_predictor(original.roi_heads.box_head(rois))
        logits, _ = model.roi_heads.box_predictor(model.roi_heads.box_head(rois))
    cat = 1 + builtin.categories.index("cat")
    torch.testing.assert_close(logits[:, 1:], expected[:, [1, cat]])
    others = [n for n in range(len(builtin.categories) + 1) if n not in (1, cat)]
    torch.testing.assert_close(logits[:, 0], expected[:, others].logsumexp(1))


def test_body_and_neck_can_be_frozen_and_trained():
    network = detector_network({"backbone": "mobilenet_v3_centernet", "num_class_maps": 3, "fpn_channels": 8}, "test")
    model = build_detector(network, 3)
    stages = backbone_stages(model)
    trained = {id(p) for stage in stages for p in stage.parameters()}
    names = [name for name, parameter in model.backbone.named_parameters() if id(parameter) not in trained]
    assert len(stages) == 6
    assert names and all(name.startswith(("aggregation.", "fine.")) for name in names)


def test_the_backbone_has_no_batch_norm_to_fold():
    assert not [module for module in MobileNetV3().modules() if isinstance(module, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("settings", [{"num_class_maps": 0}, {"backbone": "mobilenet_v2", "num_class_maps": 3}])
def test_class_maps_need_their_backbone(settings):
    with pytest.raises(InputError, match="class maps"):
        build_detector(detector_network(settings, "test"), 3)


def test_there_are_no_imagenet_weights_of_the_backbone():
    network = detector_network({"backbone": "mobilenet_v3_centernet", "num_class_maps": 3}, "test")
    info = ModelInfo(
        task="detection",
        architecture="builtin",
        categories=("car",),
        size=(0, 0),
        network=network.model_dump(mode="json"),
    )
    with pytest.raises(InputError, match="no weights 'imagenet'"):
        load_pretrained_weights(build_detector(network, 1), info, "imagenet")
