"""Tests for the backbone with class maps: MobileNetV3, a CenterNet's neck and its class maps."""

import pytest
import torch
import torch.nn.functional as F

from tracker.config.network import detector_network
from tracker.errors import InputError
from tracker.models.detection import backbone_stages, build_detector, load_pretrained_weights
from tracker.models.detection.class_maps import ClassMapBackbone, ClassMapHead, SharedBoxPredictor, upsample
from tracker.models.detection.mobilenet_v3 import MobileNetV3, SamePaddingConv
from tracker.models.model_file import ModelInfo


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
